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
import re
import stat
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from PIL import Image

from headstart.errors import UnreadableImageError
from headstart.images.deep import load
from headstart.images.formats import HEAD_BYTES, NOT_AN_IMAGE, TAIL_BYTES, image_format
from headstart.images.limits import check_size
from headstart.images.notes import NoteCallback, ignore_note
from headstart.images.psd import read_psd
from headstart.images.rgb import to_rgb
from headstart.images.tiff import read_tiff

MAX_BYTES: Final = 2 * 1024**3
"""Larger files are refused unread; an image within `MAX_PIXELS` takes less."""

_READERS: Final[dict[str, Callable[[bytes, NoteCallback], Image.Image]]] = {
    "PSD": read_psd,
    "TIFF": read_tiff,
}
"""Formats that Pillow alone would misread: functions from a file's content to an image of any mode
that `to_rgb` converts. The orientation in its EXIF data is applied afterwards."""
_ORIENTATION: Final = 0x0112
_TRANSPOSES: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


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
            which is faster (Pillow's `draft`). By default it is decoded at full size.
        on_note: called with what had to be assumed or left out.

    Raises:
        UnreadableImageError: it cannot be decoded; the message is a short reason to show the user.
    """
    content = read_bytes(data) if isinstance(data, Path) else data
    if not content:
        raise UnreadableImageError("empty file")
    name = image_format(content[:HEAD_BYTES], content[-TAIL_BYTES:])
    if name is None:
        raise UnreadableImageError(NOT_AN_IMAGE)
    _silence_warnings()
    try:
        if (read := _READERS.get(name)) is not None:
            image = read(content, on_note)
        else:
            image = _plugin(name)(io.BytesIO(content), "")
            check_size(*image.size)
            if min_size is not None:
                image.draft(None, min_size(*image.size))
            image = load(image, content, on_note)
        return to_rgb(_upright(image), on_note=on_note)
    except UnreadableImageError:
        raise
    except MemoryError as error:
        raise UnreadableImageError("too large: out of memory") from error
    except Exception as error:  # plugins may raise anything on damaged data
        raise UnreadableImageError(_reason(error, name)) from error


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
        if name is None:
            raise UnreadableImageError(NOT_AN_IMAGE)
        _silence_warnings()
        try:
            image = _plugin(name)(file, "")
        except UnreadableImageError:
            raise
        except Exception as error:  # plugins may raise anything on damaged data
            raise UnreadableImageError(_reason(error, name)) from error
        yield image


def open_image(path: Path) -> Image.Image:
    """Decode the image at a path, with an error message that contains the path.

    Raises:
        UnreadableImageError: it cannot be decoded.
    """
    try:
        return decode(path)
    except UnreadableImageError as error:
        raise UnreadableImageError(f"cannot use {path}: {error}; give an image file") from error


def read_bytes(path: Path) -> bytes:
    """Return the content of an image file.

    Raises:
        UnreadableImageError: it cannot be read; the message is a short reason to show the user.
    """
    with _readable(path):
        return path.read_bytes()


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
        yield
    except UnreadableImageError:  # also a ValueError
        raise
    except FileNotFoundError as error:
        link = path.is_symlink()
        raise UnreadableImageError("broken link" if link else "no such file") from error
    except PermissionError as error:
        raise UnreadableImageError("permission denied") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UnreadableImageError(f"cannot be read: {reason.lower()}") from error


def _format_of(file: BinaryIO) -> str | None:
    """Return Pillow's name of the format of an open file, and go back to its start."""
    head = file.read(HEAD_BYTES)
    file.seek(max(0, file.seek(0, io.SEEK_END) - TAIL_BYTES))
    tail = file.read(TAIL_BYTES)
    file.seek(0)
    return image_format(head, tail)


def _plugin(name: str) -> Callable[[BinaryIO, str], Image.Image]:
    """Return the plugin that reads the header of an open file and makes an image to load."""
    if name == "HEIF":
        try:
            # Only the class: registering the plugin would change Pillow for the whole process.
            from pillow_heif import HeifImageFile
        except ImportError as error:
            raise UnreadableImageError(
                "HEIC needs the extra 'heic'; in headstart's repository, run: "
                'pip install ".[heic]"'
            ) from error
        return cast("Callable[[BinaryIO, str], Image.Image]", HeifImageFile)
    if name not in Image.OPEN:
        Image.init()  # loads the plugins; a second thread may do the same
    if name not in Image.OPEN:
        raise UnreadableImageError(f"this build of Pillow cannot read {name}")
    return cast("Callable[[BinaryIO, str], Image.Image]", Image.OPEN[name][0])


def _reason(error: Exception, name: str) -> str:
    detail = " ".join(str(error).split())
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return "too large: " + detail
    if isinstance(error, EOFError) or "truncated" in detail.lower():
        return "truncated"
    if "not identified" in detail:  # adds nothing: only the signature was right
        detail = ""
    if len(detail) > 100:
        detail = detail[:97] + "..."
    return f"damaged {name}: {detail}" if detail else f"damaged {name}"


def _upright(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation (already done for TIFF and HEIC when loading)."""
    try:
        method = _TRANSPOSES.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # noqa: BLE001 - damaged metadata does not affect the pixels
        return image
    return image if method is None else image.transpose(method)


# Decoders warn about damaged metadata, which does not matter here. `catch_warnings` replaces a
# process-wide list, so two threads that use it undo each other's changes. This filter affects
# warnings of the decoders only and stays installed; it is an ordinary tuple, because other code
# reads and copies the list.
_DECODERS: Final = re.compile(r"(PIL|pillow_heif|tifffile)(\.|$)|headstart\.images\.decode$")
_FILTER: Final = ("ignore", None, Warning, _DECODERS, 0)


def _silence_warnings() -> None:
    filters = cast("list[Any]", warnings.filters)
    # It must come first, before a filter such as "error", and is checked each time because a
    # `catch_warnings` elsewhere may have removed it.
    if not filters or filters[0] != _FILTER:
        with contextlib.suppress(ValueError):
            filters.remove(_FILTER)
        filters.insert(0, _FILTER)
