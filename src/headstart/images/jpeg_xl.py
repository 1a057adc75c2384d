"""Reading of JPEG XL files, through libjxl in imagecodecs."""

from typing import Final

import numpy as np
from PIL import Image

from headstart.errors import UnreadableImageError
from headstart.images.boxes import boxes
from headstart.images.limits import check_size
from headstart.images.notes import NoteCallback
from headstart.images.plugins import extra_module

_CODESTREAM: Final = b"\xff\x0a"
_SIZE_BITS: Final = (9, 13, 18, 30)
_RATIOS: Final = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))


def read_jpeg_xl(content: bytes, _: NoteCallback) -> Image.Image:
    """Read the first frame of a JPEG XL file, upright."""
    check_size(*_size(content))
    libjxl = extra_module("imagecodecs", "JPEG XL", "jxl")
    try:
        pixels = libjxl.jpegxl_decode(content, index=0, numthreads=1)
    except RuntimeError as error:
        missing = any(words in str(error) for words in ("NEED_MORE_INPUT", "frame count"))
        raise UnreadableImageError("truncated" if missing else "damaged JPEG XL") from error
    if pixels.dtype == np.uint8:
        levels = pixels
    else:
        top = 1.0 if np.issubdtype(pixels.dtype, np.floating) else np.iinfo(pixels.dtype).max
        values = np.nan_to_num(pixels.astype(np.float64))
        levels = np.rint(values * (255 / top)).clip(0, 255).astype(np.uint8)
    return Image.fromarray(levels)


def _size(content: bytes) -> tuple[int, int]:
    """Return the width and height that the codestream begins with."""
    if not content.startswith(_CODESTREAM):
        parts = {one.kind: one.content for one in boxes(content)}
        content = parts.get(b"jxlc") or parts.get(b"jxlp", b"")[4:]
        if not content.startswith(_CODESTREAM):
            raise UnreadableImageError("truncated")
    bits = int.from_bytes(content[2:14], "little")

    def take(count: int) -> int:
        nonlocal bits
        value, bits = bits & ((1 << count) - 1), bits >> count
        return value

    is_small = take(1)

    def length() -> int:
        return (take(5) + 1) * 8 if is_small else take(_SIZE_BITS[take(2)]) + 1

    height = length()
    ratio = take(3)
    if not ratio:
        return length(), height
    across, down = _RATIOS[ratio - 1]
    return height * across // down, height
