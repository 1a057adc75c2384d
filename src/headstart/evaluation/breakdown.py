"""What an accuracy is worth: compared with the largest class, and class by class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from headstart.evaluation.metrics import clustered_interval
from headstart.evaluation.paired_tests import PairedTest, paired_difference
from headstart.system.text import join_names
from headstart.types import Interval, Labels

_ENOUGH: Final = 5
"""Images of a class at least, of which none is recognized, for a warning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LargestClass:
    """What always answering the most frequent class of the test images would get right.

    The two are compared image by image, since both are measured on the same ones. The model is
    clearly better if the 95% interval of the difference is above 0: the adjusted interval of Bonett
    and Price for paired proportions, wider for images in series. See `paired_difference`.

    Attributes:
        label: name of the class.
        correct: number of its images.
        images: number of all test images.
        gain: the model's accuracy minus that of this answer, on the same images.
    """

    label: str
    correct: int
    images: int
    gain: PairedTest

    @classmethod
    def of(
        cls,
        labels: Labels,
        predicted: Labels,
        classes: Sequence[str],
        *,
        clusters: Labels | None = None,
        others: int = 0,
    ) -> LargestClass | None:
        """Compare predictions with the answer; return None if all images are of one class.

        Args:
            labels: (N,) true classes, as indices; N > 0.
            predicted: (N,) the most probable classes.
            classes: the class names.
            clusters: (N + others,) the series of each image, which widen the interval; None if all
                are independent.
            others: number of further images, of classes that the model does not know: neither
                answer is right for them.
        """
        counts = np.bincount(labels)
        largest = int(counts.argmax())
        if counts[largest] == len(labels):
            return None
        none = np.zeros(others, bool)
        return cls(
            label=classes[largest],
            correct=int(counts[largest]),
            images=len(labels) + others,
            gain=paired_difference(
                np.concatenate([predicted == labels, none]),
                np.concatenate([labels == largest, none]),
                clusters=clusters,
            ),
        )

    @property
    def accuracy(self) -> float:
        """Share of the images that the answer gets right, (0, 1)."""
        return self.correct / self.images

    @property
    def warnings(self) -> list[str]:
        """A sentence that says so if the model is worse or not clearly better; else none."""
        if self.gain.better:
            return []
        verdict = "worse" if self.gain.difference < 0 else "not clearly better"
        text = (
            f"the model is {verdict} than always answering {self.label}, which is right "
            f"for {self.accuracy:.3f} of the images (difference {self.gain.difference:.3f}, 95% "
            f"interval {self.gain.low:.3f} to {self.gain.high:.3f}); give more images, and check "
            "the labels with 'headstart audit'"
        )
        return [text]

    def as_dict(self) -> dict[str, Any]:
        """Return the answer and the comparison for JSON."""
        return {
            "class": self.label,
            "accuracy": self.accuracy,
            "images": self.correct,
            "difference": self.gain.difference,
            "interval": (self.gain.low, self.gain.high),
            "better": self.gain.better,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassRecall:
    """How many images of a class are recognized.

    Attributes:
        label: name of the class.
        correct: number of its images that are predicted as it.
        images: number of its images, at least 1.
        interval: 95% interval of the recall (Wilson).
    """

    label: str
    correct: int
    images: int
    interval: Interval

    @property
    def value(self) -> float:
        """The recall, [0, 1]."""
        return self.correct / self.images

    def as_dict(self) -> dict[str, Any]:
        """Return the recall with its interval and counts for JSON."""
        return {
            "class": self.label,
            "recall": self.value,
            "interval": self.interval,
            "correct": self.correct,
            "images": self.images,
        }


def recalls_by_class(
    labels: Labels, predicted: Labels, classes: Sequence[str], *, clusters: Labels | None = None
) -> tuple[ClassRecall, ...]:
    """Return the recall of each class that has images, the lowest first, the least sure of equals.

    Args:
        labels: (N,) true classes, as indices.
        predicted: (N,) the most probable classes.
        classes: the class names.
        clusters: (N,) the series of each image, which widen the intervals; None if all are
            independent.
    """
    found = []
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        correct = predicted[rows] == label
        found.append(
            ClassRecall(
                label=classes[label],
                correct=int(correct.sum()),
                images=len(rows),
                interval=clustered_interval(correct, None if clusters is None else clusters[rows]),
            )
        )
    return tuple(sorted(found, key=lambda one: (one.value, one.interval.low)))


def breakdown_warnings(
    largest: LargestClass | None, recalls: Sequence[ClassRecall], *, balanced: bool
) -> list[str]:
    """Return sentences about a model that is not clearly better, and classes never recognized.

    Args:
        largest: what always answering the largest class gets right; None if unknown.
        recalls: the recall of each class that has images.
        balanced: whether all classes had equal weight in training.
    """
    warnings = largest.warnings if largest else []
    if balanced and largest and largest.gain.difference < 0:
        warnings.append(
            "--balance gives all classes equal weight, which can lower the accuracy where one "
            "class is frequent; compare with a model that is trained without it"
        )
    missed = [one for one in recalls if not one.correct and one.images >= _ENOUGH]
    if missed:
        names = join_names([f"{one.label} (0 of {one.images:,})" for one in missed])
        verb = "is" if len(missed) == 1 else "are"
        remedy = "" if balanced else "--balance or "
        warnings.append(f"{names} {verb} never recognized; try {remedy}--quality balanced")
    return warnings
