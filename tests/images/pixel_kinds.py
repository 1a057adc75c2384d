"""One small file of each kind of pixels, with the levels that it shows.

Each table maps the name of a kind to the bytes of a file and its (H, W, 3) levels as floats; they
come from the same smooth picture and not from a reader.
"""

import io
import struct
from functools import cache

import imagecodecs
import numpy as np
import tifffile

from tests.images.raw_png import GRAY, GRAY_ALPHA, PALETTE, RGB, RGB_ALPHA, raw_png
from tests.images.raw_tiff import packed, raw_tiff

WIDTH, HEIGHT = 19, 14
ALPHA, PREMULTIPLIED, UNSTATED = "unassalpha", "assocalpha", "unspecified"


@cache
def picture(channels):
    """(H, W, channels) in [0, 1], without exact black and white, of which 0.95 is used."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    waves = [np.sin(x / 4 + k) * np.cos(y / 5 - k / 2) for k in range(channels)]
    return 0.5 + 0.45 * np.stack(waves, axis=-1)


def stored(values, dtype, bits=None):
    """Values in [0, 1] as numbers of a type, over its whole range or the lowest bits of it."""
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    low, high = (0, 2**bits - 1) if bits else (limits.min, limits.max)
    return np.rint(values * (float(high) - low) + low).astype(dtype)


def shown(colors, alpha=None):
    """Levels of colors in [0, 1], one or three channels, on white."""
    colors = np.broadcast_to(colors, (*colors.shape[:2], 3))
    return 255 * (colors if alpha is None else colors * alpha + 1 - alpha)


def written(samples, **options):
    """A TIFF file as tifffile writes it."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, samples, metadata=None, **options)
    return buffer.getvalue()


# Name -> photometric interpretation, channels of color, extra channels.
LAYOUTS = {
    "gray": ("minisblack", 1, ()),
    "inverted": ("miniswhite", 1, ()),
    "gray-alpha": ("minisblack", 1, (ALPHA,)),
    "gray-premultiplied": ("minisblack", 1, (PREMULTIPLIED,)),
    "gray-unstated": ("minisblack", 1, (UNSTATED,)),
    "rgb": ("rgb", 3, ()),
    "rgb-alpha": ("rgb", 3, (ALPHA,)),
    "rgb-premultiplied": ("rgb", 3, (PREMULTIPLIED,)),
    "rgb-infrared": ("rgb", 3, (UNSTATED,)),
    "rgb-alpha-infrared": ("rgb", 3, (ALPHA, UNSTATED)),
    "rgb-five-more": ("rgb", 3, (UNSTATED,) * 5),
    "three-grays": ("minisblack", 1, (UNSTATED,) * 2),
    "four-grays": ("minisblack", 1, (UNSTATED,) * 3),
    "cmyk": ("separated", 4, ()),
    "cmyk-alpha": ("separated", 4, (ALPHA,)),
}
DTYPES = ("u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8")
# Byte order, BigTIFF, planar, compression, predictor, tiles.
STORAGE = {
    "plain": ("<", False, False, None, False, False),
    "big-endian": (">", False, False, None, False, False),
    "big": ("<", True, False, None, False, False),
    "big-big-endian": (">", True, False, None, False, False),
    "planar": ("<", False, True, None, False, False),
    "planar-big-endian": (">", False, True, None, False, False),
    "planar-deflate": ("<", False, True, "zlib", False, True),
    "deflate-predicted": ("<", False, False, "zlib", True, False),
    "deflate-big-endian": (">", False, False, "zlib", False, False),
    "lzw-tiled": ("<", False, False, "lzw", False, True),
    "zstd": ("<", False, False, "zstd", False, False),
}


def tiff(layout, dtype, storage, bits=None):
    """A TIFF file of one layout, number type and way of storing; its levels."""
    photometric, base, extra = LAYOUTS[layout]
    order, big, planar, compression, predictor, tiled = STORAGE[storage]
    values = picture(base + len(extra)).copy()
    shape = 3 if photometric == "minisblack" and len(extra) >= 2 else base
    alpha = None
    if extra and extra[0] != UNSTATED:
        alpha = values[:, :, base : base + 1]
        if extra[0] == PREMULTIPLIED:
            values[:, :, :base] *= alpha
    colors = values[:, :, :shape]
    if photometric == "miniswhite":
        colors = 1 - colors
    elif photometric == "separated":
        colors = (1 - colors[:, :, :3]) * (1 - colors[:, :, 3:])
    if extra[:1] == (PREMULTIPLIED,):
        expected = 255 * np.broadcast_to(colors + 1 - alpha, (HEIGHT, WIDTH, 3))
    else:
        expected = shown(colors, alpha)
    samples = stored(values, dtype, bits)
    many = samples.shape[2] > 1
    planar = planar and many
    samples = np.moveaxis(samples, -1, 0) if planar else samples if many else samples[:, :, 0]
    options: dict[str, object] = {"bigtiff": big, "byteorder": order}
    options |= {"planarconfig": "separate" if planar else "contig"} if many else {}
    options |= {"extrasamples": extra} if extra else {}
    options |= {"tile": (16, 16)} if tiled else {}
    options |= {"predictor": True} if predictor else {}
    data = written(samples, photometric=photometric, compression=compression, **options)
    return data, expected


def packed_tiffs():
    """Samples that do not fill bytes, palettes, and colors that tifffile does not write."""
    gray, colors = picture(1), picture(3)
    kinds = {}
    for bits in (*range(1, 16), 20):
        for order in "<>":
            integers = stored(gray, "i8", bits)
            expected = shown(integers / (2**bits - 1))
            data = packed(integers[:, :, 0], bits)
            tags = {"order": order, "t258": (3, [bits])}
            kinds[f"{bits}-bit{order}"] = raw_tiff(data, (WIDTH, HEIGHT), **tags), expected
            inverted = raw_tiff(data, (WIDTH, HEIGHT), **tags, t262=(3, [0]))
            kinds[f"{bits}-bit-inverted{order}"] = inverted, 255 - expected
            integers = stored(colors, "i8", bits)
            data = packed(integers.reshape(HEIGHT, -1), bits)
            tags |= {"t258": (3, [bits] * 3), "t262": (3, [2]), "t277": (3, [3])}
            expected = shown(integers / (2**bits - 1))
            kinds[f"{bits}-bit-rgb{order}"] = raw_tiff(data, (WIDTH, HEIGHT), **tags), expected
    palette = np.random.default_rng(0).integers(0, 256, (256, 3))
    for bits in (1, 2, 4, 8):
        indices, colors = stored(gray, "i8", bits)[:, :, 0], palette[: 2**bits]
        tags = {"t258": (3, [bits]), "t262": (3, [3])}
        for name, factor in (("palette", 257), ("palette-of-levels", 1)):
            tags["t320"] = (3, (colors.T * factor).ravel().tolist())
            data = raw_tiff(packed(indices, bits), (WIDTH, HEIGHT), **tags)
            kinds[f"{bits}-bit-{name}"] = data, colors[indices].astype(float)
    return kinds


def ycbcr_tiffs():
    """YCbCr without JPEG, by subsampling; the colors of each block are equal."""
    kinds = {}
    for across, down in ((1, 1), (2, 1), (1, 2), (2, 2), (4, 2)):
        luma = stored(picture(1), "u1")[:, :, 0]
        chroma = stored(0.3 + 0.4 * picture(2), "u1")[::down, ::across]
        rows, columns = -(-HEIGHT // down), -(-WIDTH // across)
        whole = np.pad(luma, ((0, rows * down - HEIGHT), (0, columns * across - WIDTH)))
        blocks = whole.reshape(rows, down, columns, across).swapaxes(1, 2)
        units = np.concatenate([blocks.reshape(rows, columns, -1), chroma], axis=2)
        tags = {"t258": (3, [8] * 3), "t262": (3, [6]), "t277": (3, [3])}
        tags["t530"] = (3, [across, down])
        full = chroma.repeat(down, axis=0).repeat(across, axis=1)[:HEIGHT, :WIDTH]
        y, (blue, red) = luma.astype(float), np.moveaxis(full - 128.0, -1, 0)
        # ITU-R BT.601
        green = y - 0.344136 * blue - 0.714136 * red
        rgb = np.stack([y + 1.402 * red, green, y + 1.772 * blue], axis=-1).clip(0, 255)
        for order in "<>":
            data = raw_tiff(units.tobytes(), (WIDTH, HEIGHT), order=order, **tags)
            kinds[f"{across}x{down}{order}"] = data, rgb
            compressed = imagecodecs.lzw_encode(units.tobytes())
            lzw = raw_tiff(compressed, (WIDTH, HEIGHT), order=order, **tags, t259=(3, [5]))
            kinds[f"{across}x{down}-lzw{order}"] = lzw, rgb
    return kinds


def codec_tiffs():
    """Images inside of TIFF that are compressed as images."""
    kinds = {}
    for codec in ("webp", "jpegxl", "lerc", "jpeg2000", "png"):
        for dtype in ("u1", "u2"):
            if (codec, dtype) != ("webp", "u2"):
                samples = stored(picture(3), dtype)
                options = {"compressionargs": {"level": 100}} if codec == "webp" else {}
                data = written(samples, photometric="rgb", compression=codec, **options)
                kinds[f"{codec}-{dtype}"] = data, shown(picture(3))
    return kinds


def pngs():
    """PNG of every depth and color type, with every kind of transparency."""
    kinds = {}
    for depth in (1, 2, 4, 8, 16):
        for color_type in (GRAY, RGB, PALETTE, GRAY_ALPHA, RGB_ALPHA):
            deep = color_type in (RGB, GRAY_ALPHA, RGB_ALPHA)
            if (deep and depth < 8) or (color_type == PALETTE and depth == 16):
                continue
            for interlaced in (False, True):
                name = f"{color_type}-{depth}{'-interlaced' * interlaced}"
                kinds |= _pngs(name, depth, color_type, interlaced=interlaced)
    return kinds


def _pngs(name, depth, color_type, *, interlaced):
    channels = {GRAY: 1, RGB: 3, PALETTE: 1, GRAY_ALPHA: 2, RGB_ALPHA: 4}[color_type]
    samples, top = stored(picture(channels), "i8", depth), 2**depth - 1
    if color_type in (GRAY_ALPHA, RGB_ALPHA):
        colors, alpha = samples[:, :, :-1] / top, samples[:, :, -1:] / top
        return {
            name: (raw_png(samples, color_type, depth, interlaced=interlaced), shown(colors, alpha))
        }
    chunks, colors = [], samples / top
    if color_type == PALETTE:
        palette = np.random.default_rng(depth).integers(0, 256, (min(256, top + 1), 3))
        chunks = [(b"PLTE", palette.astype(np.uint8).tobytes())]
        colors = palette[samples[:, :, 0]] / 255
        opacity = np.linspace(0, 255, len(palette)).astype(np.uint8)
        alpha = opacity[samples] / 255
        transparency = opacity.tobytes()
    else:
        key = samples[5, 7]
        alpha = (samples != key).any(axis=2, keepdims=True).astype(float)
        transparency = struct.pack(f">{len(key)}H", *key)
    opaque = raw_png(samples, color_type, depth, chunks=chunks, interlaced=interlaced)
    chunks = [*chunks, (b"tRNS", transparency)]
    clear = raw_png(samples, color_type, depth, chunks=chunks, interlaced=interlaced)
    return {name: (opaque, shown(colors)), f"{name}-tRNS": (clear, shown(colors, alpha))}


def pnms():
    """PGM and PPM, binary and as text, by their maximum."""
    kinds = {}
    for maximum in (1, 100, 255, 1000, 4095, 65535):
        for kind, channels in ((b"P2", 1), (b"P3", 3), (b"P5", 1), (b"P6", 3)):
            samples = np.rint(picture(channels) * maximum).astype(int)
            head = b"%b\n# a comment 7\n%d %d\n%d\n" % (kind, WIDTH, HEIGHT, maximum)
            if kind in (b"P5", b"P6"):
                body = samples.astype(">u2" if maximum > 255 else "u1").tobytes()
            else:
                body = b"# more\n" + " ".join(map(str, samples.ravel())).encode()
            kinds[f"{kind.decode()}-{maximum}"] = head + body, shown(samples / maximum)
    return kinds
