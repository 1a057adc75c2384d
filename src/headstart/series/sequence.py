"""Evidence from file names and capture times: photos of one series follow each other."""

import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np

from headstart.images.capture import Capture, read_capture
from headstart.types import Labels

_NUMBER: Final = re.compile(r"(\d+)(?!.*\d)")
_STEPS: Final = 10
"""Largest difference of the numbers in two names that follow each other."""
_PAUSE: Final = timedelta(seconds=60)
"""Longest pause between two photos that follow each other."""
_MIN_RATIO, _MAX_CHANCE = 5.0, 1e-3
"""Names or times are evidence if near pairs follow each other this many times as often as other
pairs of their class, which chance alone does with at most this probability."""
_OTHER_PAIRS: Final = 2_000
_TIMED_PAIRS: Final = 300
"""Of how many of the other pairs the files are read for their times."""


def follow_each_other(
    paths: Sequence[Path], labels: Labels, left: Labels, right: Labels
) -> np.ndarray:
    """Tell which pairs of near images follow each other in name or time, where that means anything.

    Args:
        paths: N image files.
        labels: (N,) class indices.
        left: (P,) rows of the images of each pair, of the same class.
        right: (P,) rows of the other images.

    Returns:
        (P,) bool; all false if near pairs follow each other no more often than others.
    """
    result = np.zeros(len(left), bool)
    if not len(left):
        return result
    others = _other_pairs(labels, np.unique(labels[left]))

    @cache
    def capture(row: int) -> Capture | None:
        return read_capture(paths[row])

    numbers = [_number(path) for path in paths]

    def by_time(one: int, other: int) -> bool:
        first, second = capture(one), capture(other)
        if first is None or second is None or paths[one].parent != paths[other].parent:
            return False
        return first.camera == second.camera and abs(first.time - second.time) <= _PAUSE

    def by_name(one: int, other: int) -> bool:
        (number, prefix), (number_2, prefix_2) = numbers[one], numbers[other]
        if number is None or number_2 is None:
            return False
        return prefix == prefix_2 and abs(number - number_2) <= _STEPS

    for follows, compared in ((by_name, _OTHER_PAIRS), (by_time, _TIMED_PAIRS)):
        found = _where(follows, left, right)
        if found.any() and _more_often(found, _where(follows, *(row[:compared] for row in others))):
            result |= found
    return result


def _where(follows: Callable[[int, int], bool], left: Labels, right: Labels) -> np.ndarray:
    pairs = zip(left.tolist(), right.tolist(), strict=True)
    return np.array([follows(one, other) for one, other in pairs], dtype=bool)


def _more_often(found: np.ndarray, others: np.ndarray) -> bool:
    """Whether near pairs (P,) follow each other clearly more often than other pairs (Q,) do."""
    hits, count = int(found.sum()), len(found)
    rate = float(others.sum() + 1) / (len(others) + 2)
    if hits < _MIN_RATIO * rate * count:
        return False
    from scipy.stats import binom  # half a second, and rarely needed

    return float(binom.sf(hits - 1, count, rate)) <= _MAX_CHANCE


def _other_pairs(labels: Labels, classes: Labels) -> tuple[Labels, Labels]:
    """Draw random pairs of images of the same class, the same ones every time."""
    rng = np.random.default_rng(0)
    rows = [np.flatnonzero(labels == label) for label in classes]
    drawn = [
        (rng.choice(one, 2, replace=False))
        for one in (rows[index] for index in rng.integers(0, len(rows), _OTHER_PAIRS))
        if len(one) > 1
    ]
    pairs = np.array(drawn, dtype=np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def _number(path: Path) -> tuple[int | None, tuple[Path, str]]:
    """Return the last number in a name, and the folder with the text before it."""
    match = _NUMBER.search(path.stem)
    if match is None or len(match.group()) > 15:
        return None, (path.parent, path.stem)
    return int(match.group()), (path.parent, path.stem[: match.start()])
