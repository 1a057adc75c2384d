"""Whether the camera or the background gives the classes away.

A classifier that sees nothing but the colors of the border, a histogram of all colors and the size
of the image should be much worse than the network. If it is not, the network may have learned the
camera or the background instead of the object.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from headstart.auditing.issue import Issue, IssueKind
from headstart.evaluation.metrics import Accuracy
from headstart.evaluation.paired_tests import PairedTest, paired_difference
from headstart.heads.candidates import Candidate
from headstart.heads.families import head_family
from headstart.heads.selection import select
from headstart.heads.selection_problem import SelectionProblem
from headstart.types import Floats, Labels

_FAMILIES: Final = ("logistic", "knn")
_MARGIN: Final = 0.02
"""A network that is at most this much more accurate is not better."""
_F1: Final = 0.9
"""Least F1 score of a class that is recognized by its surroundings."""
_MIN_CLASS: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class SurroundingsScore:
    """How well the surroundings of the object predict its class.

    Attributes:
        accuracy: Cross-validated accuracy of a classifier on the surroundings.
        network: Accuracy of the network on the same images.
        largest: Share of the largest class, the accuracy of guessing.
        difference: Accuracy of the network minus that of the surroundings.
        classes: Indices of the classes that the surroundings recognize as well as the network,
            with the F1 scores of both.
    """

    accuracy: Accuracy
    network: Accuracy
    largest: float
    difference: PairedTest
    classes: dict[int, tuple[float, float]]

    @property
    def suffices(self) -> bool:
        """Whether the surroundings predict the classes as well as the network does."""
        return self.difference.difference <= _MARGIN and self.accuracy.interval.low > self.largest


def score_surroundings(
    surroundings: Floats, y: Labels, folds: Labels, network: Labels, *, classes: int
) -> SurroundingsScore:
    """Compare a classifier on the surroundings with the network.

    Args:
        surroundings: (N, D) numbers without any shape; see `Measurements.surroundings`.
        y: (N,) labels.
        folds: (N,) folds, at least three.
        network: (N,) labels predicted from the network's features by heads trained without the
            image.
        classes: Number of classes.
    """
    predicted = [_predict(family, surroundings, y, folds, classes=classes) for family in _FAMILIES]
    best = max(predicted, key=lambda labels: int((labels == y).sum()))
    right, by_network = best == y, network == y
    sizes = np.bincount(y, minlength=classes)
    own, theirs = _f1(best, y, classes), _f1(network, y, classes)
    alike = (own >= _F1) & (own >= theirs - _MARGIN) & (sizes >= _MIN_CLASS)
    return SurroundingsScore(
        accuracy=Accuracy.of(right),
        network=Accuracy.of(by_network),
        largest=float(sizes.max() / len(y)),
        difference=paired_difference(by_network, right),
        classes={int(k): (float(own[k]), float(theirs[k])) for k in np.flatnonzero(alike)},
    )


def _predict(family: str, X: Floats, y: Labels, folds: Labels, *, classes: int) -> Labels:
    """Return labels predicted by heads, and settings, that have not seen the image."""
    problem = SelectionProblem(
        values={"surroundings": X},
        y=y,
        family=head_family(family),
        classes=classes,
        row_weights=np.ones(len(y), np.float32),
        folds=folds,
    )
    selection = select(problem, [Candidate(("surroundings",), 0)])
    assert selection.probabilities is not None  # folds were given
    predicted: Labels = selection.probabilities.argmax(axis=1)
    return predicted


def _f1(predicted: Labels, y: Labels, classes: int) -> np.ndarray:
    """Return the F1 score of each class, (K,)."""
    hits = np.bincount(y[predicted == y], minlength=classes)
    total = np.bincount(y, minlength=classes) + np.bincount(predicted, minlength=classes)
    scores: np.ndarray = 2 * hits / np.maximum(total, 1)
    return scores


def background_issues(score: SurroundingsScore, classes: Sequence[str]) -> list[Issue]:
    """Return an issue for the whole data set, or else for each class that is given away."""
    if score.suffices:
        return [
            Issue(
                path="",
                kind=IssueKind.BACKGROUND,
                score=score.accuracy.value,
                label="",
                evidence="border, colors and size of the images alone give an accuracy of "
                f"{score.accuracy}, the network {score.network}",
            )
        ]
    return [
        Issue(
            path="",
            kind=IssueKind.BACKGROUND,
            score=own,
            label=classes[index],
            evidence="border, colors and size of the images alone recognize this class with an F1 "
            f"score of {own:.2f}, the network with {theirs:.2f}",
        )
        for index, (own, theirs) in score.classes.items()
    ]
