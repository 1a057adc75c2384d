"""Reading of JPEG XL files, through libjxl in imagecodecs."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image

from headstart.errors import UnreadableImageError
from headstart.images.boxes import boxes
from headstart.images.depth import Stated, scaled_image
from headstart.images.limits import check_size
from headstart.images.notes import NoteCallback
from headstart.images.plugins import extra_module

_CODESTREAM: Final = b"\xff\x0a"
_PARTS: Final = (b"jxlc", b"jxlp")
"""Boxes with the codestream, or (behind a number of four bytes) a part of it."""
_MEMORY: Final = 16
"""Bytes that a pixel takes while it is decoded."""
_HEADER_BYTES: Final = 40

# Numbers are coded by two bits that choose one of four (least value, further bits).
_LENGTHS: Final = ((1, 9), (1, 13), (1, 18), (1, 30))
_RATIOS: Final = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_ANIMATION: Final = (
    ((100, 0), (1000, 0), (1, 10), (1, 30)),
    ((1, 0), (1001, 0), (1, 8), (1, 10)),
    ((0, 0), (0, 3), (0, 16), (0, 32)),
)
_DEPTHS: Final = ((8, 0), (10, 0), (12, 0), (1, 6))


def read_jpeg_xl(content: bytes, on_note: NoteCallback) -> Image.Image:
    """Read the first frame of a JPEG XL file, upright."""
    header = _BitReader(int.from_bytes(_codestream(content)[2:_HEADER_BYTES], "little"))
    check_size(*_size(header), pixel_bytes=_MEMORY)
    libjxl = extra_module("imagecodecs", "JPEG XL", "jxl")
    try:
        samples = libjxl.jpegxl_decode(content, index=0, numthreads=1)
    except RuntimeError as error:
        missing = any(words in str(error) for words in ("NEED_MORE_INPUT", "frame count"))
        raise UnreadableImageError("truncated" if missing else "damaged JPEG XL") from error
    is_float = np.issubdtype(samples.dtype, np.floating)
    bits = 8 * samples.itemsize if is_float else _bits(header) or 8 * samples.itemsize
    if bits == 8:
        return Image.fromarray(samples)
    if is_float:
        samples = np.rint(np.nan_to_num(samples.astype(np.float32)).clip(0, 1) * 65535)
        samples, bits = samples.astype(np.uint16), 0  # in [0, 1] by definition
    stated = Stated() if bits == 16 else Stated(high=2.0 ** (bits or 16) - 1)
    channels = np.atleast_3d(samples)
    colors = channels.shape[2] - (channels.shape[2] in (2, 4))
    alpha = channels[:, :, colors] if colors < channels.shape[2] else None
    return scaled_image(channels[:, :, :colors], alpha, stated, on_note)


def _codestream(content: bytes) -> bytes:
    """Return the start of the coded image."""
    if not content.startswith(_CODESTREAM):
        parts = (one for one in boxes(content) if one.kind in _PARTS)
        content = next((one.content[4 * (one.kind == b"jxlp") :] for one in parts), b"")
    if not content.startswith(_CODESTREAM):
        raise UnreadableImageError("truncated")
    return content


@dataclass(slots=True)
class _BitReader:
    bits: int

    def take(self, count: int) -> int:
        value, self.bits = self.bits & ((1 << count) - 1), self.bits >> count
        return value

    def choose(self, choices: tuple[tuple[int, int], ...]) -> int:
        least, further = choices[self.take(2)]
        return least + self.take(further)


def _size(header: _BitReader) -> tuple[int, int]:
    is_small = header.take(1)

    def length() -> int:
        return (header.take(5) + 1) * 8 if is_small else header.choose(_LENGTHS)

    height = length()
    ratio = header.take(3)
    if not ratio:
        return length(), height
    across, down = _RATIOS[ratio - 1]
    return height * across // down, height


def _bits(header: _BitReader) -> int | None:
    """Return the depth of integer samples, which follows the size; None if it is not known."""
    if header.take(1):  # everything is as usual
        return 8
    if header.take(1):
        header.take(3)  # the orientation
        if header.take(1):  # the size for display
            _size(header)
        if header.take(1):  # a preview
            return None
        if header.take(1):
            for choices in _ANIMATION:
                header.choose(choices)
            header.take(1)
    return None if header.take(1) else header.choose(_DEPTHS)
