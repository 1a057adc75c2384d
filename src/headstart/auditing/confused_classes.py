"""Pairs of classes that a head can hardly tell apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from headstart.auditing.issue import Issue, IssueKind
from headstart.evaluation.metrics import wilson
from headstart.system.text import pluralize
from headstart.types import Floats, Interval, Labels

_CHANCE: Final = 0.5
_APART: Final = 0.75
"""A pair is reported if the whole 95% interval of its accuracy is below this."""
_MIN_CLASS: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfusedPair:
    """Two classes that are hard to tell apart.

    Attributes:
        classes: Indices of the classes.
        accuracy: Mean share of the images of either class for which the right one of the two is
            more probable, in [0, 1]; 0.5 is chance.
        interval: 95% interval of the accuracy (Wilson).
        images: Number of images of both classes.
    """

    classes: tuple[int, int]
    accuracy: float
    interval: Interval
    images: int


def confused_pairs(p: Floats, y: Labels) -> list[ConfusedPair]:
    """Find the pairs of classes whose out-of-fold predictions are near chance.

    Args:
        p: (N, K) probabilities by heads that were trained without the image.
        y: (N,) labels.
    """
    sizes = np.bincount(y, minlength=p.shape[1])
    large = np.flatnonzero(sizes >= _MIN_CLASS)
    # right[a, b]: share of the images of class a for which a is more probable than b.
    right = np.zeros((len(large), len(large)))
    for place, label in enumerate(large):
        own = p[y == label]
        right[place] = (own[:, [label]] > own[:, large]).mean(axis=0)
    accuracy = (right + right.T) / 2
    pairs = []
    for i, j in zip(*np.triu_indices(len(large), 1), strict=True):
        images = int(sizes[large[i]] + sizes[large[j]])
        interval = wilson(round(float(accuracy[i, j]) * images), images)
        if interval.high < _APART:
            pair = int(large[i]), int(large[j])
            pairs.append(
                ConfusedPair(
                    classes=pair,
                    accuracy=float(accuracy[i, j]),
                    interval=interval,
                    images=images,
                )
            )
    return sorted(pairs, key=lambda one: one.accuracy)


def confusion_issues(p: Floats, y: Labels, classes: Sequence[str]) -> list[Issue]:
    """Return an issue for each pair of classes that can hardly be told apart."""
    return [
        Issue(
            path="",
            kind=IssueKind.CONFUSED_CLASSES,
            score=min(1.0, (1 - pair.accuracy) / (1 - _CHANCE)),
            label=classes[pair.classes[0]],
            suggested_label=classes[pair.classes[1]],
            evidence=f"told apart with an accuracy of {pair.accuracy:.2f} (95% interval "
            f"{pair.interval.low:.2f} to {pair.interval.high:.2f}, "
            f"{pluralize(pair.images, 'image')}); 0.5 is chance",
        )
        for pair in confused_pairs(p, y)
    ]
