"""The classifiers that grow on frozen features: arrays and a formula, nothing that runs code.

Every head works on standardized features and gives logits: numbers whose softmax, divided by a
temperature, are its probabilities (see `headstart.heads.calibration`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np

from headstart.heads.rows import Rows
from headstart.types import Doubles, Floats, HeadKind, Labels

Tensors = Mapping[str, np.ndarray]
VOTE_WIDTH = 0.07
"""A neighbor's vote in k-NN is exp(cosine / this) (Wu et al. 2018)."""
PRIOR_VOTE = 1e-3
"""Share of all votes that every class gets for nothing."""
FLOOR = 1e-30
"""Keeps logarithms and quotients of votes finite."""
_BLOCK = 4 * 2**20
"""Similarities that k-NN computes at a time: bounds its memory."""


class Head(Protocol):
    """A trained head."""

    @property
    def kind(self) -> HeadKind:
        """Which family it is of."""
        ...

    @property
    def width(self) -> int:
        """Features it sees."""
        ...

    def logits(self, X: Floats) -> Floats:
        """(N, D) features to (N, K) logits."""
        ...

    def tensors(self) -> dict[str, np.ndarray]:
        """All there is to save."""
        ...


@dataclass(frozen=True, slots=True)
class LinearHead:
    """Multinomial logistic regression; the standardization is folded into the weights.

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

    @property
    def width(self) -> int:
        """Features it sees."""
        return int(self.coefficients.shape[1])

    def logits(self, X: Floats) -> Floats:
        """(N, D) to (N, K)."""
        logits: Floats = X @ self.coefficients.T + self.intercepts
        return logits

    def tensors(self) -> dict[str, np.ndarray]:
        """Both arrays."""
        return {"coefficients": self.coefficients, "intercepts": self.intercepts}

    @classmethod
    def from_tensors(cls, tensors: Tensors) -> Self:
        """What `tensors` gave."""
        return cls(tensors["coefficients"], tensors["intercepts"])


@dataclass(frozen=True, slots=True)
class Standardization:
    """Moves features to mean 0 and spread 1, as seen in training.

    Attributes:
        mean: (D,) float32.
        scale: (D,) float32, positive.
    """

    mean: Floats
    scale: Floats

    @classmethod
    def of(
        cls,
        X: Floats | Rows,
        weights: Floats,
        *,
        blocks: Sequence[int] | None = None,
        prior: float = 0.0,
    ) -> Self:
        """The weighted moments of the rows of X (N, D).

        A few images tell little about the spread of each feature: one that happens not to vary
        would be blown up, and no head can mend that. So each variance is drawn towards the mean
        variance of its block, as if `prior` more images had shown that (the conjugate prior of a
        normal variance). With many images it makes no difference.

        Args:
            X: features.
            weights: (N,) of the rows.
            blocks: widths of the stages side by side in X, each with a scale of its own; one
                block by default.
            prior: images that the mean variance counts for; 0 is the plain standardization.
        """
        share = weights / weights.sum()
        mean = _weighted(X, share)
        variance = _weighted(X, share, about=mean)
        if prior:
            images = 1 / np.square(share).sum()  # as many as would weigh the same (Kish)
            widths = [len(mean)] if blocks is None else list(blocks)
            starts = np.cumsum([0, *widths[:-1]])
            pooled = np.repeat(np.add.reduceat(variance, starts) / widths, widths)
            variance = (images * variance + prior * pooled) / (images + prior)
        scale = np.sqrt(variance, dtype=np.float32)
        scale[scale < 1e-6] = 1  # a constant feature must not become noise
        return cls(mean, scale)

    def __call__(self, X: Floats) -> Floats:
        """(N, D), standardized."""
        moved: Floats = X - self.mean
        moved /= self.scale
        return moved


def _weighted(X: Floats | Rows, share: Floats, *, about: Floats | None = None) -> Floats:
    """The weighted mean of the rows, or of their squared distances from `about`: (D,)."""
    rows = X if isinstance(X, Rows) else Rows((X,), np.arange(len(X)))
    total: Doubles | float = 0.0
    for span in rows.spans():
        piece = rows.at(span)
        if about is not None:
            piece -= about
            piece *= piece
        total += (share[span] @ piece).astype(np.float64)
    return np.asarray(total, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class CentroidHead:
    """Nearest class mean: logits are minus half the squared distance, by the root of the width.

    Distances grow with the number of features, and their spread with its root: divided by it,
    logits need a temperature near 1, be there 16 features or 2,048.

    With one image a class this is the prototype classifier of few-shot learning (Snell et al.
    2017).

    Attributes:
        standardization: applied first.
        centroids: (K, D) float32, standardized.
    """

    standardization: Standardization
    centroids: Floats

    @property
    def kind(self) -> HeadKind:
        """Centroid."""
        return HeadKind.CENTROID

    @property
    def width(self) -> int:
        """Features it sees."""
        return len(self.standardization.mean)

    def logits(self, X: Floats) -> Floats:
        """(N, D) to (N, K)."""
        # |x|^2 is the same for all classes, so the softmax does not see it.
        half = 0.5 * np.square(self.centroids).sum(1)
        scores: Floats = (self.standardization(X) @ self.centroids.T - half) / np.float32(
            np.sqrt(X.shape[1])
        )
        return scores

    def tensors(self) -> dict[str, np.ndarray]:
        """All three arrays."""
        return {
            "mean": self.standardization.mean,
            "scale": self.standardization.scale,
            "centroids": self.centroids,
        }

    @classmethod
    def from_tensors(cls, tensors: Tensors) -> Self:
        """What `tensors` gave."""
        return cls(Standardization(tensors["mean"], tensors["scale"]), tensors["centroids"])


@dataclass(frozen=True, slots=True)
class KnnHead:
    """k nearest neighbors by cosine; logits are the logarithms of the smoothed votes.

    A neighbor's vote is exp(cosine / 0.07), the weighting of Wu et al. 2018 that evaluations of
    self-supervised features use.

    Attributes:
        standardization: applied first.
        examples: (M, D) float32, standardized and of length 1.
        labels: (M,) int64.
        neighbors: k.
        classes: K.
    """

    standardization: Standardization
    examples: Floats
    labels: Labels
    neighbors: int
    classes: int

    @property
    def kind(self) -> HeadKind:
        """k-NN."""
        return HeadKind.KNN

    @property
    def width(self) -> int:
        """Features it sees."""
        return len(self.standardization.mean)

    def logits(self, X: Floats) -> Floats:
        """(N, D) to (N, K)."""
        logits: Floats = self.logits_by_count(X, [self.neighbors])[0]
        return logits

    def logits_by_count(self, X: Floats, counts: Sequence[int]) -> Floats:
        """Logits for several k, with one search: (N, D) to (len(counts), N, K)."""
        rows = max(1, _BLOCK // len(self.labels))
        blocks = [self._search(X[at : at + rows], counts) for at in range(0, len(X), rows)]
        empty = np.zeros((len(counts), 0, self.classes), np.float32)
        return np.concatenate([empty, *blocks], axis=1)

    def _search(self, X: Floats, counts: Sequence[int]) -> Floats:
        cosine = unit(self.standardization(X)) @ self.examples.T
        most = min(max(counts), len(self.labels))
        nearest = np.argpartition(cosine, -most, axis=1)[:, -most:]
        nearest_first = np.argsort(-np.take_along_axis(cosine, nearest, 1), axis=1, kind="stable")
        nearest = np.take_along_axis(nearest, nearest_first, 1)
        strength = np.exp((np.take_along_axis(cosine, nearest, 1) - 1) / np.float32(VOTE_WIDTH))
        return np.stack([self._vote(nearest[:, :k], strength[:, :k]) for k in counts])

    def _vote(self, nearest: Labels, strength: Floats) -> Floats:
        """(N, k) neighbors and the strength of their votes to (N, K) logits."""
        votes = np.zeros((len(nearest), self.classes), np.float32)
        rows = np.repeat(np.arange(len(nearest)), nearest.shape[1])
        np.add.at(votes, (rows, self.labels[nearest].ravel()), strength.ravel())
        # Nobody's vote is nought: a class that no neighbor has is unlikely, not impossible.
        total = votes.sum(1, keepdims=True)
        share = (votes + PRIOR_VOTE * total / self.classes) / np.maximum(total, FLOOR)
        logits: Floats = np.log(np.maximum(share, FLOOR))
        return logits

    def tensors(self) -> dict[str, np.ndarray]:
        """Arrays; the two counts as arrays of one number."""
        return {
            "mean": self.standardization.mean,
            "scale": self.standardization.scale,
            "examples": self.examples,
            "labels": self.labels,
            "neighbors": np.array([self.neighbors]),
            "classes": np.array([self.classes]),
        }

    @classmethod
    def from_tensors(cls, tensors: Tensors) -> Self:
        """What `tensors` gave."""
        neighbors, classes = int(tensors["neighbors"][0]), int(tensors["classes"][0])
        labels = tensors["labels"]
        if neighbors < 1 or labels.min() < 0 or labels.max() >= classes:
            raise ValueError(f"{neighbors} neighbors and {classes} classes do not fit the labels")
        return cls(
            Standardization(tensors["mean"], tensors["scale"]),
            tensors["examples"],
            labels,
            neighbors,
            classes,
        )


def unit(X: Floats) -> Floats:
    """Rows of length 1; a row of zeros stays."""
    length: Floats = np.maximum(np.linalg.norm(X, axis=1, keepdims=True), np.float32(1e-12))
    return X / length


_KINDS: dict[HeadKind, type[LinearHead] | type[CentroidHead] | type[KnnHead]] = {
    HeadKind.LOGISTIC: LinearHead,
    HeadKind.CENTROID: CentroidHead,
    HeadKind.KNN: KnnHead,
}
_STANDARDIZATION = {"mean": "D", "scale": "D"}
_SHAPES = {
    HeadKind.LOGISTIC: {"coefficients": "KD", "intercepts": "K"},
    HeadKind.CENTROID: {**_STANDARDIZATION, "centroids": "KD"},
    HeadKind.KNN: {
        **_STANDARDIZATION,
        "examples": "MD",
        "labels": "M",
        "neighbors": "1",
        "classes": "1",
    },
}


def head_from_tensors(kind: HeadKind, tensors: Tensors) -> Head:
    """The head that `tensors()` was taken from.

    Raises:
        KeyError: an array is missing.
        ValueError: arrays do not fit one another, or hold what no head has.
    """
    sizes = {"1": 1}
    for name, letters in _SHAPES[kind].items():
        array = tensors[name]
        shape = tuple(sizes.setdefault(*pair) for pair in zip(letters, array.shape, strict=False))
        if array.shape != shape or len(shape) != len(letters) or 0 in shape:
            raise ValueError(f"{name} has the shape {array.shape}")
        if not np.isfinite(array).all():
            raise ValueError(f"{name} holds numbers that are none")
    return _KINDS[kind].from_tensors(tensors)
