"""Nearest class mean; with one image per class, the prototypes of Snell et al. 2017."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from headstart.heads.head import HeadFamily, LabeledFeatures, check_tensors
from headstart.heads.standardization import PRIOR, Standardization
from headstart.types import Floats

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class CentroidHead:
    """Logits are minus half the squared distance to each centroid, divided by sqrt(D).

    Distances grow with the number of features D, and their spread with its root. Divided by it,
    logits need a temperature near 1 for both 16 and 2,048 features.

    Attributes:
        standardization: applied to the features first.
        centroids: (K, D) float32, means of the standardized features of each class.
    """

    kind: ClassVar[str] = "centroid"
    standardization: Standardization
    centroids: Floats

    @property
    def width(self) -> int:
        """Number of features D."""
        return len(self.standardization.mean)

    def logits(self, X: Floats) -> Floats:
        """Map features (N, D) to logits (N, K)."""
        # |x|^2 is the same for all classes and cancels in the softmax.
        half = 0.5 * np.square(self.centroids).sum(1)
        products = self.standardization(X) @ self.centroids.T
        logits: Floats = (products - half) / np.float32(np.sqrt(X.shape[1]))
        return logits

    def torch_logits(self, X: Tensor) -> Tensor:
        """Map features (B, D) to logits (B, K), differentiably."""
        centroids = X.new_tensor(self.centroids)
        products: Tensor = self.standardization.torch(X) @ centroids.T
        return (products - 0.5 * centroids.square().sum(1)).div(X.shape[1] ** 0.5)

    def tensors(self) -> dict[str, np.ndarray]:
        """Return all three arrays by name."""
        return {
            "mean": self.standardization.mean,
            "scale": self.standardization.scale,
            "centroids": self.centroids,
        }


class CentroidFamily(HeadFamily):
    """Nearest centroid, without hyperparameters."""

    description: ClassVar[str] = "nearest centroid"

    def fit(self, data: LabeledFeatures, weights: Floats, setting: float) -> CentroidHead:
        """See `HeadFamily.fit`."""
        del setting
        standardization = Standardization.of(data.X, weights, blocks=data.blocks, prior=PRIOR)
        members = (data.y[None] == np.arange(data.classes)[:, None]) * weights
        share = (members / np.maximum(members.sum(1, keepdims=True), 1e-12)).astype(np.float32)
        centroids = share @ standardization(data.X)
        return CentroidHead(standardization, centroids)

    def held_out(
        self, data: LabeledFeatures, weights: Floats, settings: Sequence[float] | None = None
    ) -> list[Floats]:
        """See `HeadFamily.held_out`."""
        folds = super().held_out(data, weights, settings)
        for row, logits in zip(weights, folds, strict=True):
            present = np.isin(np.arange(data.classes), data.y[row > 0])
            # A class without training images has no centroid and gets the lowest logit.
            logits[:, ~present] = logits[:, present].min(1, keepdims=True) - 1
        return folds

    def load(self, tensors: Mapping[str, np.ndarray]) -> CentroidHead:
        """See `HeadFamily.load`."""
        check_tensors(tensors, {"mean": "D", "scale": "D", "centroids": "KD"})
        standardization = Standardization(tensors["mean"], tensors["scale"])
        return CentroidHead(standardization, tensors["centroids"])
