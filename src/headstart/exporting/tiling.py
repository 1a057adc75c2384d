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
    pixels = g.arange(side).reshape(1, -1)
    rows, columns = (
        _starts(length, side).reshape(-1, 1) + pixels for length in (wanted.height, wanted.width)
    )
    found = found.take(rows.reshape(-1), 0).take(columns.reshape(-1), 1)
    down = (
        wanted.height.writer.operation("Shape", rows, dtype=np.dtype(np.int64))
        .slice(0, 1)
        .reshape()
    )
    tiles = found.reshape(down, side, -1, side, 3).transpose(0, 2, 1, 3, 4)
    return tiles.reshape(-1, side, side, 3)


def _resized(size: Size, side: int) -> Size:
    """Return what `TileGrid.of` resizes an image to."""
    width, height = (one.floats() for one in size)
    enlarged = (1.0 / width.minimum(height) * float(side)).maximum(1.0)
    scale = enlarged.minimum((float(MAX_PIXELS) / (width * height)).operation("Sqrt"))
    longest = float(max(side, MAX_PIXELS // side))
    return Size(
        *(
            (one * scale).operation("Round").maximum(float(side)).minimum(longest).integers()
            for one in (width, height)
        )
    )


def _starts(length: Value, side: int) -> Value:
    """Return where the tiles along an axis start, as `TileGrid` does."""
    g = length.writer
    spare = length - side
    steps = (spare.reshape(1) > _last_spare(side)).integers().summed(0).reshape()
    places = g.arange(steps + 1) * spare
    return (places.floats() / steps.maximum(1).floats()).operation("Round").integers()


def _last_spare(side: int) -> np.ndarray:
    """Return how many pixels may at most follow the first tile for 0, 1, 2 ... further tiles."""
    most = max(side, MAX_PIXELS // side) - side
    counts = np.array([ceil(spare / (side * (1 - OVERLAP))) for spare in range(most + 1)])
    return np.flatnonzero(np.diff(counts, append=counts[-1] + 1))[:-1]
