"""Classifiers cross-validated on the same folds, so that their results can be paired by image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from headstart.comparison.evaluation_images import EvaluationImages
from headstart.datasets.splits import assign_folds
from headstart.errors import DataError
from headstart.evaluation.metrics import Accuracy
from headstart.evaluation.paired_tests import PairedTest, Right, paired_difference
from headstart.heads.candidates import candidates
from headstart.heads.logistic import LogisticFamily
from headstart.heads.selection import MIN_FOLDS, Selection, fold_count, select
from headstart.heads.selection_problem import SelectionProblem, clusters_of
from headstart.transfer.plain_classifiers import best_plain_classifier
from headstart.types import Floats, Labels, ProgressCallback


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClassifierScore:
    """The cross-validated result of a classifier.

    Attributes:
        name: input of the classifier, such as "raw pixels" or the name of a stage.
        detail: chosen stages joined by " + ", or the chosen plain classifier with its setting.
        correct: (N,) bool, whether each image is predicted correctly when it is held out.
        clusters: (N,) the series of each image; None if all are independent.
    """

    name: str
    detail: str
    correct: Right
    clusters: Labels | None = None

    @property
    def accuracy(self) -> Accuracy:
        """Cross-validated accuracy."""
        return Accuracy.of(self.correct, self.clusters)

    def minus(self, other: ClassifierScore) -> PairedTest:
        """Compare with another classifier on the same images."""
        return paired_difference(self.correct, other.correct, clusters=self.clusters)


def better_than(
    reference: ClassifierScore, scores: Sequence[ClassifierScore]
) -> tuple[ClassifierScore, ...]:
    """Return the scores that are significantly better than a reference, in a paired comparison."""
    return tuple(one for one in scores if one.minus(reference).better)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SharedFolds:
    """Images in cross-validation folds that all classifiers share.

    Attributes:
        images: N images with labels.
        folds: (N,) fold of each image.
        count: number of folds.
    """

    images: EvaluationImages
    folds: Labels
    count: int

    @classmethod
    def of(cls, images: EvaluationImages, *, seed: int) -> Self:
        """Assign images to folds by their keys and a random seed.

        Raises:
            DataError: there are too few images to cross-validate.
        """
        labels, classes = images.labels, len(images.classes)
        count = fold_count(labels, classes=classes, keys=images.keys)
        if count < MIN_FOLDS:
            raise DataError(
                f"{len(labels):,} images of {classes:,} classes are too few to compare classifiers "
                f"by cross-validation; give at least {MIN_FOLDS} images of most classes"
            )
        folds = assign_folds(images.keys, labels, folds=count, seed=seed)
        return cls(images=images, folds=folds, count=count)

    @property
    def clusters(self) -> Labels | None:
        """(N,) the series of each image; None if all are independent."""
        return clusters_of(self.images.keys)

    def score_stages(
        self, values: Mapping[str, Floats], progress: ProgressCallback
    ) -> tuple[Selection, tuple[ClassifierScore, ...], ClassifierScore]:
        """Cross-validate heads on each stage, (N, width) shallow to deep, and on those chosen.

        Returns:
            The choice on all images; the score of each stage; and the score of the chosen stages,
            chosen again for every fold.
        """
        labels = self.images.labels
        problem = SelectionProblem(
            values=values,
            y=labels,
            family=LogisticFamily(),
            classes=len(self.images.classes),
            row_weights=np.ones(len(labels), np.float32),
            folds=self.folds,
            clusters=self.clusters,
        )
        choices = candidates({name: part.shape[1] for name, part in values.items()})
        selection = select(problem, choices, progress=progress)
        assert selection.probabilities is not None  # there are folds
        stages = tuple(
            ClassifierScore(name=name, detail=name, correct=correct, clusters=self.clusters)
            for name, correct in selection.correct_by_stage.items()
        )
        chosen = ClassifierScore(
            name="chosen",
            detail=" + ".join(selection.candidate.stages),
            correct=selection.probabilities.argmax(axis=1) == labels,
            clusters=self.clusters,
        )
        return selection, stages, chosen

    def score_plain(
        self,
        name: str,
        X: Floats,
        progress: ProgressCallback,
        *,
        shape: tuple[int, int, int] | None = None,
    ) -> ClassifierScore:
        """Cross-validate the best plain classifier on (N, D) numbers; see `plain_classifiers`."""
        labels, classes = self.images.labels, len(self.images.classes)
        classifier, correct = best_plain_classifier(
            X, labels, self.folds, classes=classes, shape=shape, progress=progress
        )
        return ClassifierScore(
            name=name, detail=classifier, correct=correct, clusters=self.clusters
        )
