"""The CPU time that each view takes per image on this machine, measured on a few images."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from headstart.features.extractor import Extractor
from headstart.features.views import View
from headstart.system.machine import cores

_IMAGES: Final = 16
"""Images to measure on: two batches, as many as run at the same time."""


def measure_costs(extractor: Extractor, paths: Sequence[Path]) -> dict[View | None, float | None]:
    """Measure the cost of each view: CPU time in milliseconds per image, on all cores together.

    The features are stored, so the work is not done twice. The cost is None if the cache has the
    features of the images tried, or if there are too few images.

    Args:
        extractor: The views; the first one is None.
        paths: The N image files that are to be shown; a few of them are tried.
    """
    chosen = np.linspace(0, len(paths) - 1, min(2 * _IMAGES, len(paths))).astype(int)
    tried = [paths[place] for place in dict.fromkeys(chosen.tolist())]
    views = [None, *extractor.others]
    return {view: _cost(extractor.only([view]), tried) for view in views}


def _cost(extractor: Extractor, paths: Sequence[Path]) -> float | None:
    # The first images also wait until the network is compiled.
    if not extractor.extract(paths[0::2]).computed:
        return None
    start = time.perf_counter()
    found = extractor.extract(paths[1::2])
    seconds = time.perf_counter() - start
    return 1000 * cores() * seconds / found.computed if found.computed else None


def forecast(costs: Mapping[View | None, float | None], images: int) -> str:
    """Return a sentence with the expected time for this number of images."""
    known = [cost for cost in costs.values() if cost is not None]
    if not known:
        return f"{len(costs)} views, whose features are in the cache"
    seconds = sum(known) * images / 1000 / cores()
    return (
        f"{len(costs)} views, about {max(1, round(seconds)):,} s for {images:,} images, besides "
        "choosing their stages"
    )
