"""Reading of TIFF files: by Pillow what it reads right, by tifffile the rest.

The tags decide. tifffile and its codecs are an extra, which ordinary photos and scans do not need.
Of a multispectral image the first three channels are used if the file says that they are red, green
and blue, or if there are no more than four; without such a statement more are refused. A channel
whose meaning is not stated is never taken for opacity.
"""

import io
import logging
from collections.abc import Callable
from operator import methodcaller
from typing import Any, Final, cast

import numpy as np
from PIL import Image

from headstart.errors import MissingExtraError, UnreadableImageError
from headstart.images.color_profiles import lab_levels, to_srgb
from headstart.images.depth import ImageRows, Samples, Stated, scaled, scaled_alpha
from headstart.images.limits import check_size
from headstart.images.notes import NoteCallback
from headstart.images.tiff_layout import Format, Photometric, TiffLayout
from headstart.images.tiff_segments import (
    LZW,
    UNCOMPRESSED,
    check_segments,
    decompress_lzw,
    read_lzw,
    read_subsampled,
)
from headstart.types import Pixels

_JPEGS: Final = (6, 7)
_PILLOW_COMPRESSIONS: Final = frozenset(
    {1, 2, 3, 4, 5, *_JPEGS, 8, 32771, 32773, 32809, 32946, 34925, 50000}
)
_COLORS: Final = {
    Photometric.WHITE_IS_ZERO: 1,
    Photometric.BLACK_IS_ZERO: 1,
    Photometric.MASK: 1,
    Photometric.PALETTE: 1,
    Photometric.RGB: 3,
    Photometric.YCBCR: 3,
    Photometric.CIELAB: 3,
    Photometric.ICCLAB: 3,
    Photometric.CMYK: 4,
}
"""Number of channels besides extra ones."""
_UNREAD: Final = {
    10: "ITULab colors",
    32803: "raw sensor data",
    32844: "LogL values",
    32845: "LogLuv colors",
    34892: "raw sensor data",
}
"""Other meanings of samples."""
_PREMULTIPLIED, _OPACITY = 1, 2
_GRAYS: Final = (Photometric.WHITE_IS_ZERO, Photometric.BLACK_IS_ZERO)
_PILLOW_GRAYS: Final = frozenset(
    {
        (Photometric.WHITE_IS_ZERO, Format.UNSIGNED, 16),
        (Photometric.WHITE_IS_ZERO, Format.FLOAT, 32),
        (Photometric.BLACK_IS_ZERO, Format.UNSIGNED, 32),
        (Photometric.BLACK_IS_ZERO, Format.SIGNED, 8),
        (Photometric.BLACK_IS_ZERO, Format.SIGNED, 16),
        (Photometric.BLACK_IS_ZERO, Format.SIGNED, 32),
        (Photometric.BLACK_IS_ZERO, Format.FLOAT, 32),
    }
)
"""Numbers that Pillow reads, if they are little-endian; it does not scale or invert them."""
_LARGE_TILE: Final = 64 * 1024**2
"""Bytes that a tile of a small image may have."""
_NO_LOW_BYTES: Final = 64
"""If the largest level of a 16-bit image is below this, 14 bits or fewer may be in use."""
_ORIENTATION: Final = 0x0112


def read_tiff(content: bytes, on_note: NoteCallback) -> Image.Image:
    """Read the first page of a TIFF file.

    Raises:
        UnreadableImageError: it is damaged, or of a kind that is not supported.
    """
    layout = TiffLayout.of(content)
    check_size(layout.width, layout.height)
    if not layout.is_complete:
        raise UnreadableImageError("truncated")
    check_segments(content, layout)
    if _pillow_reads(layout):
        image = _read_with_pillow(content, layout, on_note)
        if image is not None:
            return image
    if (unsupported := _unsupported(layout)) is not None:
        raise UnreadableImageError(f"not supported: a TIFF {unsupported}")
    unwritten = any(start and not length for start, length in layout.segments)
    if unwritten or layout.last_byte > len(content):
        raise UnreadableImageError("truncated")
    image = _image(_read_with_tifffile(content, layout), layout, on_note)
    image.getexif()[_ORIENTATION] = layout.orientation
    return image


def _pillow_reads(layout: TiffLayout) -> bool:
    """Whether Pillow reads such a file, and reads it right (measured against tifffile)."""
    bits, channels, photometric = layout.bits[0], layout.channels, layout.photometric
    if layout.compression not in _PILLOW_COMPRESSIONS or not layout.is_uniform:
        return False
    if (layout.big_endian and layout.is_big) or layout.guesses_photometric:
        return False
    kind = Format.UNSIGNED if layout.formats[0] == Format.UNDEFINED else layout.formats[0]
    if channels == 1 and photometric in _GRAYS:
        if kind == Format.UNSIGNED and bits <= 8:
            return bits in (1, 2, 4, 8)
        if photometric == Photometric.BLACK_IS_ZERO and (kind, bits) == (Format.UNSIGNED, 16):
            return True
        return not layout.big_endian and (photometric, kind, bits) in _PILLOW_GRAYS
    if kind != Format.UNSIGNED:
        return False
    if layout.planar and (bits != 8 or layout.extra not in ((), (_OPACITY,)) or channels < 3):
        return False
    if photometric == Photometric.PALETTE:
        return channels == 1 and bits <= 8 and max(layout.color_map, default=0) > 255
    if photometric == Photometric.BLACK_IS_ZERO:
        return bits == 8 and channels == 2 and len(layout.extra) == 1
    if photometric == Photometric.RGB:
        further = channels <= 6 and len(layout.extra) == channels - 3 and not any(layout.extra[1:])
        return bits in (8, 16) and (channels in (3, 4) or (bits == 8 and further))
    if photometric == Photometric.YCBCR:
        return bits == 8 and channels == 3 and layout.compression in _JPEGS
    if photometric == Photometric.CMYK:
        return bits in (8, 16) and channels == 4 and layout.inks == 1
    return photometric == Photometric.CIELAB and bits == 8 and channels == 3


def _read_with_pillow(
    content: bytes, layout: TiffLayout, on_note: NoteCallback
) -> Image.Image | None:
    """Return the upright image; None for 16-bit colors with small values, whose low bits count."""
    from PIL.TiffImagePlugin import TiffImageFile

    is_deep = layout.channels == 1 and layout.bits[0] > 8
    is_compressed = layout.compression != UNCOMPRESSED
    check_size(
        layout.width,
        layout.height,
        pixel_bytes=6 if is_deep else 4,
        further=layout.segment_bytes * is_compressed,
    )
    image = TiffImageFile(io.BytesIO(content))
    image.info.pop("xmp", None)  # an orientation in it is not for readers
    image.load()
    bits, kind = layout.bits[0], layout.formats[0]
    if layout.channels > 1:
        deep = bits == 16 and layout.photometric != Photometric.CMYK
        return None if deep and _brightest(image) < _NO_LOW_BYTES else image
    if layout.photometric not in _GRAYS or (bits <= 8 and kind != Format.SIGNED):
        return image
    convert: Callable[[Samples], Samples] | None = None
    if kind == Format.SIGNED:
        convert = methodcaller(*(("view", np.int8) if bits == 8 else ("astype", f"i{bits // 8}")))
    elif kind != Format.FLOAT and bits == 32:
        convert = methodcaller("view", np.uint32)  # Pillow takes them for signed
    levels = scaled(ImageRows(image, convert), layout.stated, on_note=on_note)
    return _colored(levels[:, :, None], None, layout)


def _brightest(image: Image.Image) -> int:
    """Return the highest level of the colors."""
    return max(high for _, high in cast("tuple[tuple[int, int], ...]", image.getextrema())[:3])


def _unsupported(layout: TiffLayout) -> str | None:
    """Return which property, if any, makes a file one that cannot be read, and what to do."""
    if (photometric := layout.photometric) not in _COLORS:
        meaning = _UNREAD.get(photometric, f"whose colors are of kind {photometric}")
        what = f"of {meaning}" if photometric in _UNREAD else meaning
        return f"{what}; save it as RGB"
    if not layout.is_uniform:
        return "whose channels differ in depth or number format; save it as RGB of 8 or 16 bits"
    if photometric in (Photometric.CIELAB, Photometric.ICCLAB) and layout.bits[0] not in (8, 16):
        return f"of Lab colors of {layout.bits[0]} bits; save it as RGB"
    if layout.bits[0] == 24:  # tifffile ignores the order of their bytes
        return "with 24 bits per channel; save it with 8, 16 or 32"
    if layout.formats[0] not in tuple(Format):
        return "of complex numbers; save their absolute values"
    if photometric == Photometric.CMYK and layout.inks != 1:
        return "of other inks than CMYK; save it as RGB"
    if photometric in _GRAYS and layout.channels > 4:
        return f"with {layout.channels} channels of unstated meaning; save three of them as RGB"
    if layout.channels < _COLORS[Photometric(photometric)]:
        raise UnreadableImageError(f"damaged TIFF: only {layout.channels} channels")
    return None


def _read_with_tifffile(content: bytes, layout: TiffLayout) -> Samples:
    """Return the samples as they are stored, (H, W, channels)."""
    try:
        import imagecodecs  # noqa: F401 - tifffile would do without, for some files
        import tifffile
    except ImportError as error:
        raise UnreadableImageError(str(MissingExtraError("such a TIFF", extra="tiff"))) from error
    logger = logging.getLogger("tifffile")
    if not logger.handlers:  # or its remarks on damaged metadata would be printed
        logger.addHandler(logging.NullHandler())
    with tifffile.TiffFile(io.BytesIO(content), _multifile=False) as file:
        page = file.pages.first
        try:
            if page.dtype is None:
                raise KeyError(f"with samples of {layout.bits[0]} bits")
            decompress = tifffile.TIFF.DECOMPRESSORS[layout.compression]
        except (KeyError, ImportError) as error:
            what = f"compressed by scheme {layout.compression}" if page.dtype else error.args[0]
            raise UnreadableImageError(
                f"not supported: a TIFF {what}; save it uncompressed with 8 or 16 bits"
            ) from error
        if page.shaped[2:4] != (layout.height, layout.width):
            raise UnreadableImageError("damaged TIFF: it states two sizes")
        size = int(np.prod(page.shaped, dtype=object)) * page.dtype.itemsize
        tile = int(np.prod(page.chunks, dtype=object)) * page.dtype.itemsize
        if tile > max(_LARGE_TILE, 4 * size):
            raise UnreadableImageError(f"damaged TIFF: tiles of {tile / 1e6:.0f} MB")
        pixels = layout.width * layout.height
        check_size(
            layout.width,
            layout.height,
            pixel_bytes=size / pixels + min(4, layout.channels) + 4,
            further=2 * layout.segment_bytes,
        )
        if layout.is_subsampled:
            is_lzw = layout.compression == LZW
            return read_subsampled(
                content, layout, decompress_lzw if is_lzw else lambda data, _: decompress(data)
            )
        samples: Samples = (
            read_lzw(content, layout, page)
            if layout.compression == LZW
            else page.asarray(maxworkers=1).reshape(page.shaped)
        )[:, 0]
    return np.moveaxis(samples, 0, -1)[..., 0, :] if layout.planar else samples[0]


def _image(samples: Samples, layout: TiffLayout, on_note: NoteCallback) -> Image.Image:
    """Convert stored samples to an image of 8 bits, which is not yet upright."""
    photometric = layout.photometric
    if photometric == Photometric.PALETTE:
        return Image.fromarray(_palette(layout).take(samples[:, :, 0], axis=0, mode="clip"))
    if photometric in (Photometric.CIELAB, Photometric.ICCLAB):
        return _lab(samples[:, :, :3], layout)
    if photometric == Photometric.YCBCR and layout.stores_ycbcr:
        levels = scaled(samples[:, :, :3], Stated(high=2.0 ** layout.bits[0] - 1))
        return _ycbcr(levels, layout.reference)
    base = _COLORS[Photometric(photometric)]
    extra = layout.extra
    if photometric == Photometric.RGB and not extra:
        extra = (_OPACITY,)  # as other readers take a fourth channel of which nothing is said
    opacity = next((i for i, kind in enumerate(extra) if kind in (_PREMULTIPLIED, _OPACITY)), None)
    colors = base
    if photometric in _GRAYS and samples.shape[2] >= 3 and opacity != 0:
        colors = 3
    stated = layout.stated
    if photometric == Photometric.CMYK and samples.dtype == np.uint16 and stated.high is None:
        stated = Stated(high=65535.0)  # little ink is common, few bits are not
    levels = scaled(samples[:, :, :colors], stated, on_note=on_note)
    if opacity is None or base + opacity >= samples.shape[2]:
        return _colored(levels, None, layout)
    alpha = scaled_alpha(samples[:, :, base + opacity], samples[:, :, :colors], stated)
    if extra[opacity] == _PREMULTIPLIED:
        _divide(levels, alpha)
    return _colored(levels, alpha, layout)


def _divide(levels: Pixels, alpha: Pixels) -> None:
    """Undo the multiplication with opacity, row by row to save memory."""
    for row, opacity in zip(levels, np.maximum(alpha, 1), strict=True):
        row[:] = np.minimum(row * np.float32(255) / opacity[:, None], 255)


def _colored(levels: Pixels, alpha: Pixels | None, layout: TiffLayout) -> Image.Image:
    """Make an image from levels, (H, W, 1, 3 or 4), and an opacity, (H, W)."""
    if layout.photometric == Photometric.WHITE_IS_ZERO:
        levels = 255 - levels
    height, width, channels = levels.shape
    mode = {1: "L", 3: "RGB", 4: "CMYK"}[channels]
    image = Image.frombytes(mode, (width, height), np.ascontiguousarray(levels).data)
    if layout.profile:
        image.info["icc_profile"] = layout.profile
    if alpha is not None:
        if mode == "CMYK":  # Pillow has no mode for it
            image = to_srgb(image, layout.profile)
        image.putalpha(Image.fromarray(alpha))
    return image


def _palette(layout: TiffLayout) -> Pixels:
    """Return the colors of a palette, (colors, 3); some writers store levels instead of 16 bits."""
    colors = np.array(layout.color_map, np.uint16).reshape(3, -1).T
    levels: Pixels = (colors >> 8 if colors.max() > 255 else colors).astype(np.uint8)
    return levels


def _lab(samples: Samples, layout: TiffLayout) -> Image.Image:
    """Convert lightness, from 0, and the axes a* and b*, which are signed or have an offset."""
    is_icc, full = layout.photometric == Photometric.ICCLAB, 1 << layout.bits[0]
    values = samples.astype(np.int32) % full
    lightest = 65280 if is_icc and full == 65536 else full - 1
    axes = values[:, :, 1:] if is_icc else (values[:, :, 1:] + full // 2) % full
    levels = np.empty(samples.shape, np.uint8)
    for row, light, chroma in zip(levels, values[:, :, 0], axes, strict=True):
        row[:] = lab_levels(light * (100 / lightest), chroma * (256 / full) - 128)
    return Image.fromarray(levels)


def _ycbcr(levels: Pixels, reference: tuple[float, ...]) -> Image.Image:
    """Convert YCbCr levels, (H, W, 3), given black and white of each channel."""
    full: list[Any] = []
    for channel, (top, zero) in enumerate(((255.0, 0.0), (127.0, 128.0), (127.0, 128.0))):
        low, high = reference[2 * channel : 2 * channel + 2]
        table = (np.arange(256) - low) * (top / ((high - low) or 1.0)) + zero
        full.append(np.rint(table).clip(0, 255).astype(np.uint8)[levels[:, :, channel]])
    height, width = levels.shape[:2]
    return Image.frombytes("YCbCr", (width, height), np.stack(full, axis=-1).tobytes())
