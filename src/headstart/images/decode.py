"""Decoding of any image file to upright 8-bit RGB.

A file is passed to exactly one Pillow plugin, found by its content (see `formats`), instead of
being offered to every plugin as `PIL.Image.open` does. So plugins that start other programs
(PostScript) are never used, the size is known before anything is decoded, and the result does not
depend on Pillow's process-wide settings.

`decode` can be called from several threads at once.
"""

import contextlib
import io
import os
import stat
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, Final

from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from headstart.errors import UnreadableImageError
from headstart.images.decoder_warnings import silence_warnings
from headstart.images.deep import load
from headstart.images.formats import HEAD_BYTES, TAIL_BYTES, image_format
from headstart.images.jpeg_scans import coefficient_bytes
from headstart.images.limits import (
    check_size,
    is_large,
    one_large_image,
    shown_size,
    state_file,
)
from headstart.images.notes import ImageNote, NoteCallback, ignore_note
from headstart.images.orientation import upright
from headstart.images.other_formats import refusal
from headstart.images.plugins import plugin
from headstart.images.raw import has_thumbnail, is_raw, preview
from headstart.images.reasons import reason_of
from headstart.images.reduction import reduced
from headstart.images.rgb import to_rgb
from headstart.images.source import ImageContent, ImageSource, is_url

MAX_BYTES: Final = 1_200_000_000
"""Larger files are refused unread: their pixels would not fit besides."""
_MODE_BYTES: Final = {"1": 1, "L": 1, "P": 1, "I;16": 2}
"""Memory of a pixel; of all other modes it is four."""
_MEMORY: Final = {"WEBP": 16, "QOI": 8, "DDS": 6}
"""Memory of a pixel while it is decoded, where Pillow takes more than for the image."""
_FLOAT_MEMORY: Final = 9
"""Memory of a pixel that is a floating-point number, with its conversion to levels."""
_READERS: Final = {
    "AVIF": ("iso_media", "read_heif"),
    "BMP": ("bmp", "read_bmp"),
    "CUR": ("icon", "read_icon"),
    "DICOM": ("dicom", "read_dicom"),
    "GIF": ("gif", "read_gif"),
    "HEIF": ("iso_media", "read_heif"),
    "ICO": ("icon", "read_icon"),
    "JPEG2000": ("jpeg2000", "read_jpeg2000"),
    "JXL": ("jpeg_xl", "read_jpeg_xl"),
    "PSD": ("psd", "read_psd"),
    "TGA": ("tga", "read_tga"),
    "TIFF": ("tiff", "read_tiff"),
}
"""Formats that Pillow alone would misread: functions from a file's content to an image of any mode
that `to_rgb` converts, by module, which is imported for the first such image. The orientation in
its EXIF data is applied afterwards."""
_REPAIRS: Final = {
    "JPEG": ("jpeg", "pixels_only"),
    "PNG": ("png", "pixels_only"),
    "SGI": ("sgi", "verbatim"),
}
"""Formats whose whole images Pillow may refuse: functions from a file's content to what it reads
instead, or to None, likewise."""
_UNWRITTEN: Final = bytes(16)
_ENDED: Final = frozenset({"JPEG", "PNG"})
"""Formats with a mark at the end, so that the zeros behind it are no pixels. Without the mark, they
are what a download that did not finish has not written yet, and would be read as pixels."""


def decode(
    data: bytes | Path,
    *,
    min_size: Callable[[int, int], tuple[int, int]] | None = None,
    on_note: NoteCallback = ignore_note,
) -> Image.Image:
    """Decode an image, apply its orientation, and convert it to 8-bit RGB.

    Of an animation the first frame is decoded, of a document the first page. For transparent areas
    and color profiles see `rgb`, for more than 8 bits per channel `depth`.

    Args:
        data: the content of a file, or its path.
        min_size: maps the (width, height) of the image to the smallest (width, height) needed. A
            JPEG is then decoded at a half, a quarter or an eighth of its size, never below that,
            which is faster (Pillow's `draft`), and a large image of any other kind is reduced
            likewise before it is converted. By default it is decoded at full size.
        on_note: called with what had to be assumed or left out.

    Raises:
        UnreadableImageError: it cannot be decoded; the message is a short reason to show the user.
    """
    with one_large_image():
        content = read_bytes(data) if isinstance(data, Path) else data
        state_file(len(content))
        return _decode(content, min_size, on_note)


def _decode(
    content: bytes,
    min_size: Callable[[int, int], tuple[int, int]] | None,
    on_note: NoteCallback,
) -> Image.Image:
    name = image_format(content[:HEAD_BYTES], content[-TAIL_BYTES:])
    if name is None:
        raise UnreadableImageError(refusal(content[:HEAD_BYTES]))
    silence_warnings()
    if name in _ENDED and content.endswith(_UNWRITTEN):
        content = content.rstrip(_UNWRITTEN[:1])
    if name == "RAW" or (name == "TIFF" and is_raw(content)):
        name, content = _preview(name, content, on_note)
    try:
        return _decoded(name, content, min_size, on_note)
    except _DamagedImageError:
        repaired = _repaired(name, content)
        if repaired is None:
            raise
    return _decoded(name, repaired, None, on_note)


class _DamagedImageError(UnreadableImageError):
    """The reader of the format failed."""


def _decoded(
    name: str,
    content: bytes,
    min_size: Callable[[int, int], tuple[int, int]] | None,
    on_note: NoteCallback,
) -> Image.Image:
    try:
        if name in _READERS:
            image: Image.Image = _function(*_READERS[name])(content, on_note)
        else:
            opened = plugin(name)(io.BytesIO(content), "")
            check_size(*opened.size, pixel_bytes=0)
            further = 0.0
            if isinstance(opened, JpegImageFile):  # others may show another image at a smaller size
                further = opened.width * opened.height * coefficient_bytes(opened)
                if min_size is not None:
                    opened.draft(None, min_size(*opened.size))
            memory = _FLOAT_MEMORY if opened.mode == "F" else _MEMORY.get(name, 4)
            check_size(*opened.size, pixel_bytes=memory, further=further)
            image = load(opened, content, on_note)
        if is_large(*image.size):
            image = _smaller(image, min_size)
        return to_rgb(upright(image), on_note=on_note)
    except (UnreadableImageError, MemoryError):
        raise
    except Exception as error:  # plugins may raise anything on damaged data
        raise _DamagedImageError(reason_of(error, name, content)) from error


def _smaller(
    image: Image.Image, min_size: Callable[[int, int], tuple[int, int]] | None
) -> Image.Image:
    """Reduce a large image, or refuse it if there is no memory to convert it."""
    if min_size is not None:
        return reduced(image, min_size(*image.size))
    plain = image.mode == "RGB" and not image.has_transparency_data and "exif" not in image.info
    check_size(
        *image.size,
        pixel_bytes=_MODE_BYTES.get(image.mode, 4)
        + 4 * (not plain)
        + 5 * image.has_transparency_data,
    )
    return image


def _repaired(name: str, content: bytes) -> bytes | None:
    if name not in _REPAIRS:
        return None
    try:
        repaired: bytes | None = _function(*_REPAIRS[name])(content)
    except Exception:  # noqa: BLE001 - it is damaged beyond repair
        return None
    return repaired


def _function(module: str, name: str) -> Callable[..., Any]:
    return getattr(import_module(f"headstart.images.{module}"), name)  # type: ignore[no-any-return]


def _preview(name: str, content: bytes, on_note: NoteCallback) -> tuple[str, bytes]:
    """Return the format and the content of the image to read instead of a camera's raw file."""
    jpeg_file = preview(content)
    if jpeg_file is not None or has_thumbnail(content):
        on_note(ImageNote.RAW_PREVIEW)
    elif name == "RAW":
        raise UnreadableImageError("not supported: a camera's raw file without a preview")
    return (name, content) if jpeg_file is None else ("JPEG", jpeg_file)


@contextlib.contextmanager
def open_header(path: Path) -> Iterator[Image.Image]:
    """Open an image without decoding its pixels, for its size and metadata.

    No more of the file is read than the plugin needs. The file is closed at the end.

    Raises:
        UnreadableImageError: it cannot be read, or is not an image.
    """
    with contextlib.ExitStack() as stack:
        with _readable(path):
            file = stack.enter_context(path.open("rb"))
            name = _format_of(file)
        silence_warnings()
        try:
            image = plugin(name)(file, "")
        except UnreadableImageError:
            raise
        except Exception as error:  # plugins may raise anything on damaged data
            raise UnreadableImageError(reason_of(error, name)) from error
        yield image


def open_image(path: Path) -> Image.Image:
    """Decode the image at a path, a large one reduced, with an error message that has the path.

    Raises:
        UnreadableImageError: it cannot be decoded.
    """
    try:
        return decode(path, min_size=shown_size)
    except UnreadableImageError as error:
        raise UnreadableImageError(f"cannot use {path}: {error}; give an image file") from error


def read_bytes(source: ImageSource) -> bytes:
    """Return the content of an image file, of which `source` may be the path.

    Raises:
        UnreadableImageError: it cannot be read; the message is a short reason to show the user.
    """
    if isinstance(source, ImageContent):
        if source.fault is not None:
            raise UnreadableImageError(source.fault)
        return source.content
    with _readable(source):
        return source.read_bytes()


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Refuse what is not an ordinary file, and state why it cannot be read."""
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            closed = "" if os.access(path, os.R_OK) else " without read permission"
            raise UnreadableImageError(f"a folder{closed}")
        if not stat.S_ISREG(found.st_mode):  # opening a named pipe would block forever
            raise UnreadableImageError("not a regular file")
        if found.st_size > MAX_BYTES:
            size, limit = f"{found.st_size / 1e9:.1f} GB", f"limit {MAX_BYTES / 1e9:.1f} GB"
            raise UnreadableImageError(f"too large: {size} ({limit})")
        state_file(found.st_size)
        yield
    except UnreadableImageError:  # also a ValueError
        raise
    except FileNotFoundError as error:
        reason = "broken link" if path.is_symlink() else "no such file"
        if is_url(str(path)):
            reason = "a URL, which headstart does not open; download the file and give its path"
        raise UnreadableImageError(reason) from error
    except PermissionError as error:
        raise UnreadableImageError("permission denied") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UnreadableImageError(f"cannot be read: {reason.lower()}") from error


def _format_of(file: BinaryIO) -> str:
    """Return the name of the format of an open file, and go back to its start."""
    head = file.read(HEAD_BYTES)
    file.seek(max(0, file.seek(0, io.SEEK_END) - TAIL_BYTES))
    tail = file.read(TAIL_BYTES)
    file.seek(0)
    name = image_format(head, tail)
    if name is None:
        raise UnreadableImageError(refusal(head))
    return name
