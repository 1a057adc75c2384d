"""Linear discriminants with a shrunken covariance, in closed form.

The classes are normal distributions with means of their own and one covariance, of which few images
say little in as many dimensions as there are features. So it is shrunk towards a multiple of the
identity (Friedman 1989, "Regularized discriminant analysis").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from headstart.heads.head import HeadFamily, LabeledFeatures, check_tensors
from headstart.heads.logistic import LinearHead
from headstart.heads.standardization import PRIOR, Standardization
from headstart.types import Doubles, Floats

_ABSENT = 1e3
"""Logit by which a class without images is less likely than the least likely mean of the others."""


@dataclass(frozen=True, slots=True)
class DiscriminantHead(LinearHead):
    """Linear logits of features, as `LinearHead` has."""

    kind: ClassVar[str] = "discriminant"


class DiscriminantFamily(HeadFamily):
    """Linear discriminants; the setting is the share of the identity in the covariance."""

    description: ClassVar[str] = "linear discriminants with a shrunken covariance"
    symbol: ClassVar[str] = "shrinkage"
    settings = (0.95, 0.8, 0.6, 0.4, 0.2, 0.1)
    default = 0
    caution = 0.0
    """With five images a class, the best stages gave 0.852, the deepest of those tied 0.844."""

    def fit(self, data: LabeledFeatures, weights: Floats, setting: float) -> DiscriminantHead:
        """See `HeadFamily.fit`."""
        return _Moments.of(data, weights).head(setting)

    def held_out(
        self, data: LabeledFeatures, weights: Floats, settings: Sequence[float] | None = None
    ) -> list[Floats]:
        """Decompose the covariance of each fold once; see `HeadFamily.held_out`."""
        folds = []
        for row in weights:
            moments, X = _Moments.of(data, row), data.X[row == 0]
            wanted = self.settings if settings is None else settings
            logits = np.stack([moments.head(setting).logits(X).T for setting in wanted])
            present = np.isin(np.arange(data.classes), data.y[row > 0])
            logits[:, ~present] = logits[:, present].min(1, keepdims=True) - 1
            folds.append(logits)
        return folds

    def load(self, tensors: Mapping[str, np.ndarray]) -> DiscriminantHead:
        """See `HeadFamily.load`."""
        check_tensors(tensors, {"coefficients": "KD", "intercepts": "K"})
        return DiscriminantHead(tensors["coefficients"], tensors["intercepts"])


@dataclass(frozen=True, slots=True)
class _Moments:
    """Means and covariance of standardized features, where the covariance is not 0.

    Attributes:
        standardization: applied to the features first.
        means: (K, D) mean of each class; 0 for those without images.
        shares: (K,) share of each class.
        directions: (D, R) orthonormal eigenvectors of the covariance within classes.
        variances: (R,) their eigenvalues; all others are 0.
        mean_variance: mean of all D eigenvalues.
    """

    standardization: Standardization
    means: Doubles
    shares: Doubles
    directions: Doubles
    variances: Doubles
    mean_variance: float

    @classmethod
    def of(cls, data: LabeledFeatures, weights: Floats) -> Self:
        """Compute the moments of the rows with a positive weight."""
        used = weights > 0
        y, w = data.y[used], weights[used].astype(np.float64)
        standardization = Standardization.of(data.X, weights, blocks=data.blocks, prior=PRIOR)
        Z = standardization(data.X[used]).astype(np.float64)
        members = (y == np.arange(data.classes)[:, None]) * w
        totals = members.sum(1)
        means = members @ Z / np.maximum(totals, 1e-12)[:, None]
        # Of N images around K means, N - K are independent; weights count as Kish's sample size.
        images, present = w.sum() ** 2 / np.square(w).sum(), np.count_nonzero(totals)
        scale = images / max(images - present, 1) / w.sum()
        residuals = (Z - means[y]) * np.sqrt(w * scale)[:, None]
        directions, variances = _principal(residuals)
        mean_variance = variances.sum() / Z.shape[1]
        # Where no class has two images, all directions are alike.
        spread = mean_variance if mean_variance > 1e-9 else 1.0
        shares = totals / totals.sum()
        return cls(standardization, means, shares, directions, variances, spread)

    def head(self, shrinkage: float) -> DiscriminantHead:
        """Return the discriminants for one share of the identity."""
        present = self.shares > 0
        least = shrinkage * self.mean_variance
        inverse = 1 / ((1 - shrinkage) * self.variances + least) - 1 / least
        precise = self.means / least + self.means @ self.directions * inverse @ self.directions.T
        intercepts = -(precise * self.means).sum(1) / 2 + np.log(np.maximum(self.shares, 1e-12))
        intercepts[~present] = intercepts[present].min() - _ABSENT
        coefficients = precise / self.standardization.scale
        intercepts -= coefficients @ self.standardization.mean
        return DiscriminantHead(coefficients.astype(np.float32), intercepts.astype(np.float32))


def _principal(X: Doubles) -> tuple[Doubles, Doubles]:
    """Return the orthonormal (D, R) and the R positive eigenvalues of X'X, for X (N, D)."""
    wide = X.shape[0] < X.shape[1]
    values, vectors = np.linalg.eigh(X @ X.T if wide else X.T @ X)
    kept = values > 1e-10 * max(values[-1], 1e-10)
    values, vectors = values[kept], vectors[:, kept]
    return (X.T @ vectors / np.sqrt(values) if wide else vectors), values
