"""Recognition of image files by their content.

The extension is ignored, because real folders are full of PNGs named `.jpg`.
"""

import io
import re
import struct
from pathlib import Path
from typing import Final

from headstart.images.other_formats import NOT_AN_IMAGE, refusal
from headstart.system.files import head_of

__all__ = [
    "EXTENSIONS",
    "NOT_AN_IMAGE",
    "extension",
    "file_format",
    "file_refusal",
    "image_format",
    "refusal",
]

HEAD_BYTES: Final = 4096
"""Number of first bytes that identify a file; comments may precede the root of an SVG."""
TAIL_BYTES: Final = 18
"""Number of last bytes that identify a TGA file."""

EXTENSIONS: Final = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".pjpeg", ".mpo", ".png", ".apng", ".webp", ".tif"}
    | {".tiff", ".bmp", ".dib", ".gif", ".heic", ".heif", ".hif", ".heics", ".avif", ".avifs"}
    | {".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx", ".jph", ".jxl", ".ppm", ".pgm", ".pbm"}
    | {".pnm", ".pfm", ".ico", ".cur", ".icns", ".qoi", ".psd", ".psb", ".dds", ".pcx", ".sgi"}
    | {".rgb", ".rgba", ".bw", ".tga", ".icb", ".vda", ".vst", ".dcm", ".dicom"}
    # Cameras' raw files
    | {".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".srf", ".sr2", ".orf", ".rw2"}
    | {".raf", ".pef", ".srw", ".x3f", ".mrw", ".3fr", ".erf", ".kdc", ".dcr", ".mos", ".iiq"}
)
"""Lower-case extensions that make a file a candidate."""

# (offset, signature, name). Names are Pillow's, apart from RAW, JXL and DICOM. The most common
# formats come first.
_SIGNATURES: Final = (
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"GIF87a", "GIF"),
    (0, b"GIF89a", "GIF"),
    (0, b"II*\x00", "TIFF"),
    (0, b"MM\x00*", "TIFF"),
    (0, b"II+\x00", "TIFF"),
    (0, b"MM\x00+", "TIFF"),
    (0, b"\x00\x00\x00\x0cjP  \r\n\x87\n", "JPEG2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG2000"),
    (0, b"\x00\x00\x00\x0cJXL \r\n\x87\n", "JXL"),
    (0, b"\xff\x0a", "JXL"),
    (0, b"icns", "ICNS"),
    (0, b"qoif", "QOI"),
    (0, b"8BPS\x00\x01", "PSD"),
    (0, b"8BPS\x00\x02", "PSD"),
    (0, b"DDS \x7c\x00\x00\x00", "DDS"),
    (0, b"\x01\xda\x00", "SGI"),
    (0, b"\x01\xda\x01", "SGI"),
    (128, b"DICM", "DICOM"),
    (0, b"IIRO", "RAW"),  # Olympus
    (0, b"IIRS", "RAW"),
    (0, b"MMOR", "RAW"),
    (0, b"IIU\x00", "RAW"),  # Panasonic
    (0, b"FUJIFILMCCD-RAW", "RAW"),
    (0, b"FOVb", "RAW"),  # Sigma
    (0, b"\x00MRM", "RAW"),  # Minolta
    (6, b"HEAPCCDR", "RAW"),  # older Canon
)
_PPM: Final = re.compile(rb"(P[1-6]|Pf)\s+(#|\d)")
_DICOM_WITHOUT_PREAMBLE: Final = re.compile(rb"[\x02\x08]\x00.\x00(UL|OB|CS|UI)", re.S)
_ICONS: Final = {b"\x00\x00\x01\x00": "ICO", b"\x00\x00\x02\x00": "CUR"}
_BMP_HEADERS: Final = frozenset({12, 16, 40, 52, 56, 64, 108, 124})
_PADDING: Final = b"\x00\t\n\r \xef\xbb\xbf"
"""What programs that print an image, such as PHP, may print before it."""
_AVIF_BRANDS: Final = frozenset({b"avif", b"avis"})
_HEIF_BRANDS: Final = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"mif2"}
    | {b"mif3", b"msf1", b"avci", b"avcs", b"vvic", b"vvis", b"evbi", b"jpeg", b"jpgs", b"j2ki"}
    | {b"j2is", b"unif", b"1pic", b"geo1"}
)


def looks_like_image(path: str | Path) -> bool:
    """Whether a file has the extension of an image."""
    name = str(path)
    return name[name.rfind(".") :].lower() in EXTENSIONS


def image_format(head: bytes, tail: bytes = b"") -> str | None:
    """Return the name of a file's format, such as "HEIF" for HEIC; None if it is not supported.

    Args:
        head: the first `HEAD_BYTES` of the file, or all of it.
        tail: the last `TAIL_BYTES` of the file, needed only for TGA.
    """
    for offset, signature, name in _SIGNATURES:
        if head.startswith(signature, offset):
            return name
    if head[4:8] == b"ftyp":
        return _iso_media(head)
    if head.startswith(b"RIFF"):
        return "WEBP" if head.startswith(b"WEBP", 8) else None
    if head.startswith(b"BM"):
        return "BMP" if int.from_bytes(head[14:18], "little") in _BMP_HEADERS else None
    if _PPM.match(head):
        return "PPM"
    if head[:4] in _ICONS and any(head[4:6]):
        return _ICONS[head[:4]]
    if _DICOM_WITHOUT_PREAMBLE.match(head):
        return "DICOM"
    if head.startswith(b"\xff\xd8") or head.lstrip(_PADDING).startswith(b"\xff\xd8\xff"):
        return "JPEG"  # with bytes that do not belong to it
    return _without_signature(head, tail)


def extension(head: bytes, tail: bytes = b"") -> str:
    """Return the extension of a file with this content, "" if its format is not supported.

    The arguments are those of `image_format`.
    """
    name = image_format(head, tail)
    return {None: "", "JPEG": ".jpg"}.get(name, f".{(name or '').lower()}")


def _iso_media(head: bytes) -> str | None:
    """Tell HEIF, AVIF and Canon's raw files from videos by the brands of the file.

    HEIF and AVIF share some; which one it is, only the items say that lie behind.
    """
    end = min(len(head), int.from_bytes(head[:4], "big"))
    brands = {head[8:12], *(head[at : at + 4] for at in range(16, end, 4))}
    if brands & _AVIF_BRANDS:
        return "AVIF"
    if brands & _HEIF_BRANDS:
        return "HEIF"
    return "RAW" if b"crx " in brands else None


def _without_signature(head: bytes, tail: bytes) -> str | None:
    """Recognize formats by whether their header makes sense."""
    if len(head) < 18:
        return None
    if head.startswith(b"\x28\x00\x00\x00") and head[12:14] == b"\x01\x00":
        return "DIB" if head[14] in (1, 4, 8, 16, 24, 32) and not head[15] else None
    if head[0] == 10 and head[1] in (0, 2, 3, 4, 5) and head[2] < 2 and head[3] in (1, 2, 4, 8):
        return "PCX" if len(head) > 64 and not head[64] else None
    return "TGA" if tail.endswith(b"TRUEVISION-XFILE.\x00") or _is_tga(head) else None


def _is_tga(head: bytes) -> bool:
    """Whether the header is that of a TGA file, whose first version has no signature."""
    _, has_map, kind, _, colors, map_bits = struct.unpack_from("<BBBHHB", head)
    width, height, bits, descriptor = struct.unpack_from("<HHBB", head, 12)
    if has_map:
        fits = kind in (1, 9) and colors > 0 and map_bits in (15, 16, 24, 32) and bits in (8, 16)
    else:
        depths = {2: (15, 16, 24, 32), 10: (15, 16, 24, 32), 3: (8, 16), 11: (8, 16)}
        fits = bits in depths.get(kind, ()) and not any(head[3:8])
    return fits and has_map < 2 and width > 0 and height > 0 and descriptor & 0xC0 == 0


def file_format(path: str | Path) -> str | None:
    """Identify the format of a file as `image_format` does, reading no more than necessary.

    Raises:
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:  # noqa: PTH123 - accepts both types
        head = file.read(HEAD_BYTES)
        size = file.seek(0, io.SEEK_END)
        file.seek(max(0, size - TAIL_BYTES))
        return image_format(head, file.read(TAIL_BYTES))


def file_refusal(path: Path) -> str:
    """Return the reason for refusing a file of which `file_format` knows no format."""
    return refusal(head_of(path, HEAD_BYTES))
