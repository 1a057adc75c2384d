"""What a prediction costs on this machine: the CPU time that each view takes per image.

Unlike the time on the clock, CPU time hardly depends on other programs, so that costs measured at
different times can be compared. It includes reading, decoding and resizing an image, but not what
every run of the program takes to start.
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import cycle, islice, repeat
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
from headstart.system.machine import cores, slowdown
from headstart.system.text import pluralize
from headstart.types import Pixels

_IMAGES: Final = 8
"""Images whose decoding is measured; they differ in size."""
_MEASURED: Final = 16
"""Images that the network is measured on at least, after a batch to warm up."""
_COMPILING: Final = 0.15
"""Seconds to compile a network."""
_HEADS, _PER_IMAGE, _PER_SCORE = 0.6, 0.0025, 0.00005
"""Core-seconds to choose and train the heads on a view: for any data set, for each image, and for
each class of each image. Measured on seven data sets of 60 to 1,000 images and 2 to 37 classes."""
_BUSY: Final = 2.5
"""Slowdown from which on a forecast mentions other programs; a run just before makes it 2."""
_LOOKED_UP: Final = 200
"""Images that are looked up in the store, to estimate the share that it lacks."""


def known_costs(extractor: Extractor) -> dict[str, Cost]:
    """Return what the views of an extractor cost when they were last measured here, by name."""
    known = CostIndex(extractor.cache).load()
    views = extractor.by_view.values()
    return {one.name: known[one.cost_key] for one in views if one.cost_key in known}


def measure_costs(
    extractor: Extractor, paths: Sequence[Path], *, networks: Mapping[str, float] | None = None
) -> dict[str, Cost]:
    """Return the cost of each view by its name; nothing if no image can be read.

    Decoding is measured on these images. The network is measured once, and then remembered.

    Args:
        extractor: The views.
        paths: The N image files that are to be shown; a few of them are tried.
        networks: Core-milliseconds per crop of networks that were just measured, by the view.
    """
    known, costs = {name: one.network for name, one in known_costs(extractor).items()}, {}
    known |= networks or {}
    contents = []
    for path in _some(paths, _IMAGES):
        with suppress(UnreadableImageError):
            contents.append(read_bytes(path))
    if not contents:
        return {}
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


def _measure(extractor: Extractor, contents: Sequence[bytes], network: float | None) -> Cost | None:
    """Return the cost of a single view; None if none of the images can be decoded.

    `network` is what the network takes per crop; None measures it.
    """
    shown: list[Pixels] = []
    with suppress(UnreadableImageError):  # what only the first image costs
        present(contents[0], {0: extractor.presentation})
    start = time.thread_time()
    for content in contents:
        with suppress(UnreadableImageError):
            shown.append(present(content, {0: extractor.presentation})[0])
    if not shown:
        return None
    decoding = 1000 * (time.thread_time() - start) / len(contents)
    crops = [crop for pixels in shown for crop in pixels]
    if network is None:
        network = 1000 * _network_seconds(extractor.engine(), crops)
    return Cost(decoding, network, len(crops) / len(shown))


def _network_seconds(engine: Engine, crops: Sequence[Pixels]) -> float:
    """Return the core-seconds that a network takes per crop."""
    batch = np.stack(list(islice(cycle(crops), engine.batch)))
    time_batches(engine, batch, 1)
    batches = max(2, _MEASURED // engine.batch)
    return time_batches(engine, batch, batches)[1] / (batches * engine.batch)


def time_batches(engine: Engine, batch: Pixels, count: int) -> tuple[float, float]:
    """Run a network several times on a batch of pixels, (B, H, W, 3) uint8.

    Returns:
        The seconds that it took, and the core-seconds: the time of all cores together. On a GPU
        both are the seconds that it took.
    """
    elapsed, processor = time.perf_counter(), time.process_time()
    for _ in engine.stream(repeat(batch, count)):
        pass
    seconds = time.perf_counter() - elapsed
    return seconds, time.process_time() - processor if engine.plan.device == "cpu" else seconds


def forecast(
    costs: Mapping[str, Cost],
    extractor: Extractor,
    paths: Sequence[Path],
    *,
    classes: int,
    tried: bool = False,
) -> str:
    """Return a sentence with the time that training on these image files is expected to take.

    It includes compiling the networks, and choosing and training the heads. It is the time on an
    idle machine; on a busy one, the sentence also says how much longer it may take.

    Args:
        costs: The cost of each view by its name.
        extractor: The views.
        paths: The N image files.
        classes: Number of classes.
        tried: Whether further views are tried on a sample first, so that it may be less.
    """
    shares = _missing_shares(extractor, paths)
    views, images = pluralize(len(shares), "view"), pluralize(len(paths), "image")
    missing = {name: share for name, share in shares.items() if share}
    passes = sum(costs[name].total * share for name, share in missing.items() if name in costs)
    seconds = passes * len(paths) / 1000 / cores() + _COMPILING * len(missing)
    seconds += _heads_seconds(len(paths), classes) * len(shares)
    expected = f"about {max(1, round(seconds)):,} s for {images}"
    if not missing:
        said = f"{views}, at most {expected}, whose features are in the cache"
    elif tried:
        said = f"{views}, at most {expected}; a sample decides which of them are worth it"
    else:
        said = f"{views}, {expected}"
    if (factor := slowdown()) >= _BUSY:
        said += f"; other programs keep this machine busy: it may take {factor:.0f} times as long"
    return said


def _heads_seconds(images: int, classes: int) -> float:
    """Return about how long it takes to choose and train the heads on a view.

    Of a few images, the arrays are too small to keep several cores busy.
    """
    return _HEADS + images * (_PER_IMAGE + _PER_SCORE * classes) / min(2, cores())


def _missing_shares(extractor: Extractor, paths: Sequence[Path]) -> dict[str, float]:
    """Return, for each view, the share of the images whose features are not known to be stored."""
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
