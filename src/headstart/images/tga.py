"""Reading of TGA files."""

from PIL import Image

from headstart.images.notes import NoteCallback
from headstart.images.plugins import load

_MAP_DEPTH, _DEPTH = 7, 16


def read_tga(content: bytes, _: NoteCallback) -> Image.Image:
    """Read a TGA file, without the alpha of colors of 16 bits.

    Programs disagree on whether a set bit means opaque or transparent. Pillow does not know that
    colors of 15 bits are the same without it.
    """
    header = bytearray(content[:18])
    for place in (_MAP_DEPTH, _DEPTH):
        header[place] += header[place] == 15
    image = load("TGA", bytes(header) + content[18:])
    is_short = 16 in (header[_MAP_DEPTH] if header[1] else 0, header[_DEPTH])
    return image.convert("RGB") if is_short and image.mode != "LA" else image
