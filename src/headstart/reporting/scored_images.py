"""Sections about images whose true and predicted classes are known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from headstart.evaluation import metrics
from headstart.pages.page import Cell, Facts, Figure, Matrix, Part, Section, Table
from headstart.system.text import join_names, pluralize
from headstart.types import Doubles, Interval, Labels

CELLS: Final = 20
"""Classes at most whose confusion matrix is a table; others have a figure."""
_PAIRS: Final = 50
_BINS: Final = 10
_WORST: Final = 3
_CLOSE: Final = 0.05
"""Probabilities can be trusted if the mean is certainly this close to the accuracy."""
_ENOUGH: Final = 100
"""Fewer images do not show that: of 50, all may be right by chance at an accuracy of 0.95."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScoredImages:
    """True and predicted classes of images.

    Attributes:
        classes: K class names.
        confusion: (K, K) number of images, row = truth, column = prediction.
        recalls: K 95% intervals of the recall; None if it is not known.
        confidence: (N,) probability of each image's predicted class; None if it is not known.
        correct: (N,) bool, whether that class is the true one.
    """

    classes: Sequence[str]
    confusion: Labels
    recalls: Sequence[Interval | None]
    confidence: Doubles | None
    correct: npt.NDArray[np.bool_]

    def words(self, it: str = "It") -> Iterator[str]:
        """Say what the classes and the probabilities are like; `it` begins the first sentence."""
        scores = metrics.per_class(self.confusion)
        known = [(one.recall, k) for k, one in enumerate(scores) if one.recall is not None]
        if all(recall == 1 for recall, _ in known):
            yield f"{it} recognized every image of every class."
        else:
            accuracy = float(np.trace(self.confusion) / self.confusion.sum())
            low = [k for recall, k in sorted(known) if recall < accuracy][:_WORST]
            if low:  # otherwise all classes are recognized equally often
                worst = join_names([self._recall_text(k) for k in low])
                yield f"{it} recognized least often: {worst}."
        if pairs := metrics.confused_pairs(self.confusion):
            i, j = pairs[0]
            images = pluralize(int(self.confusion[i, j]), "image")
            yield (
                f"The most frequent confusion: {images} of {self.classes[i]} predicted as "
                f"{self.classes[j]}."
            )
        if self.confidence is not None:
            yield _confidence_text(float(self.confidence.mean()), self.correct)

    def _recall_text(self, k: int) -> str:
        return f"{self.classes[k]} ({self.confusion[k, k]:,} of {self.confusion[k].sum():,})"

    def recall_section(self) -> Section:
        """List the classes, the least recognized first."""
        scores = metrics.per_class(self.confusion)
        order = sorted(
            range(len(self.classes)),
            key=lambda k: (scores[k].recall is None, scores[k].recall, self.classes[k]),
        )
        rows = [
            (
                self.classes[k],
                Cell.percent(scores[k].recall, self.recalls[k] if scores[k].support else None),
                Cell.percent(scores[k].precision),
                Cell.of(scores[k].support),
                self._taken_for(k),
            )
            for k in order
        ]
        table = Table(
            name="Recall by class",
            columns=["class", "recall (95% interval)", "precision", "images", "often mistaken for"],
            rows=rows,
            sorted_by=(1, "ascending"),
        )
        words = (
            "Recall: the share of the images of a class that are predicted as it. Precision: the "
            "share of the images predicted as a class that are of it."
        )
        return Section("Recall by class", [words, table])

    def _taken_for(self, k: int) -> str:
        wrong = self.confusion[k].copy()
        wrong[k] = 0
        other = int(wrong.argmax())
        return f"{self.classes[other]} ({wrong[other]:,})" if wrong[other] else ""

    def confusion_section(self, figure: Figure | None) -> Section:
        """Show which classes are taken for which; `figure` is for those with many classes."""
        pairs = metrics.confused_pairs(self.confusion)
        parts: list[Part] = []
        if len(self.classes) <= CELLS:
            parts.append(Matrix(self.classes, self.confusion.tolist()))
        elif figure is not None:
            parts.append(figure)
        if not pairs:
            return Section("Confusion", [*parts, "No image was predicted as another class."])
        own = self.confusion.sum(axis=1)
        rows = [
            (
                self.classes[i],
                self.classes[j],
                Cell.of(int(self.confusion[i, j])),
                Cell.percent(self.confusion[i, j] / own[i]),
            )
            for i, j in pairs[:_PAIRS]
        ]
        if len(pairs) > _PAIRS:
            parts.append(f"The first {_PAIRS} of {len(pairs):,} pairs of classes:")
        table = Table(
            name="Confused classes",
            columns=["true", "predicted", "images", "share of the true class"],
            rows=rows,
            sorted_by=(2, "descending"),
        )
        return Section("Confusion", [*parts, table])

    def reliability_section(self, figure: Figure | None) -> Section:
        """Compare the confidence of the predictions, which must be known, with their accuracy."""
        assert self.confidence is not None
        bins = metrics.confidence_bins(self.confidence, self.correct, bins=_BINS)
        width = 1 / _BINS
        rows = [
            (
                Cell(f"{m * width:.0%} to {(m + 1) * width:.0%}", m),
                Cell.of(int(bins.counts[m])),
                Cell.of(float(bins.confidence[m]), ".1%"),
                Cell.percent(
                    bins.correct[m] / bins.counts[m],
                    metrics.wilson(int(bins.correct[m]), int(bins.counts[m])),
                ),
            )
            for m in reversed(np.flatnonzero(bins.counts).tolist())
        ]
        table = Table(
            name="Confidence and accuracy",
            columns=["confidence", "images", "mean confidence", "right (95% interval)"],
            rows=rows,
            sorted_by=(0, "descending"),
        )
        words = "Of images predicted with a reliable probability of 90%, 90% are right."
        return Section("Reliability", [words, *([figure] if figure else []), table])


def _confidence_text(confidence: float, correct: npt.NDArray[np.bool_]) -> str:
    """Compare the mean confidence with the interval of the accuracy."""
    interval = metrics.wilson(int(correct.sum()), len(correct))
    means = f"Its predictions claim {confidence:.1%} on average, and {correct.mean():.1%} are right"
    if interval.low <= confidence <= interval.high:
        error = max(confidence - interval.low, interval.high - confidence)
        if len(correct) < _ENOUGH or error > _CLOSE:
            few = f"{pluralize(len(correct), 'image')} are too few"
            return f"{means}: {few} to tell whether its probabilities can be trusted."
        return f"{means}: its probabilities can be trusted."
    verdict = "over-confident" if confidence > interval.high else "too cautious"
    return f"{means}: it is {verdict}."


def right_text(
    accuracy: float, interval: Interval, images: int, which: str = "that it was not trained on"
) -> str:
    """Say how many images are predicted correctly; `which` says which images these are."""
    return (
        f"Right on {round(accuracy * images):,} of {pluralize(images, 'image')} {which}: "
        f"{accuracy:.1%} (95% interval {interval.low:.1%} to {interval.high:.1%})."
    )


def accuracy_section(rows: Sequence[tuple[str, Cell, Cell]], facts: Facts | None) -> Section:
    """Compare accuracies: what is measured, the accuracy, the number of images."""
    columns = ["classifier", "accuracy (95% interval)", "images"]
    table = Table(name="Accuracy", columns=columns, rows=rows)
    return Section("Accuracy", [table, *([facts] if facts else [])])
