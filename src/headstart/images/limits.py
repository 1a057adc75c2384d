"""Sizes beyond which an image is refused before its pixels are decoded, or decoded on its own.

What an image takes in memory depends on its pixels, not on its file: one of less than a megabyte
may have 200 million. So every reader states what it needs, and one large image is decoded at a
time, whatever the number of threads.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from headstart.errors import UnreadableImageError
from headstart.system.machine import return_memory

MAX_PIXELS: Final = 220_000_000
"""Larger images are refused. Phones take JPEG photos of up to 200 million; images of other kinds
take more memory, which limits them to fewer."""
MAX_MEMORY: Final = 1_400_000_000
"""Bytes that the file and the pixels of an image may take while it is decoded."""
LARGE_PIXELS: Final = 50_000_000
"""Images of more are large."""
_ALONE: Final = 4 * LARGE_PIXELS
"""Images that take more bytes are decoded one at a time."""
_SHOWN: Final = 2048
"""Longer side in pixels of a large image where it is shown, at least."""


class _Turn(threading.local):
    """What the current thread decodes."""

    depth = 0
    holds_lock = False
    file_bytes = 0


_turn = _Turn()
_large = threading.Lock()


@contextmanager
def one_large_image() -> Iterator[None]:
    """Let a thread that meets a large image wait until no other has one, and have it to the end.

    Raises:
        UnreadableImageError: there is not enough memory for the image.
    """
    _turn.depth += 1
    try:
        yield
    except MemoryError as error:
        raise UnreadableImageError("too large: out of memory") from error
    finally:
        _turn.depth -= 1
        if not _turn.depth:
            _turn.file_bytes = 0
            if _turn.holds_lock:
                _turn.holds_lock = False
                return_memory()
                _large.release()


def state_file(size: int) -> None:
    """State the bytes of the file that is read or decoded, which count as memory."""
    if _turn.depth:
        _turn.file_bytes = size
        _wait_if(size > _ALONE)


def check_size(width: int, height: int, *, pixel_bytes: float = 4, further: float = 0) -> None:
    """Refuse an image without pixels, or with too many.

    Args:
        width: in pixels.
        height: in pixels.
        pixel_bytes: memory that decoding takes for each pixel; Pillow takes four for any color.
        further: memory that it takes besides.

    Raises:
        UnreadableImageError: it has less than one pixel or more than `MAX_PIXELS`, or it would take
            more than `MAX_MEMORY`.
    """
    if width < 1 or height < 1:
        raise UnreadableImageError(f"damaged: {width} x {height} pixels")
    if width * height > MAX_PIXELS:
        limit = f"limit {MAX_PIXELS // 1_000_000} million"
        raise UnreadableImageError(f"too large: {width} x {height} pixels ({limit})")
    memory = width * height * pixel_bytes + further + _turn.file_bytes
    if memory > MAX_MEMORY:
        limit = f"limit {MAX_MEMORY / 1e9:.1f} GB"
        raise UnreadableImageError(
            f"too large: {width} x {height} pixels of this kind take {memory / 1e9:.1f} GB to "
            f"decode ({limit})"
        )
    _wait_if(memory > _ALONE)


def is_large(width: int, height: int) -> bool:
    """Whether an image is reduced where its full size is not needed."""
    return width * height > LARGE_PIXELS


def shown_size(width: int, height: int) -> tuple[int, int]:
    """Return the least (width, height) at which an image is shown: all of it unless it is large."""
    if not is_large(width, height):
        return width, height
    scale = _SHOWN / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _wait_if(large: bool) -> None:
    if large and _turn.depth and not _turn.holds_lock:
        _large.acquire()
        _turn.holds_lock = True
