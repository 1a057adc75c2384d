"""The classifiers that grow on frozen features: arrays and a formula, nothing that runs code.

Every head works on standardised features and gives logits: numbers whose softmax, divided by a
temperature, are its probabilities (see `headstart.heads.calibration`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np

from headstart.types import Floats, HeadKind, Labels

Tensors = Mapping[str, np.ndarray]
_BLOCK = 2048
"""Rows that k-NN compares at a time: bounds its memory."""


class Head(Protocol):
    """A trained head."""

    @property
    def kind(self) -> HeadKind:
        """Which family it is of."""
        ...

    def logits(self, X: Floats) -> Floats:
        """(N, D) features to (N, K) logits."""
        ...

    def tensors(self) -> dict[str, np.ndarray]:
        """All there is to save."""
        ...


@dataclass(frozen=True, slots=True)
class LinearHead:
    """Multinomial logistic regression; the standardisation is folded into the weights.

    Attributes:
        coefficients: (K, D) float32.
        intercepts: (K,) float32.
    """

    coefficients: Floats
    intercepts: Floats

    @property
    def kind(self) -> HeadKind:
        """Logistic."""
        return HeadKind.LOGISTIC

    def logits(self, X: Floats) -> Floats:
        """(N, D) to (N, K)."""
        return X @ self.coefficients.T + self.intercepts

    def tensors(self) -> dict[str, np.ndarray]:
        """Both arrays."""
        return {"coefficients": self.coefficients, "intercepts": self.intercepts}

    @classmethod
    def from_tensors(cls, tensors: Tensors) -> Self:
        """What `tensors` gave."""
        return cls(tensors["coefficients"], tensors["intercepts"])


@dataclass(frozen=True, slots=True)
class Standardisation:
    """Moves features to mean 0 and spread 1, as seen in training.

    Attributes:
        mean: (D,) float32.
        scale: (D,) float32, positive.
    """

    mean: Floats
    scale: Floats

    @classmethod
    def of(cls, X: Floats, weights: Floats) -> Self:
        """The weighted moments of the rows of X (N, D)."""
        share = weights / weights.sum()
        mean = share @ X
        scale = np.sqrt(share @ np.square(X - mean))
        scale[scale < 1e-6] = 1  # a constant feature must not become noise
        return cls(mean, scale)

    def __call__(self, X: Floats) -> Floats:
        return (X - self.mean) / self.scale


@dataclass(frozen=True, slots=True)
class CentroidHead:
    """Nearest class mean: logits are minus half the squared distance, per feature.

    With one image a class this is the prototype classifier of few-shot learning (Snell et al.
    2017).

    Attributes:
        standardisation: applied first.
        centroids: (K, D) float32, standardised.
    """

    standardisation: Standardisation
    centroids: Floats

    @property
    def kind(self) -> HeadKind:
        """Centroid."""
        return HeadKind.CENTROID

    def logits(self, X: Floats) -> Floats:
        """(N, D) to (N, K)."""
        # |x|^2 is the same for all classes, so the softmax does not see it.
        half = 0.5 * np.square(self.centroids).sum(1)
        scores: Floats = (self.standardisation(X) @ self.centroids.T - half) / X.shape[1]
        return scores

    def tensors(self) -> dict[str, np.ndarray]:
        """All three arrays."""
        return {
            "mean": self.standardisation.mean,
            "scale": self.standardisation.scale,
            "centroids": self.centroids,
        }

    @classmethod
    def from_tensors(cls, tensors: Tensors) -> Self:
        """What `tensors` gave."""
        return cls(Standardisation(tensors["mean"], tensors["scale"]), tensors["centroids"])


@dataclass(frozen=True, slots=True)
class KnnHead:
    """k nearest neighbours by cosine; logits are the logarithms of the smoothed votes.

    A neighbour's vote is exp(cosine / 0.07), the weighting of Wu et al. 2018 that evaluations of
    self-supervised features use.

    Attributes:
        standardisation: applied first.
        examples: (M, D) float32, standardised and of length 1.
        labels: (M,) int64.
        neighbours: k.
        classes: K.
    """

    standardisation: Standardisation
    examples: Floats
    labels: Labels
    neighbours: int
    classes: int

    @property
    def kind(self) -> HeadKind:
        """k-NN."""
        return HeadKind.KNN

    def logits(self, X: Floats) -> Floats:
        """(N, D) to (N, K)."""
        blocks = [self._logits(X[start : start + _BLOCK]) for start in range(0, len(X), _BLOCK)]
        return np.concatenate(blocks) if blocks else np.zeros((0, self.classes), np.float32)

    def _logits(self, X: Floats) -> Floats:
        cosine = unit(self.standardisation(X)) @ self.examples.T
        k = min(self.neighbours, len(self.labels))
        nearest = np.argpartition(-cosine, k - 1, axis=1)[:, :k]
        votes = np.zeros((len(X), self.classes), np.float32)
        strength = np.exp((np.take_along_axis(cosine, nearest, 1) - 1) / 0.07)
        rows = np.repeat(np.arange(len(X)), k)
        np.add.at(votes, (rows, self.labels[nearest].ravel()), strength.ravel())
        # Nobody's vote is nought: a class that no neighbour has is unlikely, not impossible.
        total = votes.sum(1, keepdims=True)
        share = (votes + 1e-3 * total / self.classes) / np.maximum(total, 1e-30)
        logits: Floats = np.log(np.maximum(share, 1e-30))
        return logits

    def tensors(self) -> dict[str, np.ndarray]:
        """Arrays; the two counts as arrays of one number."""
        return {
            "mean": self.standardisation.mean,
            "scale": self.standardisation.scale,
            "examples": self.examples,
            "labels": self.labels,
            "neighbours": np.array([self.neighbours]),
            "classes": np.array([self.classes]),
        }

    @classmethod
    def from_tensors(cls, tensors: Tensors) -> Self:
        """What `tensors` gave."""
        return cls(
            Standardisation(tensors["mean"], tensors["scale"]),
            tensors["examples"],
            tensors["labels"],
            int(tensors["neighbours"][0]),
            int(tensors["classes"][0]),
        )


def unit(X: Floats) -> Floats:
    """Rows of length 1; a row of zeros stays."""
    return X / np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-12)


_KINDS: dict[HeadKind, type[LinearHead] | type[CentroidHead] | type[KnnHead]] = {
    HeadKind.LOGISTIC: LinearHead,
    HeadKind.CENTROID: CentroidHead,
    HeadKind.KNN: KnnHead,
}


def head_from_tensors(kind: HeadKind, tensors: Tensors) -> Head:
    """The head that `tensors()` was taken from.

    Raises:
        KeyError: an array is missing.
    """
    return _KINDS[kind].from_tensors(tensors)
