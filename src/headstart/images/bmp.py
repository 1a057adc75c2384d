"""Reading of BMP files."""

import struct
from typing import Final

from PIL import Image

from headstart.errors import UnreadableImageError
from headstart.images.limits import check_size
from headstart.images.notes import NoteCallback
from headstart.images.plugins import load

_RLE8, _RLE4 = 1, 2
_END_OF_LINE, _END_OF_BITMAP, _DELTA = range(3)
_PALETTE_ENTRY: Final = 4


def read_bmp(content: bytes, _: NoteCallback) -> Image.Image:
    """Read a BMP file; run-length encoded ones here, because Pillow does not clip their runs."""
    if len(content) < 50:
        raise UnreadableImageError("truncated")
    start, header, width, height, _, bits, compression = struct.unpack_from("<IIiiHHI", content, 10)
    if header < 40 or (compression, bits) not in ((_RLE8, 8), (_RLE4, 4)):
        return load("BMP", content)
    check_size(width, height)
    (colors,) = struct.unpack_from("<I", content, 46)
    palette = 14 + header
    indices = _expanded(content[start:], width, height, bits)
    image = Image.frombytes("P", (width, height), indices, "raw", "P", 0, -1)
    end = min(start, palette + _PALETTE_ENTRY * (min(colors, 1 << bits) or 1 << bits))
    image.putpalette(content[palette:end], "BGRX")
    return image


def _expanded(data: bytes, width: int, height: int, bits: int) -> bytes:
    """Return the palette index of each pixel, from the bottom row up."""
    pixels = bytearray(width * height)
    x = y = at = 0
    while y < height:
        if at + 2 > len(data):
            if y == height - 1 and x >= width:  # only the end mark is missing
                break
            raise UnreadableImageError("truncated")
        count, value = data[at], data[at + 1]
        at += 2
        if count:
            run = _indices(bytes([value]) * count, count, bits)
        elif value == _END_OF_BITMAP:
            break
        elif value == _END_OF_LINE:
            x, y = 0, y + 1
            continue
        elif value == _DELTA:
            x, y = x + data[at], y + data[at + 1]
            at += 2
            continue
        else:
            size = value * bits // 8 + value * bits % 8 // 4
            run = _indices(data[at : at + size], value, bits)
            at += size + size % 2
        clipped = run[: max(0, width - x)]
        pixels[y * width + x : y * width + x + len(clipped)] = clipped
        x += len(run)
    return bytes(pixels)


def _indices(data: bytes, count: int, bits: int) -> bytes:
    if bits == 8:
        return data[:count]
    return bytes(index for byte in data for index in (byte >> 4, byte & 15))[:count]
