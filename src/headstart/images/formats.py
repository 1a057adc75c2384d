"""Recognition of image files by their content.

The extension is ignored, because real folders are full of PNGs named `.jpg`.
"""

import io
from pathlib import Path
from typing import Final

NOT_AN_IMAGE: Final = "not an image"
"""The reason for skipping a file whose content has no known format."""
HEAD_BYTES: Final = 512
"""Number of first bytes that identify a file; ISO media may list many brands there."""
TAIL_BYTES: Final = 18
"""Number of last bytes that identify a TGA file."""

EXTENSIONS: Final = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".tif", ".tiff", ".bmp"}
    | {".dib", ".gif", ".heic", ".heif", ".hif", ".avif", ".jp2", ".j2k", ".jpx", ".ppm", ".pgm"}
    | {".pbm", ".pnm", ".ico", ".qoi", ".psd", ".dds", ".sgi", ".tga"}
)
"""Lower-case extensions that make a file a candidate."""

# (offset, signature, Pillow's name of the format). ISO media (HEIC, AVIF) are handled separately,
# and TGA is recognizable only by the footer of version 2 of the format.
_SIGNATURES: Final = (
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (8, b"WEBP", "WEBP"),
    (0, b"GIF87a", "GIF"),
    (0, b"GIF89a", "GIF"),
    (0, b"II*\x00", "TIFF"),
    (0, b"MM\x00*", "TIFF"),
    (0, b"II+\x00", "TIFF"),
    (0, b"MM\x00+", "TIFF"),
    (0, b"BM", "BMP"),
    (0, b"\x00\x00\x00\x0cjP  \r\n\x87\n", "JPEG2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG2000"),
    (0, b"\x00\x00\x01\x00", "ICO"),
    (0, b"qoif", "QOI"),
    (0, b"8BPS\x00\x01", "PSD"),
    (0, b"DDS ", "DDS"),
    (0, b"\x01\xda", "SGI"),
    *((0, b"P%d%b" % (kind, gap), "PPM") for kind in range(1, 7) for gap in (b"\n", b" ", b"\r")),
)
_TGA_FOOTER: Final = b"TRUEVISION-XFILE.\x00"
_HEIF_BRANDS: Final = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
)


def looks_like_image(path: str | Path) -> bool:
    """Whether a file has the extension of an image."""
    name = str(path)
    return name[name.rfind(".") :].lower() in EXTENSIONS


def image_format(head: bytes, tail: bytes = b"") -> str | None:
    """Return Pillow's name of a file's format, such as "HEIF" for HEIC; None if it is unknown.

    Args:
        head: the first `HEAD_BYTES` of the file, or all of it.
        tail: the last `TAIL_BYTES` of the file, needed only for TGA.
    """
    for offset, signature, name in _SIGNATURES:
        if head.startswith(signature, offset):
            return name
    if head[4:8] == b"ftyp":
        # Both families share the container brand "mif1", so the compatible brands decide.
        end = min(len(head), int.from_bytes(head[:4], "big"))
        brands = {head[8:12], *(head[at : at + 4] for at in range(16, end, 4))}
        if brands & {b"avif", b"avis"}:
            return "AVIF"
        return "HEIF" if brands & _HEIF_BRANDS else None
    return "TGA" if tail.endswith(_TGA_FOOTER) else None


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
