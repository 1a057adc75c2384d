"""From the bytes of a picture file to upright RGB pixels, whatever the file is like.

The content of a file decides what it is, never its ending: real folders are full of PNGs called
`.jpg`. A file is handed to exactly one Pillow plugin, found by its signature, and not offered to
all of them in turn as `PIL.Image.open` does. So no plugin that starts other programs
(PostScript) is ever reached, the size is known before anything is decoded, and the result does
not depend on Pillow's process-wide switches.

`decode` is safe to call from several threads.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import stat
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from headstart.errors import UnreadableImageError

MAX_PIXELS: Final = 180_000_000
"""More are refused: a decompression bomb, or a scan that would fill the memory (540 MB as RGB)."""
MAX_BYTES: Final = 2 * 1024**3
"""Larger files are refused unread; a picture within `MAX_PIXELS` is smaller."""
NO_IMAGE: Final = "not an image"
"""Why a file whose content is of no known format cannot be used."""
_HEAD_BYTES: Final = 512
"""How many of a file's first bytes tell its format: ISO media may list many brands there."""

EXTENSIONS: Final = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".tif", ".tiff", ".bmp"}
    | {".dib", ".gif", ".heic", ".heif", ".hif", ".avif", ".jp2", ".j2k", ".jpx", ".ppm", ".pgm"}
    | {".pbm", ".pnm", ".ico", ".qoi", ".psd", ".dds", ".sgi", ".tga"}
)
"""Endings, in lower case, that make a file a candidate."""

# (offset, signature, Pillow's name of the format). ISO media (HEIC, AVIF) have a function of their
# own, and TGA can be told only by the footer that version 2 of the format ends in.
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
_EIGHT_BITS: Final = np.rint(np.arange(65536) * (255 / 65535)).astype(np.uint8)
_ORIENTATION: Final = 0x0112
_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def looks_like_image(path: str | Path) -> bool:
    """Whether the ending of a file's name is that of a picture."""
    name = str(path)
    return name[name.rfind(".") :].lower() in EXTENSIONS


def image_format(head: bytes, tail: bytes = b"") -> str | None:
    """Tell the format from a file's content.

    Args:
        head: the file's first 512 bytes, or all of them.
        tail: its last bytes, which only TGA needs.

    Returns:
        Pillow's name of the format ("HEIF" for HEIC), or None if it is not an image known here.
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
    """Tell the format of a file as `image_format` does, reading no more of it than that takes.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:  # noqa: PTH123 - it takes both
        head = file.read(_HEAD_BYTES)
        size = file.seek(0, io.SEEK_END)
        file.seek(max(0, size - len(_TGA_FOOTER)))
        return image_format(head, file.read(len(_TGA_FOOTER)))


def decode(
    data: bytes | Path, *, least: Callable[[int, int], tuple[int, int]] | None = None
) -> Image.Image:
    """Decode a picture, turn it upright and bring it to 8-bit RGB.

    The first frame of an animation and the first page of a document count. What is transparent
    becomes white. 16-bit grays are scaled by 255 / 65535; 32-bit integers and floats have no
    nominal range, see `_gray`.

    Args:
        data: the bytes of a file, or its path.
        least: the (width, height) that are enough of a picture of so many pixels. A JPEG is then
            made smaller while it is decoded, to a half, a quarter or an eighth and never below
            that: fewer cosines are summed (Pillow's `draft`). By default it stays whole.

    Returns:
        A loaded picture in mode RGB.

    Raises:
        UnreadableImageError: it cannot be decoded; the message is a short reason for people.
    """
    content = read_bytes(data) if isinstance(data, Path) else data
    if not content:
        raise UnreadableImageError("empty file")
    name = image_format(content[:_HEAD_BYTES], content[-len(_TGA_FOOTER) :])
    if name is None:
        raise UnreadableImageError(NO_IMAGE)
    _hush_warnings()
    try:
        image = _factory(name)(io.BytesIO(content), "")
        _check_size(*image.size)
        if least is not None:
            image.draft(None, least(*image.size))
        image.load()
        return _rgb(_upright(image))
    except UnreadableImageError:
        raise
    except MemoryError as error:
        raise UnreadableImageError("too large: not enough memory") from error
    except Exception as error:  # on broken bytes a plugin may raise anything
        raise UnreadableImageError(_reason(error, name)) from error


def open_picture(path: Path) -> Image.Image:
    """`decode` for the one picture that a user named: the error names it too.

    Raises:
        UnreadableImageError: it is not a picture.
    """
    try:
        return decode(path)
    except UnreadableImageError as error:
        raise UnreadableImageError(
            f"cannot use {path}: {error}; give the file of a picture"
        ) from error


def read_bytes(path: Path) -> bytes:
    """The bytes of an image file.

    Raises:
        UnreadableImageError: they cannot be read; the message is a short reason for people.
    """
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            closed = "" if os.access(path, os.R_OK) else " that may not be opened"
            raise UnreadableImageError(f"a folder{closed}")
        _check_file(found.st_mode, found.st_size)
        return path.read_bytes()
    except UnreadableImageError:  # a ValueError as well
        raise
    except FileNotFoundError as error:
        link = path.is_symlink()
        raise UnreadableImageError("broken link" if link else "no such file") from error
    except PermissionError as error:
        raise UnreadableImageError("permission denied") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UnreadableImageError(f"cannot be read: {reason.lower()}") from error


def _check_file(mode: int, size: int) -> None:
    if not stat.S_ISREG(mode):  # opening a named pipe would wait for ever
        raise UnreadableImageError("not a regular file")
    if size > MAX_BYTES:
        limit = f"limit {MAX_BYTES / 1e9:.1f} GB"
        raise UnreadableImageError(f"too large: {size / 1e9:.1f} GB ({limit})")


def _factory(name: str) -> Callable[[io.BytesIO, str], Image.Image]:
    """What makes an unloaded image of an open file; nothing but the header is read."""
    if name == "HEIF":
        try:
            # The class alone: registering the opener would change what Pillow does for everyone.
            from pillow_heif import HeifImageFile
        except ImportError as error:
            raise UnreadableImageError(
                'HEIC needs an extra: pip install "headstart[heic]"'
            ) from error
        return cast("Callable[[io.BytesIO, str], Image.Image]", HeifImageFile)
    if name not in Image.OPEN:
        Image.init()  # loads the plugins; a second thread doing the same does no harm
    if name not in Image.OPEN:
        raise UnreadableImageError(f"this build of Pillow cannot read {name}")
    return cast("Callable[[io.BytesIO, str], Image.Image]", Image.OPEN[name][0])


def _check_size(width: int, height: int) -> None:
    if width < 1 or height < 1:
        raise UnreadableImageError(f"damaged: a picture of {width} x {height} pixels")
    if width * height > MAX_PIXELS:
        limit = f"limit {MAX_PIXELS // 1_000_000} million"
        raise UnreadableImageError(f"too large: {width} x {height} pixels ({limit})")


def _reason(error: Exception, name: str) -> str:
    said = " ".join(str(error).split())
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return "too large: " + said
    if isinstance(error, EOFError) or "truncated" in said.lower():
        return "truncated"
    if "not identified" in said:  # says nothing: the signature was right, and all else is not
        said = ""
    if len(said) > 100:
        said = said[:97] + "..."
    return f"damaged {name}: {said}" if said else f"damaged {name}"


def _upright(image: Image.Image) -> Image.Image:
    """Apply the orientation noted in the file (TIFF and HEIC have done it while loading)."""
    try:
        turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # noqa: BLE001 - broken metadata do not spoil the pixels
        return image
    return image if turn is None else image.transpose(turn)


def _rgb(image: Image.Image) -> Image.Image:
    """Bring a loaded picture of any mode to RGB."""
    if image.mode.startswith("I") or image.mode == "F":
        image = _gray(image)
    elif image.mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(lab, srgb, "LAB", "RGB")
        return cast("Image.Image", ImageCms.applyTransform(image, transform))
    if image.has_transparency_data:
        image = image if image.mode == "RGBA" else image.convert("RGBA")
        alpha = image.getchannel("A")
        if alpha.getextrema() != (255, 255):
            white = Image.new("RGB", image.size, (255, 255, 255))
            white.paste(image, mask=alpha)
            return white
    return image if image.mode == "RGB" else image.convert("RGB")


def _gray(image: Image.Image) -> Image.Image:
    """Scale a picture with more than 8 bits a pixel to mode L.

    Modes I;16 span 0 to 65535 by definition. Modes I and F say nothing of their range, so the
    smallest usual range that holds the values is taken, the same for bright and dark pictures
    where possible: [0, 1] for floats, then [0, 255], then [0, 65535], then the picture's own.
    """
    if image.mode.startswith("I;16"):
        return Image.fromarray(_EIGHT_BITS[np.asarray(image)])
    values: npt.NDArray[np.float64] = np.asarray(image, dtype=np.float64)
    finite = values[np.isfinite(values)]
    if not finite.size:
        raise UnreadableImageError("no pixel is a number")
    least, most = float(finite.min()), float(finite.max())
    usual = (1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0)
    fitting = [top for top in usual if least >= 0 and most <= top]
    low, high = (0.0, fitting[0]) if fitting else (least, most)
    values = np.nan_to_num(values, nan=low, posinf=high, neginf=low)
    # Scaling before subtracting: the difference of two huge floats may overflow, this cannot.
    scale = 255 / (high / 2 - low / 2) / 2 if high > low else 0.0
    return Image.fromarray(np.rint(values * scale - low * scale).clip(0, 255).astype(np.uint8))


# Decoders warn of broken metadata, which is of no use to anybody here. `catch_warnings` swaps a
# process-wide list, so two threads inside it undo each other. This filter concerns warnings of the
# decoders alone and stays; it is of the ordinary form, since others read and copy the list.
_DECODERS: Final = re.compile(r"(PIL|pillow_heif)(\.|$)|headstart\.images\.decode$")
_QUIET: Final = ("ignore", None, Warning, _DECODERS, 0)


def _hush_warnings() -> None:
    filters = cast("list[Any]", warnings.filters)
    # First in the list, or a filter such as "error" is met before it. Somebody's catch_warnings
    # may have dropped it, hence the look each time.
    if not filters or filters[0] != _QUIET:
        with contextlib.suppress(ValueError):
            filters.remove(_QUIET)
        filters.insert(0, _QUIET)
