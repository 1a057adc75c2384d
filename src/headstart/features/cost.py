"""What a prediction costs on this machine: the CPU time that each view takes per image.

Unlike the time on the clock, CPU time hardly depends on other programs, so that costs measured at
different times can be compared. It includes reading, decoding and resizing an image, but not what
every run of the program takes to start.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import cycle, islice
from pathlib import Path
from typing import Final

import numpy as np

from headstart.engines import Engine
from headstart.errors import UnreadableImageError
from headstart.features.cost_index import Cost, CostIndex
from headstart.features.extractor import Extractor
from headstart.features.path_index import PathIndex
from headstart.images.decode import read_bytes
from headstart.images.presentation import present
from headstart.system.machine import cores
from headstart.system.text import pluralize
from headstart.types import Pixels

_IMAGES: Final = 8
"""Images whose decoding is measured; they differ in size."""
_BATCHES: Final = 2
"""Batches that the network is measured on, after one to warm up."""
_LOOKED_UP: Final = 200
"""Images that are looked up in the store, to tell the share that it lacks."""


def known_costs(extractor: Extractor) -> dict[str, Cost]:
    """Return what the views of an extractor cost when they were last measured here, by name."""
    known = CostIndex(extractor.cache).load()
    views = extractor.by_view.values()
    return {one.name: known[one.cost_key] for one in views if one.cost_key in known}


def measure_costs(extractor: Extractor, paths: Sequence[Path]) -> dict[str, Cost]:
    """Return the cost of each view by its name; nothing if no image can be read.

    Decoding is measured on these images; what the network takes is not measured twice.

    Args:
        extractor: The views.
        paths: The N image files that are to be shown; a few of them are tried.
    """
    known, costs = known_costs(extractor), {}
    contents = []
    for path in _some(paths, _IMAGES):
        with suppress(UnreadableImageError):
            contents.append(read_bytes(path))
    for one in extractor.by_view.values():
        if (measured := _measure(one, contents, known.get(one.name))) is not None:
            costs[one.name] = measured
    keys = {one.name: one.cost_key for one in extractor.by_view.values()}
    CostIndex(extractor.cache).save({keys[name]: cost for name, cost in costs.items()})
    return costs


def costs_of(extractor: Extractor, paths: Sequence[Path] = ()) -> dict[str, float | None]:
    """Return the total cost of each view by its name; None where it is not known.

    What is not known is measured on some of the image files, if there are any.
    """
    known, names = known_costs(extractor), [one.name for one in extractor.by_view.values()]
    if paths and len(known) < len(names):
        known |= measure_costs(extractor, paths)
    return {name: known[name].total if name in known else None for name in names}


def _some(paths: Sequence[Path], count: int) -> list[Path]:
    chosen = np.linspace(0, len(paths) - 1, min(count, len(paths))).astype(int)
    return [paths[place] for place in chosen.tolist()]


def _measure(extractor: Extractor, contents: Sequence[bytes], known: Cost | None) -> Cost | None:
    """Return the cost of a single view; None if none of the images can be decoded."""
    shown: list[Pixels] = []
    start = time.thread_time()
    for content in contents:
        with suppress(UnreadableImageError):
            shown.append(present(content, {0: extractor.presentation})[0])
    if not shown:
        return None
    decoding = 1000 * (time.thread_time() - start) / len(contents)
    crops = [crop for pixels in shown for crop in pixels]
    network = known.network if known else 1000 * _network_seconds(extractor.engine(), crops)
    return Cost(decoding, network, len(crops) / len(shown))


def _network_seconds(engine: Engine, crops: Sequence[Pixels]) -> float:
    """Return the time that a network takes per crop, on all cores together."""
    clock: Callable[[], float] = (
        time.process_time if engine.plan.device == "cpu" else time.perf_counter
    )
    batch = np.stack(list(islice(cycle(crops), engine.batch)))
    list(engine.stream([batch]))
    start = clock()
    list(engine.stream([batch] * _BATCHES))
    return (clock() - start) / (_BATCHES * engine.batch)


def forecast(
    costs: Mapping[str, Cost], extractor: Extractor, paths: Sequence[Path], *, tried: bool = False
) -> str:
    """Return a sentence with the expected time for these image files.

    Args:
        costs: The cost of each view by its name.
        extractor: The views.
        paths: The N image files.
        tried: Whether further views are tried on a sample first, so that it may be less.
    """
    shares = _missing_shares(extractor, paths)
    views, images = pluralize(len(shares), "view"), pluralize(len(paths), "image")
    if not any(shares.values()):
        return f"{views} of {images}, whose features are in the cache"
    spent = sum(costs[name].total * share for name, share in shares.items() if name in costs)
    seconds = max(1, round(spent * len(paths) / 1000 / cores()))
    if tried:
        return (
            f"{views}, at most about {seconds:,} s for {images}, besides choosing their stages; "
            "which of them are worth it is tried on a sample"
        )
    return f"{views}, about {seconds:,} s for {images}, besides choosing their stages"


def _missing_shares(extractor: Extractor, paths: Sequence[Path]) -> dict[str, float]:
    """Return the share of the images, by view, that the store is not known to have."""
    views, tried = extractor.by_view.values(), _some(paths, _LOOKED_UP)
    if extractor.cache is None or not tried:
        return {one.name: 1.0 for one in views}
    index = PathIndex(extractor.cache)
    digests = [digest for path in tried if (digest := index.digest(path))]
    shares = {}
    for one in views:
        store, last = one.store(), [one.backbone.stages[-1].name]
        found = int(store.contains(digests, last).sum()) if store and digests else 0
        shares[one.name] = 1 - found / len(tried)
    return shares
