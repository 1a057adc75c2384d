"""Reading of Windows icons and cursors (ICO, CUR)."""

import io
import struct
from typing import Final

from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from headstart.errors import UnreadableImageError
from headstart.images.limits import check_size
from headstart.images.notes import NoteCallback
from headstart.images.plugins import load
from headstart.images.png import load_png

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_BITFIELDS: Final = 3


def read_icon(content: bytes, _: NoteCallback) -> Image.Image:
    """Read the largest image of an icon; of several, the one with most colors.

    Pillow takes the mask from the end of the file, where newer headers keep a color profile.
    """
    (count,) = struct.unpack_from("<H", content, 4)
    entries = [struct.unpack_from("<BBBBHHII", content, 6 + 16 * index) for index in range(count)]
    images = [content[at : at + size] for *_, size, at in entries]
    if not images:
        raise UnreadableImageError("damaged icon: it contains no image")
    sizes = [(entry[0] or 256) * (entry[1] or 256) for entry in entries]
    best = max(range(count), key=lambda index: (sizes[index], _depth(images[index])))
    return _png(images[best]) if images[best].startswith(_PNG) else _bitmap(images[best])


def _png(data: bytes) -> Image.Image:
    image = PngImageFile(io.BytesIO(data))
    check_size(*image.size)
    load_png(image, data)
    return image


def _depth(data: bytes) -> int:
    return 32 if data.startswith(_PNG) else int.from_bytes(data[14:16], "little")


def _bitmap(data: bytes) -> Image.Image:
    """Read the pixels (in a bitmap of double height), and the mask below them or their alpha."""
    if len(data) < 40:
        raise UnreadableImageError("truncated")
    header, width, height, _, bits, compression = struct.unpack_from("<IiiHHI", data)
    if header < 40:
        raise UnreadableImageError("not supported: icon with a bitmap of OS/2")
    (colors,) = struct.unpack_from("<I", data, 32)
    height = abs(height) // 2
    check_size(width, height)
    start = header + (12 if header == 40 and compression == _BITFIELDS else 0)
    start += 4 * (min(colors, 256) or 1 << bits) if bits <= 8 else 0
    end = start + (width * bits + 31) // 32 * 4 * height
    if len(data) < end:
        raise UnreadableImageError("truncated")
    file = struct.pack("<2sIII", b"BM", 14 + end, 0, 14 + start)
    image = load("BMP", file + data[:8] + struct.pack("<i", height) + data[12:end])
    alpha = data[start + 3 : end : 4] if bits == 32 else b""
    stride = (width + 31) // 32 * 4
    mask = data[end : end + stride * height]
    if any(alpha):
        opacity = Image.frombytes("L", (width, height), alpha, "raw", "L", 0, -1)
    elif len(mask) == stride * height:
        opacity = Image.frombytes("1", (width, height), mask, "raw", "1;I", stride, -1)
    elif mask:
        raise UnreadableImageError("truncated")
    else:
        return image
    icon = image.convert("RGB")
    icon.putalpha(opacity.convert("L"))
    return icon
