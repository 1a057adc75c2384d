"""k nearest neighbors by cosine similarity, with the weighted votes of Wu et al. 2018."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from headstart.heads.head import HeadFamily, LabeledFeatures, check_tensors
from headstart.heads.standardization import PRIOR, Standardization
from headstart.types import Floats, Labels

if TYPE_CHECKING:
    from torch import Tensor

TEMPERATURE = 0.07
"""A neighbor's vote is exp(cosine / this), as in evaluations of self-supervised features."""
SMOOTHING = 1e-3
"""Share of all votes that is spread evenly over the classes."""
FLOOR = 1e-30
"""Keeps logarithms and quotients of votes finite."""
_BLOCK = 4 * 2**20
"""Number of similarities computed at a time; bounds the memory."""


@dataclass(frozen=True, slots=True)
class KnnHead:
    """Logits are the logarithms of the smoothed votes of the k nearest training images.

    Attributes:
        standardization: applied to the features first.
        examples: (M, D) float32, training features, standardized and of length 1.
        labels: (M,) int64 labels of the training images.
        neighbors: number of neighbors k.
        classes: number of classes K.
    """

    kind: ClassVar[str] = "knn"
    standardization: Standardization
    examples: Floats
    labels: Labels
    neighbors: int
    classes: int

    @property
    def width(self) -> int:
        """Number of features D."""
        return len(self.standardization.mean)

    def logits(self, X: Floats) -> Floats:
        """Map features (N, D) to logits (N, K)."""
        logits: Floats = self.logits_by_count(X, [self.neighbors])[0]
        return logits

    def logits_by_count(self, X: Floats, counts: Sequence[int]) -> Floats:
        """Map features (N, D) to logits (len(counts), N, K) for several k, with one search."""
        rows = max(1, _BLOCK // len(self.labels))
        blocks = [self._search(X[at : at + rows], counts) for at in range(0, len(X), rows)]
        empty = np.zeros((len(counts), 0, self.classes), np.float32)
        return np.concatenate([empty, *blocks], axis=1)

    def torch_logits(self, X: Tensor) -> Tensor:
        """Map features (B, D) to logits (B, K).

        The gradient is that of the votes, for fixed neighbors.
        """
        Z = self.standardization.torch(X)
        unit = Z / Z.norm(dim=1, keepdim=True).clamp_min(1e-12)
        cosine = unit @ X.new_tensor(self.examples).T  # (B, M)
        nearest = cosine.topk(min(self.neighbors, cosine.shape[1]), dim=1)
        strength = ((nearest.values - 1) / TEMPERATURE).exp()
        labels = X.new_tensor(self.labels).long()[nearest.indices]
        votes = X.new_zeros(len(X), self.classes).scatter_add(1, labels, strength)
        total = votes.sum(1, keepdim=True)
        share = (votes + SMOOTHING * total / self.classes) / total.clamp_min(FLOOR)
        return share.clamp_min(FLOOR).log()

    def _search(self, X: Floats, counts: Sequence[int]) -> Floats:
        cosine = unit_length(self.standardization(X)) @ self.examples.T
        most = min(max(counts), len(self.labels))
        nearest = np.argpartition(cosine, -most, axis=1)[:, -most:]
        nearest_first = np.argsort(-np.take_along_axis(cosine, nearest, 1), axis=1, kind="stable")
        nearest = np.take_along_axis(nearest, nearest_first, 1)
        strength = np.exp((np.take_along_axis(cosine, nearest, 1) - 1) / np.float32(TEMPERATURE))
        return np.stack([self._vote(nearest[:, :k], strength[:, :k]) for k in counts])

    def _vote(self, nearest: Labels, strength: Floats) -> Floats:
        """Convert (N, k) neighbors and the strength of their votes to (N, K) logits."""
        votes = np.zeros((len(nearest), self.classes), np.float32)
        rows = np.repeat(np.arange(len(nearest)), nearest.shape[1])
        np.add.at(votes, (rows, self.labels[nearest].ravel()), strength.ravel())
        # A class that no neighbor has is unlikely, not impossible.
        total = votes.sum(1, keepdims=True)
        share = (votes + SMOOTHING * total / self.classes) / np.maximum(total, FLOOR)
        logits: Floats = np.log(np.maximum(share, FLOOR))
        return logits

    def tensors(self) -> dict[str, np.ndarray]:
        """Return the arrays by name; both counts are arrays of one number."""
        return {
            "mean": self.standardization.mean,
            "scale": self.standardization.scale,
            "examples": self.examples,
            "labels": self.labels,
            "neighbors": np.array([self.neighbors]),
            "classes": np.array([self.classes]),
        }


class KnnFamily(HeadFamily):
    """k nearest neighbors; the setting is k. Rows with weight 0 are ignored."""

    description: ClassVar[str] = "k nearest neighbors"
    symbol: ClassVar[str] = "k"
    settings = (25.0, 10.0, 5.0, 1.0)
    default = 3

    def fit(self, data: LabeledFeatures, weights: Floats, setting: float) -> KnnHead:
        """See `HeadFamily.fit`."""
        used = weights > 0
        standardization = Standardization.of(
            data.X, used.astype(np.float32), blocks=data.blocks, prior=PRIOR
        )
        examples = unit_length(standardization(data.X[used]))
        return KnnHead(standardization, examples, data.y[used], int(setting), data.classes)

    def held_out(
        self, data: LabeledFeatures, weights: Floats, settings: Sequence[float] | None = None
    ) -> list[Floats]:
        """Search once per fold for all k; see `HeadFamily.held_out`."""
        counts = [int(k) for k in (self.settings if settings is None else settings)]
        heads = [self.fit(data, row, counts[0]) for row in weights]
        return [
            head.logits_by_count(data.X[row == 0], counts).swapaxes(1, 2)
            for head, row in zip(heads, weights, strict=True)
        ]

    def load(self, tensors: Mapping[str, np.ndarray]) -> KnnHead:
        """See `HeadFamily.load`."""
        shapes = {"mean": "D", "scale": "D", "examples": "MD", "labels": "M"}
        check_tensors(tensors, {**shapes, "neighbors": "1", "classes": "1"})
        neighbors, classes = int(tensors["neighbors"][0]), int(tensors["classes"][0])
        labels = tensors["labels"]
        # Each class has an example, so `classes` cannot ask for more memory than the file takes.
        if neighbors < 1 or labels.min() < 0 or not labels.max() < classes <= len(labels):
            raise ValueError(f"{neighbors} neighbors and {classes} classes do not fit the labels")
        standardization = Standardization(tensors["mean"], tensors["scale"])
        return KnnHead(standardization, tensors["examples"], labels, neighbors, classes)


def unit_length(X: Floats) -> Floats:
    """Scale rows to length 1; a row of zeros stays as it is."""
    length: Floats = np.maximum(np.linalg.norm(X, axis=1, keepdims=True), np.float32(1e-12))
    return X / length
