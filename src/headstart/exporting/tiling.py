"""Tiles of an image as ONNX operations; see `headstart.images.tiles`."""

from __future__ import annotations

from math import ceil

import numpy as np

from headstart.exporting.graph_writer import Value
from headstart.exporting.resizing import Size, reduction_factor, resize
from headstart.images.preprocessing import Preprocessing
from headstart.images.tiles import MAX_PIXELS, OVERLAP


def tile_crops(image: Value, how: Preprocessing) -> Value:
    """Divide an image (H, W, 3) into tiles: (T, crop, crop, 3) uint8."""
    g, side = image.writer, how.crop
    size = Size.of(image)
    factor = reduction_factor(size, _resized(size, side))
    wanted = _resized(size.reduced(factor), side)
    found = resize(image, wanted, how, factor, None)
    pixels = g.counted(side).shaped(1, -1)
    rows, columns = (
        _starts(length, side).shaped(-1, 1) + pixels for length in (wanted.height, wanted.width)
    )
    found = found.picked(rows.shaped(-1), 0).picked(columns.shaped(-1), 1)
    down = wanted.height.writer.do("Shape", rows, dtype=np.dtype(np.int64)).part(0, 1).shaped()
    tiles = found.shaped(down, side, -1, side, 3).turned(0, 2, 1, 3, 4)
    return tiles.shaped(-1, side, side, 3)


def _resized(size: Size, side: int) -> Size:
    """Return what `TileGrid.of` resizes an image to."""
    width, height = (one.floats() for one in size)
    enlarged = (1.0 / width.least(height) * float(side)).most(1.0)
    scale = enlarged.least((float(MAX_PIXELS) / (width * height)).do("Sqrt"))
    longest = float(max(side, MAX_PIXELS // side))
    return Size(
        *(
            (one * scale).do("Round").most(float(side)).least(longest).integers()
            for one in (width, height)
        )
    )


def _starts(length: Value, side: int) -> Value:
    """Return where the tiles along an axis start, as `TileGrid` does."""
    g = length.writer
    spare = length - side
    steps = (spare.shaped(1) > _last_spare(side)).integers().summed(0).shaped()
    places = g.counted(steps + 1) * spare
    return (places.floats() / steps.most(1).floats()).do("Round").integers()


def _last_spare(side: int) -> np.ndarray:
    """Return how many pixels may at most follow the first tile for 0, 1, 2 ... further tiles."""
    most = max(side, MAX_PIXELS // side) - side
    counts = np.array([ceil(spare / (side * (1 - OVERLAP))) for spare in range(most + 1)])
    return np.flatnonzero(np.diff(counts, append=counts[-1] + 1))[:-1]
