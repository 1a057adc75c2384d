"""Sizes beyond which an image is refused before its pixels are decoded, or waits for others.

What an image takes in memory depends on its pixels, not on its file: one of less than a megabyte
may have 200 million. So every reader states what it needs, and what all threads have stated for
their images beyond ordinary ones is together no more than what a single image may take.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from typing import Final

from headstart.errors import UnreadableImageError
from headstart.system.machine import return_memory

MAX_PIXELS: Final = 220_000_000
"""Larger images are refused. Phones take JPEG photos of up to 200 million; images of other kinds
take more memory, which limits them to fewer."""
MAX_MEMORY: Final = 1_400_000_000
"""Bytes that the file and the pixels of an image may take while it is decoded, and those of all
images together that take more than `_ORDINARY`."""
LARGE_PIXELS: Final = 50_000_000
"""Images of more are large."""
_ORDINARY: Final = 64_000_000
"""Images that take no more bytes never wait."""
_LARGE_FILE: Final = 200_000_000
"""Files of more bytes are read one at a time, as what their pixels take is not yet known."""
_FRAGMENTS: Final = 200_000_000
"""After images that take more bytes, free ones are returned: threads would keep gigabytes."""
_SHOWN: Final = 2048
"""Longer side in pixels of a large image where it is shown, at least."""


@dataclass(slots=True)
class PixelLimit:
    """The largest image that a thread accepts.

    Attributes:
        most: Its pixels.
        exceeded: Whether an image was refused for having more.
    """

    most: int = MAX_PIXELS
    exceeded: bool = False


class _Turn(threading.local):
    """What the current thread decodes."""

    depth = 0
    memory = 0
    file_bytes = 0

    def __init__(self) -> None:
        self.limit = PixelLimit()


class _Memory:
    """The bytes that all threads have stated."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._stated = 0

    def take(self, size: int) -> None:
        """Let the current thread wait until it can have so much, instead of what it has.

        It gives that up first: two threads that both need more would wait for each other.
        """
        with self._changed:
            self._stated -= _turn.memory
            _turn.memory = 0
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._stated + size <= MAX_MEMORY)
            self._stated += size
            _turn.memory = size


_turn = _Turn()
_memory = _Memory()


@contextmanager
def one_large_image() -> Iterator[None]:
    """Let a thread that meets a large image wait until there is memory, and have it to the end.

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
            if _turn.memory:
                if _turn.memory > _FRAGMENTS:
                    return_memory()
                _memory.take(0)


@contextmanager
def at_most(pixels: int) -> Iterator[PixelLimit]:
    """Let the current thread refuse images of more pixels, which `MAX_PIXELS` bounds as well."""
    before, _turn.limit = _turn.limit, PixelLimit(min(pixels, MAX_PIXELS))
    try:
        yield _turn.limit
    finally:
        _turn.limit = before


def state_file(size: int) -> None:
    """State the bytes of the file that is read or decoded, which count as memory."""
    if _turn.depth:
        _turn.file_bytes = size
        if size > _LARGE_FILE:
            _state(MAX_MEMORY)


def check_size(width: int, height: int, *, pixel_bytes: float = 4, further: float = 0) -> None:
    """Refuse an image without pixels, or with too many.

    Args:
        width: in pixels.
        height: in pixels.
        pixel_bytes: memory that decoding takes for each pixel; Pillow takes four for any color.
        further: memory that it takes besides.

    Raises:
        UnreadableImageError: it has less than one pixel or more than `MAX_PIXELS` or what
            `at_most` says, or it would take more than `MAX_MEMORY`.
    """
    if width < 1 or height < 1:
        raise UnreadableImageError(f"damaged: {width} x {height} pixels")
    if width * height > _turn.limit.most:
        _turn.limit.exceeded = True
        limit = f"limit {_turn.limit.most / 1e6:g} million"
        raise UnreadableImageError(f"too large: {width} x {height} pixels ({limit})")
    memory = width * height * pixel_bytes + further + _turn.file_bytes
    if memory > MAX_MEMORY:
        limit = f"limit {MAX_MEMORY / 1e9:.1f} GB"
        raise UnreadableImageError(
            f"too large: {width} x {height} pixels of this kind take {memory / 1e9:.1f} GB to "
            f"decode ({limit})"
        )
    _state(memory)


def is_large(width: int, height: int) -> bool:
    """Whether an image is reduced where its full size is not needed."""
    return width * height > LARGE_PIXELS


def shown_size(width: int, height: int) -> tuple[int, int]:
    """Return the least (width, height) at which an image is shown: all of it unless it is large."""
    if not is_large(width, height):
        return width, height
    scale = _SHOWN / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _state(memory: float) -> None:
    if _turn.depth and memory > max(_ORDINARY, _turn.memory):
        _memory.take(ceil(memory))
