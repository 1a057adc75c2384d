"""One small file of each kind that images come in, with what is to be read of it.

Files that Pillow cannot write are made by hand. Most show four quadrants, so that a wrong order of
channels, rows or columns is noticed.
"""

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

SIDE = 16
RED, GREEN, BLUE, YELLOW = (200, 30, 40), (30, 160, 60), (20, 40, 210), (230, 200, 90)
WHITE, BLACK = (255, 255, 255), (0, 0, 0)
COLORS = (RED, GREEN, BLUE, YELLOW)
"""Of the quadrants: top left, top right, bottom left, bottom right."""
GRAYS = tuple((level, level, level) for level in (220, 150, 90, 30))
Colors = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of file.

    Attributes:
        make: returns the file.
        shows: the colors of its quadrants.
        refused: a pattern of the reason if it is not read.
        size: its (width, height).
        extra: the module that it needs.
    """

    make: Callable[[], bytes]
    shows: Colors = COLORS
    refused: str = ""
    size: tuple[int, int] = (SIDE, SIDE)
    extra: str = ""


def quadrants(colors: Colors = COLORS, side: int = SIDE) -> Image.Image:
    half = side // 2
    image = Image.new("RGB", (side, side))
    for index, color in enumerate(colors):
        left, top = index % 2 * half, index // 2 * half
        image.paste(color, (left, top, left + half, top + half))
    return image


def pixels(colors: Colors = COLORS) -> np.ndarray:
    return np.asarray(quadrants(colors))


def saved(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def jpeg(side: int = SIDE, **options) -> bytes:
    return saved(quadrants(side=side), "JPEG", quality=95, subsampling=0, **options)


# JPEG


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def jpeg_with(*segments: bytes) -> bytes:
    data = jpeg()
    return data[:2] + b"".join(segments) + data[2:]


def jpeg_header_only(frame: bytes, marker: int = 0xC0) -> bytes:
    tables = segment(0xDB, b"\0" + b"\1" * 64)
    scan = segment(0xDA, b"\x01\x01\x00\x00\x3f\x00") + b"\x12\x34\x56\xff\xd9"
    return b"\xff\xd8" + tables + segment(marker, frame) + scan


def large_exif() -> bytes:
    """EXIF of 300 kB, whose description is long, in several segments."""
    text = b"x" * 300_000
    entry = struct.pack("<HHII", 270, 2, len(text), 26)
    exif = b"II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4) + text
    parts = [exif[at : at + 65_000] for at in range(0, len(exif), 65_000)]
    return jpeg_with(*(segment(0xE1, b"Exif\0\0" + part) for part in parts))


# PNG


def chunk(kind: bytes, content: bytes, *, checksum: int | None = None) -> bytes:
    found = zlib.crc32(kind + content) if checksum is None else checksum
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", found)


def png_with(*chunks: bytes) -> bytes:
    """Insert chunks behind the header."""
    data = saved(quadrants(), "PNG")
    return data[:33] + b"".join(chunks) + data[33:]


def apng_without_first_control() -> bytes:
    frames = [quadrants(), quadrants(GRAYS)]
    data = saved(frames[0], "PNG", save_all=True, append_images=frames[1:])
    at = data.index(b"fcTL") - 4
    return data[:at] + data[at + 38 :]


# BMP, ICO and CUR


def bmp(width: int, height: int, bits: int, compression: int, body: bytes, palette=b"") -> bytes:
    start = 54 + len(palette)
    colors = len(palette) // 4
    info = (40, width, height, 1, bits, compression, len(body), 0, 0, colors, 0)
    header = struct.pack("<IiiHHIIiiII", *info)
    return b"BM" + struct.pack("<III", start + len(body), 0, start) + header + palette + body


def bgrx(*colors: tuple[int, int, int]) -> bytes:
    return b"".join(bytes([blue, green, red, 0]) for red, green, blue in colors)


def bmp_rle(bits: int, *, overrun: int) -> bytes:
    """Absolute runs of 8 blue and 8 + overrun yellow pixels, and likewise above."""
    rows = []
    for left, right in ((2, 3), (0, 1)):  # from the bottom up
        run = [left] * 8 + [right] * (8 + overrun)
        if bits == 4:
            packed = bytes(a << 4 | b for a, b in zip(run[::2], run[1::2], strict=True))
        else:
            packed = bytes(run)
        rows += [b"\0" + bytes([len(run)]) + packed + bytes(len(packed) % 2) + b"\0\0"] * 8
    return bmp(16, 16, bits, 1 if bits == 8 else 2, b"".join(rows) + b"\0\1", bgrx(*COLORS))


def icon(images: list[bytes], *, kind: int = 1, side: int = SIDE) -> bytes:
    entries, at = b"", 6 + 16 * len(images)
    for data in images:
        entries += struct.pack("<BBBBHHII", side, side, 0, 0, 1, 24, len(data), at)
        at += len(data)
    return struct.pack("<HHH", 0, kind, len(images)) + entries + b"".join(images)


def icon_bitmap(bits: int, *, header: int = 40, alpha: int = 0, transparent: bool = True) -> bytes:
    """A bitmap whose mask (or alpha) hides the lower half, with a profile behind it."""
    colors = pixels()[::-1, :, ::-1].reshape(-1, 3)
    if bits == 32:
        opacity = np.repeat([0, alpha], SIDE * SIDE // 2)[:, None]
        colors = np.hstack([colors, opacity])
    info = struct.pack("<IiiHHIIiiII", header, SIDE, 2 * SIDE, 1, bits, 0, 0, 0, 0, 0, 0)
    hidden = b"\xff\xff\0\0" if transparent else bytes(4)
    mask = hidden * (SIDE // 2) + bytes(4) * (SIDE // 2)
    profile = b"\xff" * 64 if header > 40 else b""
    return info + bytes(header - 40) + colors.astype(np.uint8).tobytes() + mask + profile


# TGA and SGI


def tga(
    kind: int, bits: int, body: bytes, *, descriptor: int = 0x20, palette: bytes = b""
) -> bytes:
    colors = len(palette) // 3
    return (
        struct.pack("<BBBHHB", 0, bool(colors), kind, 0, colors, 24 if colors else 0)
        + struct.pack("<HHHHBB", 0, 0, SIDE, SIDE, bits, descriptor)
        + palette
        + body
    )


def five_bits() -> bytes:
    red, green, blue = np.moveaxis(pixels().astype(np.uint16) * 31 // 255, 2, 0)
    return (red << 10 | green << 5 | blue).astype("<u2").tobytes()


def sgi_without_terminators() -> bytes:
    rows, starts = b"", []
    first = 512 + 8 * SIDE * 3
    for channel in range(3):
        for row in pixels()[::-1, :, channel]:
            starts.append(first + len(rows))
            rows += bytes([8, row[0], 8, row[8]])
    tables = struct.pack(f">{len(starts)}I", *starts) + struct.pack(">I", 4) * len(starts)
    header = struct.pack(">HBBHHHH", 474, 1, 1, 3, SIDE, SIDE, 3).ljust(512, b"\0")
    return header + tables + rows


# GIF


def gif_smaller_than_its_canvas() -> bytes:
    """A red frame that covers the left upper quadrant of a canvas."""
    small = saved(Image.new("P", (8, 8), 1), "GIF")
    palette = bytes([*RED, *BLACK])
    frame = small[small.index(b",", 13) :]
    frame = frame[:9] + b"\0" + frame[10:] if not frame[9] & 128 else frame
    flags, size = frame[9], 3 << ((frame[9] & 7) + 1)
    body = frame[10 + size :] if flags & 128 else frame[10:]
    screen = b"GIF89a" + struct.pack("<HHBBB", SIDE, SIDE, 0x80, 0, 0) + palette
    return screen + b"," + struct.pack("<HHHHB", 0, 0, 8, 8, 0) + body


# JPEG 2000


def jp2(planes: list[np.ndarray], *, definition=(), space: int = 16) -> bytes:
    """Store planes as the channels of a JP2 file."""
    modes = {1: "L", 3: "RGB", 4: "RGBA"}
    stacked = Image.merge(modes[len(planes)], [Image.fromarray(p.astype(np.uint8)) for p in planes])
    data = saved(stacked, "JPEG2000", no_jp2=True)
    entries = struct.pack(">H", len(definition)) + b"".join(
        struct.pack(">HHH", *entry) for entry in definition
    )
    header = (
        box(b"ihdr", struct.pack(">IIHBBBB", SIDE, SIDE, len(planes), 7, 7, 0, 0))
        + box(b"colr", b"\1\0\0" + struct.pack(">I", space))
        + (box(b"cdef", entries) if definition else b"")
    )
    return (
        box(b"jP  ", b"\r\n\x87\n")
        + box(b"ftyp", b"jp2 \0\0\0\0jp2 ")
        + box(b"jp2h", header)
        + box(b"jp2c", data)
    )


def planes_of(image: Image.Image) -> list[np.ndarray]:
    return [np.asarray(band) for band in image.split()]


def lab_planes() -> list[np.ndarray]:
    """L*, a* and b* of mild colors, in the ranges of JP2: [-85, 85] and [-75, 125]."""
    from skimage.color import rgb2lab

    lightness, a, b = np.moveaxis(rgb2lab(pixels(MILD)), 2, 0)
    planes = (lightness * 2.55, a * 255 / 170 + 128, b * 255 / 200 + 96)
    return [np.rint(plane) for plane in planes]


MILD: Colors = ((150, 110, 100), (110, 140, 110), (100, 110, 150), (160, 150, 110))


# HEIF and AVIF


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def heic(side: int = 64) -> bytes:
    import pillow_heif

    buffer = io.BytesIO()
    pillow_heif.from_pillow(quadrants(side=side)).save(buffer, quality=95, chroma=444)
    return buffer.getvalue()


def avif(**options) -> bytes:
    return saved(quadrants(), "AVIF", quality=100, subsampling="4:4:4", **options)


def with_property(data: bytes, extra: bytes) -> bytes:
    """Add a property to the only item of an AVIF file."""
    data = _appended(data, b"ipco", extra)
    at = data.index(b"ipma")
    data = data[: at + 14] + bytes([data[at + 14] + 1]) + data[at + 15 :]
    data = _appended(data, b"ipma", bytes([0x80 | properties(data)]))
    start = data.index(b"mdat") + 4
    at = data.index(struct.pack(">I", start - len(extra) - 1), data.index(b"iloc"))
    return data[:at] + struct.pack(">I", start) + data[at + 4 :]


def _appended(data: bytes, kind: bytes, extra: bytes) -> bytes:
    """Append to a box within the properties, which makes the boxes around it longer, too."""
    at = data.index(kind) - 4
    end = at + int.from_bytes(data[at : at + 4], "big")
    data = data[:end] + extra + data[end:]
    for one in (b"meta", b"iprp", kind):
        at = data.index(one) - 4
        size = int.from_bytes(data[at : at + 4], "big") + len(extra)
        data = data[:at] + struct.pack(">I", size) + data[at + 4 :]
    return data


def properties(data: bytes) -> int:
    at = data.index(b"ipco") + 4
    end = at - 8 + int.from_bytes(data[at - 8 : at - 4], "big")
    count = 0
    while at < end:
        at += int.from_bytes(data[at : at + 4], "big")
        count += 1
    return count


def aperture(width: int, height: int, right: int, down: int) -> bytes:
    """A crop of the given size, whose center is moved from that of the image."""
    return box(b"clap", struct.pack(">IIIIiIiI", width, 1, height, 1, right, 1, down, 1))


# Raw files


def raw(entries: dict[int, int], preview: bytes) -> bytes:
    """A TIFF file with the given tags, and a JPEG somewhere behind them."""
    directory = struct.pack("<H", len(entries))
    for tag, value in sorted(entries.items()):
        directory += struct.pack("<HHII", tag, 3 if value < 65536 else 4, 1, value)
    return b"II*\0" + struct.pack("<I", 8) + directory + bytes(4) + b"\xff\xd8\xff\x12" + preview


# DICOM


def dicom(samples: np.ndarray, **tags) -> bytes:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = tags.pop("TransferSyntaxUID", ExplicitVRLittleEndian)
    data.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    data.SOPClassUID = SecondaryCaptureImageStorage
    data.Rows, data.Columns = samples.shape[:2]
    data.SamplesPerPixel = samples.shape[2] if samples.ndim == 3 else 1
    if data.SamplesPerPixel > 1:
        data.PlanarConfiguration = 0
    data.BitsAllocated = data.BitsStored = 8 * samples.itemsize
    data.PixelRepresentation = int(samples.dtype.kind == "i")
    data.PhotometricInterpretation = "RGB" if samples.ndim == 3 else "MONOCHROME2"
    data.PixelData = samples.tobytes()
    for name, value in tags.items():
        setattr(data, name, value)
    data.HighBit = data.BitsStored - 1
    buffer = io.BytesIO()
    data.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def gray_samples(dtype: str = "u1", scale: float = 1.0, offset: float = 0.0) -> np.ndarray:
    return (pixels(GRAYS)[:, :, 0].astype(float) * scale + offset).astype(dtype)
