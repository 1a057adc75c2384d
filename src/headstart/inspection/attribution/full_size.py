"""Map values from the network's input back to the whole image: the inverse of `prepare`."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headstart.images.preprocessing import Preprocessing, middle
from headstart.types import Doubles, Floats


@dataclass(frozen=True, slots=True, eq=False)
class FullSizeMap:
    """A map over a whole image.

    Attributes:
        values: (H, W) float32; 0 outside the network's input.
        seen: (H, W) bool, the part of the image that is in the network's input.
    """

    values: Floats
    seen: npt.NDArray[np.bool_]


def to_full_size(
    values: Floats,
    preprocessing: Preprocessing,
    width: int,
    height: int,
    *,
    resized: tuple[int, int] | None = None,
) -> FullSizeMap:
    """Resize a map of the crop, (crop, crop), to its whole image, (height, width), bilinearly.

    `resized` are the width and height before the crop, by default those of `preprocessing`.
    """
    resized = resized or preprocessing.resized(width, height)
    (x, columns), (y, rows) = (
        _crop_positions(source, length, preprocessing.crop)
        for source, length in zip((width, height), resized, strict=True)
    )
    seen = rows[:, None] & columns
    full = _interpolate(_interpolate(values, y).T, x).T
    return FullSizeMap(np.where(seen, full, np.float32(0)), seen)


def seen_part(preprocessing: Preprocessing, width: int, height: int) -> npt.NDArray[np.bool_]:
    """Return which pixels of an image are in the network's input: (height, width) bool."""
    sizes = zip((width, height), preprocessing.resized(width, height), strict=True)
    columns, rows = (_crop_positions(*size, preprocessing.crop)[1] for size in sizes)
    seen: npt.NDArray[np.bool_] = rows[:, None] & columns
    return seen


def _crop_positions(source: int, resized: int, crop: int) -> tuple[Doubles, npt.NDArray[np.bool_]]:
    """Return, for each pixel along one side, its position in the crop and whether it is inside.

    Position 0 is the center of the crop's first pixel.
    """
    kept, (first, last) = middle(source, resized, crop)
    padding = (crop - kept) // 2
    pixels = np.arange(source)
    positions = padding + (pixels + 0.5 - first) * (kept / (last - first)) - 0.5
    # The outermost values extend from the outermost centers to the border. Pixels that the border
    # of the crop divides count as inside: a tiny image may have no others.
    inside = (pixels + 1 > first) & (pixels < last)
    return positions.clip(padding, padding + kept - 1), inside


def _interpolate(values: Floats, positions: Doubles) -> Floats:
    """Interpolate (n, m) at positions along the first axis: (len(positions), m)."""
    low = np.floor(positions).astype(np.int64)
    share = (positions - low).astype(np.float32)[:, None]
    high = np.minimum(low + 1, len(values) - 1)
    return values[low] * (1 - share) + values[high] * share
