"""Classifiers cross-validated on the same folds, so that their results are paired by image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.datasets.splits import fold_of
from headstart.errors import DataError
from headstart.evaluation.metrics import wilson
from headstart.heads.candidates import candidates
from headstart.heads.logistic import LogisticFamily
from headstart.heads.selection import MIN_FOLDS, Selection, fold_count, select
from headstart.images.descriptors import THUMBNAIL
from headstart.models.train_test_split import TrainTestSplit
from headstart.transfer.plain_classifiers import best_of
from headstart.types import Floats, Interval, Labels, ProgressCallback


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClassifierScore:
    """A classifier, cross-validated.

    Attributes:
        name: what it is.
        detail: how it was chosen to be: stages, or a plain classifier.
        correct: (N,) bool, whether it is right on each image that it has not seen.
    """

    name: str
    detail: str
    correct: np.ndarray

    @property
    def accuracy(self) -> float:
        """Share right, [0, 1]."""
        return float(self.correct.mean())

    @property
    def interval(self) -> Interval:
        """95% interval of it (Wilson)."""
        return wilson(int(self.correct.sum()), len(self.correct))

    def as_dict(self) -> dict[str, Any]:
        """Accuracy, interval and number of images."""
        span = self.interval
        return {
            "accuracy": self.accuracy,
            "interval": [span.low, span.high],
            "images": len(self.correct),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedFolds:
    """Images in folds that are the same for every classifier: all can be compared in pairs.

    Attributes:
        labels: (N,).
        digests: N.
        folds: (N,).
        count: of the folds.
        classes: K.
    """

    labels: Labels
    digests: list[str]
    folds: Labels
    count: int
    classes: int

    def grown(
        self, values: Mapping[str, Floats], progress: ProgressCallback
    ) -> tuple[Selection, tuple[ClassifierScore, ...], ClassifierScore]:
        """Heads on every stage, and on the stages that are chosen."""
        selection = select(
            values,
            self.labels,
            self.folds,
            family=LogisticFamily(),
            choices=candidates({name: part.shape[1] for name, part in values.items()}),
            classes=self.classes,
            row_weights=np.ones(len(self.labels), np.float32),
            progress=progress,
        )
        assert selection.probabilities is not None  # there are folds
        right = selection.probabilities.argmax(axis=1) == self.labels
        stages = tuple(
            ClassifierScore(name=name, detail=name, correct=correct)
            for name, correct in selection.correct_by_stage.items()
        )
        detail = " + ".join(selection.candidate.stages)
        return selection, stages, ClassifierScore(name="chosen", detail=detail, correct=right)

    def plain(
        self, name: str, X: Floats, progress: ProgressCallback, *, pixels: bool = False
    ) -> ClassifierScore:
        """The best plain classifier on some numbers a picture."""
        best = best_of(
            X,
            self.labels,
            self.folds,
            classes=self.classes,
            shape=(THUMBNAIL, THUMBNAIL, 3) if pixels else None,
            progress=progress,
        )
        return ClassifierScore(name=name, detail=best.classifier, correct=best.correct)


def contest_of(cut: TrainTestSplit, rows: Labels, digests: Sequence[str], seed: int) -> SharedFolds:
    """Some of the training images, dealt out to folds by their contents.

    Args:
        cut: says which images train.
        rows: which of those are taken.
        digests: of all images.
        seed: of the folds.

    Raises:
        DataError: they are too few to cross-validate.
    """
    labels = cut.labels[rows]
    own = [digests[row] for row in cut.train[rows]]
    count = fold_count(labels, classes=len(cut.classes))
    if count < MIN_FOLDS:
        raise DataError(
            f"{len(labels):,} images of {len(cut.classes):,} classes are too few to compare "
            f"classifiers by cross-validation; give at least {MIN_FOLDS} images of most classes"
        )
    folds = fold_of(own, labels, folds=count, seed=seed)
    return SharedFolds(
        labels=labels, digests=own, folds=folds, count=count, classes=len(cut.classes)
    )
