"""Loading of PNG files, all of whose rows must be there, and their repair."""

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Final

from PIL import ImageFile
from PIL.PngImagePlugin import PngImageFile

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_CRITICAL: Final = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND"})
_PIXELS: Final = _CRITICAL | {b"tRNS", b"sBIT", b"iCCP", b"eXIf"}
"""The chunks that decide what is read."""
_MAX_PROFILE: Final = 1024**2
"""Bytes of a color profile; Pillow's limit for texts is for profiles, too."""
_MAX_LOST: Final = 20
"""Chunks of wrong length that are searched for the next one."""
_PIECE: Final = 2**20
"""Bytes that are expanded at a time."""
_MOST_PIXELS: Final = 8 * 1032
"""Most pixels for each byte of a file: a bit per pixel, and deflate expands by at most 1032."""
_MARKS: Final = (165, 0)
"""Two levels, of which no pixel can have both."""


def load_png(image: PngImageFile, content: bytes) -> None:
    """Load the pixels of an opened file.

    The decoder is content if the compressed stream ends before the last row, which then is black.
    So a pixel of that row is set before, and where it keeps its level, the file is read once more.

    Raises:
        EOFError: rows are missing.
        OSError: the compressed stream is damaged.
    """
    if not _is_whole(content):
        raise OSError("damaged stream")
    if image.width * image.height > _MOST_PIXELS * len(content):
        raise EOFError  # before time and memory are spent on pixels that are not there
    tile = list(image.tile)
    if _keeps(image, _MARKS[0]):
        again = PngImageFile(io.BytesIO(content))
        again.tile = tile
        if _keeps(again, _MARKS[1]):
            raise EOFError


def _is_whole(content: bytes) -> bool:
    """Whether the pixels are as they were written, by their checksums.

    Pillow ignores those of the chunks, and often that of the stream, which counts: it is expanded
    only where that of a chunk is wrong.
    """
    places = [
        (start, end)
        for kind, start, end in _chunks(content)
        if kind == b"IDAT" and end <= len(content)
    ]
    if all(_has_checksum(content, start, end) for start, end in places):
        return True
    expansion = zlib.decompressobj()
    try:
        for start, end in places:
            part: bytes | memoryview = memoryview(content)[start + 8 : end - 4]
            while part:
                expansion.decompress(part, _PIECE)
                part = expansion.unconsumed_tail
    except zlib.error:
        return False
    return expansion.eof


def _keeps(image: PngImageFile, level: int) -> bool:
    """Load an image, and return whether the pixel that is decoded last has still this level."""
    width, height = image.size
    x, y = width - 1, height - 1
    if image.info.get("interlace"):  # odd rows are last, and in a single row odd columns
        x, y = (x, y - height % 2) if height > 1 else (max(0, x - width % 2), 0)
    bands = len(image.getbands())
    ImageFile.ImageFile.load_prepare(image)  # without what its own method does for decoding
    image.im.putpixel((x, y), level if bands == 1 else (level,) * bands)
    mark = image.im.getpixel((x, y))
    image.load()
    return bool(image.im.getpixel((x, y)) == mark)


def pixels_only(content: bytes) -> bytes | None:
    """Return a PNG file without texts, animation, and side chunks that are damaged.

    Pillow refuses files with large texts, or any damage, although the image is whole; then this is
    read instead. None if there is nothing to leave out, or a chunk is damaged that is needed.
    """
    kept, left_out = [_SIGNATURE], False
    for kind, start, end in _chunks(content):
        chunk, is_whole = content[start:end], _has_checksum(content, start, end)
        if kind == b"iCCP" and is_whole:
            is_whole = _is_small(chunk)
        if kind in (b"IHDR", b"PLTE") and not is_whole:
            return None
        if kind in _PIXELS and (is_whole or kind in _CRITICAL):
            kept.append(chunk)
        else:
            left_out = True
    return b"".join(kept) if left_out else None


def _has_checksum(content: bytes, start: int, end: int) -> bool:
    """Whether a chunk is all there, and as it was written."""
    view = memoryview(content)
    checksum = int.from_bytes(view[end - 4 : end], "big")
    return end <= len(content) and zlib.crc32(view[start + 4 : end - 4]) == checksum


def _chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the type of each chunk up to the last, where it starts, and where it ends.

    Where the length of a chunk is wrong, reading goes on at the next one that is known.
    """
    at, lost = len(_SIGNATURE), 0
    while at + 8 <= len(content):
        (size,) = struct.unpack_from(">I", content, at)
        kind = content[at + 4 : at + 8]
        end = at + 12 + size
        is_lost = kind not in _CRITICAL and not content[end + 4 : end + 8].isalpha()
        if is_lost and not _has_checksum(content, at, end):
            lost += 1
            if lost > _MAX_LOST:
                return
            starts = [content.find(one, at + 8) - 4 for one in _PIXELS]
            end = min((start for start in starts if start > 0), default=len(content))
        yield kind, at, end
        if kind == b"IEND":
            return
        at = end


def _is_small(chunk: bytes) -> bool:
    """Whether the profile of an iCCP chunk expands to what Pillow accepts."""
    _, _, compressed = chunk[8:-4].partition(b"\0")
    expansion = zlib.decompressobj()
    try:
        expansion.decompress(compressed[1:], _MAX_PROFILE)
    except zlib.error:
        return False
    return not expansion.unconsumed_tail
