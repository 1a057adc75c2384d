"""YCbCr strips of TIFF files in which several pixels share their color, without JPEG."""

from collections.abc import Callable
from typing import Any

import numpy as np

from headstart.errors import UnreadableImageError
from headstart.images.tiff_layout import TiffLayout
from headstart.types import Pixels


def read_subsampled(
    content: bytes, layout: TiffLayout, decompress: Callable[[bytes], Any]
) -> Pixels:
    """Return Y, Cb and Cr of each pixel, (H, W, 3).

    A strip consists of units: the luma of a block of pixels, row by row, then its Cb and Cr.
    """
    if layout.planar or not layout.strips or layout.bits[0] != 8 or layout.predictor != 1:
        raise UnreadableImageError(
            "not supported: a TIFF with such subsampled colors; save it as RGB"
        )
    across, down = layout.subsampling
    pixels = np.empty((layout.height, layout.width, 3), np.uint8)
    columns, unit = -(-layout.width // across), across * down + 2
    for index, (start, length) in enumerate(layout.strips):
        rows = pixels[index * layout.rows_per_strip :][: layout.rows_per_strip]
        blocks = -(-len(rows) // down)
        strip = content[start : start + length]
        data = strip if layout.compression == 1 else bytes(decompress(strip))
        if len(data) < blocks * columns * unit:
            raise UnreadableImageError("truncated")
        units = np.frombuffer(data, np.uint8, blocks * columns * unit)
        units = units.reshape(blocks, columns, unit)
        luma = units[:, :, :-2].reshape(blocks, columns, down, across).swapaxes(1, 2)
        rows[:, :, 0] = luma.reshape(blocks * down, columns * across)[: len(rows), : layout.width]
        chroma = units[:, :, -2:].repeat(down, axis=0).repeat(across, axis=1)
        rows[:, :, 1:] = chroma[: len(rows), : layout.width]
    return pixels
