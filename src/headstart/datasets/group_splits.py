"""Divide series between folds, or between training and test: whole, and as evenly as possible.

A series is some images with the same key. Its images stay together even if their classes differ.
Series are dealt out one after the other, in the order of their pseudo-random numbers, the largest
first; images without a series keep the assignment that they have by their own number.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np

from headstart.types import Doubles, Labels

Number = Callable[[str], float]
"""Maps a key to its pseudo-random number in [0, 1)."""


def series_rows(keys: Sequence[str]) -> dict[str, Labels]:
    """Return the rows of each key that more than one image has."""
    rows: dict[str, list[int]] = defaultdict(list)
    for row, key in enumerate(keys):
        rows[key].append(row)
    return {key: np.array(found) for key, found in rows.items() if len(found) > 1}


def series_folds(
    series: dict[str, Labels], labels: Labels, *, folds: int, number: Number
) -> dict[str, int]:
    """Assign each series to the fold that has the smallest share of its classes so far.

    Args:
        series: Rows of each series, by key.
        labels: (N,) class indices.
        folds: Number of folds.
        number: Orders series of equal size, and decides between folds that are equally full.
    """
    share = _shares(labels)
    load = np.zeros((folds, len(share)))
    assigned = {}
    for key in _dealing_order(series, number):
        counts = np.bincount(labels[series[key]], minlength=len(share)) * share
        fullness = load @ (counts > 0)
        first = int(number(key) * folds)
        fold = min(range(folds), key=lambda fold: (fullness[fold], (fold - first) % folds))
        load[fold] += counts
        assigned[key] = fold
    return assigned


def held_out_series(
    series: dict[str, Labels], labels: Labels, *, fraction: float, number: Number
) -> set[str]:
    """Choose series to hold out, so that about `fraction` of the images of each class are.

    Args:
        series: Rows of each series, by key.
        labels: (N,) class indices.
        fraction: Share of the images to hold out, in (0, 1).
        number: Orders series of equal size.

    Returns:
        The keys of the series to hold out. Of each class, at least one is not; and of one with
        three or more, at least one is, unless that contradicts another class.
    """
    counts = {
        key: np.bincount(labels[rows], minlength=int(labels.max()) + 1)
        for key, rows in series.items()
    }
    total = np.sum(list(counts.values()), axis=0)
    held, chosen = np.zeros(len(total)), set()
    order = _dealing_order(series, number)
    for key in sorted(order, key=number):
        inside = counts[key] > 0
        error = np.abs(held - fraction * total)[inside].sum()
        if np.abs(held + counts[key] - fraction * total)[inside].sum() < error:
            chosen.add(key)
            held += counts[key]
    for label in np.flatnonzero(total):
        members = [key for key in order if counts[key][label]]
        if len(members) > 2 and not chosen.intersection(members):
            chosen.add(members[-1])
        elif chosen.issuperset(members):
            chosen.discard(members[-1])
    return chosen


def _dealing_order(series: dict[str, Labels], number: Number) -> list[str]:
    """Return the keys, the largest series first."""
    return sorted(series, key=lambda key: (-len(series[key]), number(key), key))


def _shares(labels: Labels) -> Doubles:
    """Return (K,) the share of its class that one image is."""
    counts: Doubles = 1 / np.maximum(np.bincount(labels), 1)
    return counts
