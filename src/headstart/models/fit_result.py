"""The result of training: the model, its test predictions and statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headstart.evaluation.breakdown import ClassRecall, LargestClass, recalls_by_class
from headstart.evaluation.report import Row, predictions_table
from headstart.features.views import View
from headstart.models.trained_model import Model
from headstart.system.display import Plotted
from headstart.types import Conflict, EstimateMethod, Floats, Labels, Skipped


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOutPredictions:
    """Predictions for images that the model was not trained on.

    Attributes:
        paths: N image files.
        labels: (N,) true classes, as indices into the model's classes.
        probabilities: (N, K) class probabilities; rows sum to 1.
        clusters: (N,) the series of each image; None if all are independent.
        new_scene: (N,) bool, whether an image shares no series with a training image; None if that
            is not known, or if none does.
    """

    paths: tuple[Path, ...]
    labels: Labels
    probabilities: Floats
    clusters: Labels | None = None
    new_scene: np.ndarray | None = None

    @property
    def correct(self) -> np.ndarray:
        """(N,) bool: whether the most probable class is the true one."""
        correct: np.ndarray = self.probabilities.argmax(1) == self.labels
        return correct

    def groups_by_class(self, classes: int) -> Labels:
        """Return the number of series of each class, (K,); an image on its own is one, too."""
        groups = np.arange(len(self.labels)) if self.clusters is None else self.clusters
        pairs = np.unique(np.stack([self.labels, groups]), axis=1)
        counts: Labels = np.bincount(pairs[0], minlength=classes)
        return counts

    def subset(self, rows: Labels) -> HeldOutPredictions:
        """Return the predictions for some of the images, all of new scenes."""
        return HeldOutPredictions(
            paths=tuple(self.paths[row] for row in rows),
            labels=self.labels[rows],
            probabilities=self.probabilities[rows],
            clusters=None if self.clusters is None else self.clusters[rows],
        )

    def recalls(self, classes: Sequence[str]) -> tuple[ClassRecall, ...]:
        """Return the recall of each class that has images, with its interval, the lowest first."""
        predicted = self.probabilities.argmax(1)
        return recalls_by_class(self.labels, predicted, classes, clusters=self.clusters)

    def table(self, classes: Sequence[str]) -> list[Row]:
        """Return a row for each image; see `predictions_table`."""
        return predictions_table(self.paths, self.labels, self.probabilities, classes)


@dataclass(frozen=True, slots=True, kw_only=True)
class FitResult(Plotted):
    """A trained model, its test predictions and statistics.

    Attributes:
        model: The trained classifier.
        images: Number of images that the head was trained on.
        compared_on: Number of images that the stages were selected on: all, or a sample of a
            large data set.
        skipped: Files that could not be used, with reasons.
        conflicts: Identical files with different labels; none of them was used.
        held_out: The predictions for the test images or, without any, those of the
            cross-validation; None if there were too few images.
        tested: The predictions that the model's accuracy is measured on: those, without images of
            scenes that are also in the training images.
        seconds: Duration of the whole training.
        feature_seconds: Duration of the feature extraction.
        cached: Number of images, copies included, whose features were in the cache.
        computed: Number of images that were run through the network.
        views: The views that the model uses, those of its members; None is the extractor's own.
        settings: The hyperparameter of each member's head.
        sample: (S,) positions of the images that the stages were selected on among the training
            images.
        cross_validated: (S, K) class probabilities of these images, from heads that were trained
            without them; None if there were too few.
    """

    model: Model
    images: int
    compared_on: int
    skipped: tuple[Skipped, ...]
    conflicts: tuple[Conflict, ...]
    held_out: HeldOutPredictions | None
    tested: HeldOutPredictions | None = None
    seconds: float
    feature_seconds: float
    cached: int
    computed: int
    views: tuple[View | None, ...] = (None,)
    settings: tuple[float, ...]
    sample: Labels
    cross_validated: Floats | None

    def __repr__(self) -> str:
        return f"<FitResult: {self.model}>"

    @property
    def has_test_part(self) -> bool:
        """Whether `held_out` are images that no head was trained on."""
        by_test = self.model.accuracy.method is EstimateMethod.HELD_OUT
        return by_test or (self.held_out is not None and self.held_out.new_scene is not None)

    @property
    def largest_class(self) -> LargestClass | None:
        """What always answering the largest class would get right on the same test images.

        None if the accuracy is unknown, or all test images are of one class.
        """
        tested = self.tested
        if tested is None:
            return None
        predicted, clusters = tested.probabilities.argmax(1), tested.clusters
        return LargestClass.of(tested.labels, predicted, self.model.classes, clusters=clusters)

    @property
    def recalls(self) -> tuple[ClassRecall, ...]:
        """The recall of each class that has test images, with its interval, the lowest first."""
        return () if self.tested is None else self.tested.recalls(self.model.classes)
