"""From the crop that a network sees back to the picture in its own size: `prepare` inverted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headstart.images.preprocessing import Preprocessing, middle
from headstart.types import Doubles, Floats


@dataclass(frozen=True, slots=True, eq=False)
class FullSizeMap:
    """A map over a whole picture.

    Attributes:
        values: (H, W) float32; 0 where the network saw nothing.
        seen: (H, W) bool, the part of the picture that the network saw.
    """

    values: Floats
    seen: npt.NDArray[np.bool_]


def place(values: Floats, preprocessing: Preprocessing, width: int, height: int) -> FullSizeMap:
    """Put a map of the crop where it belongs, bilinear.

    Args:
        values: (crop, crop), one number for each pixel that the network sees.
        preprocessing: what made the crop.
        width: of the picture, in pixels.
        height: likewise.
    """
    resized = preprocessing.resized(width, height)
    crop = preprocessing.crop
    (across, columns), (down, rows) = (
        _along(source, length, crop)
        for source, length in zip((width, height), resized, strict=True)
    )
    seen = rows[:, None] & columns
    found = _interpolated(_interpolated(values, down).T, across).T
    return FullSizeMap(np.where(seen, found, np.float32(0)), seen)


def _along(source: int, resized: int, crop: int) -> tuple[Doubles, npt.NDArray[np.bool_]]:
    """Of one side: each pixel's place in the crop, 0 for its first center, and if it is seen."""
    kept, (first, last) = middle(source, resized, crop)
    before = (crop - kept) // 2  # of the fill
    begins = np.arange(source)
    places = before + (begins + 0.5 - first) * (kept / (last - first)) - 0.5
    # Beyond the outermost centers, but within their pixels, the outermost values go on. Pixels
    # that the crop cuts through count as seen: of tiny pictures there are no others.
    return places.clip(before, before + kept - 1), (begins + 1 > first) & (begins < last)


def _interpolated(values: Floats, places: Doubles) -> Floats:
    """(n, m) at places along the first axis: (len(places), m)."""
    low = np.floor(places).astype(np.int64)
    share = (places - low).astype(np.float32)[:, None]
    high = np.minimum(low + 1, len(values) - 1)
    found: Floats = values[low] * (1 - share) + values[high] * share
    return found
