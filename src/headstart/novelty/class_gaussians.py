"""Gaussian classes with a shared covariance, fitted to features of unit length.

This is Mahalanobis++ (Müller & Hein 2025, "Mahalanobis++: improving OOD detection via feature
normalization") with a covariance that is shrunk towards a multiple of the identity. The covariance
is a low-rank part plus a constant, so that it needs neither N > D images nor D x D numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from headstart.heads.head import check_tensors
from headstart.heads.knn import unit_length
from headstart.types import Doubles, Floats, Labels

RANK = 128
"""Directions of the features within classes, and of the class means, that are kept. With the
shrinkages in use, further directions have almost the variance of the remainder."""
_MAX_IMAGES = 4_096
"""Images that the covariance is estimated on: more change no distance noticeably."""
_SMALLEST = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassGaussians:
    """K Gaussians with a shared covariance in D dimensions, in a basis of R directions.

    Attributes:
        center: (D,) float32, mean of all images.
        basis: (D, R) float16, orthonormal columns.
        means: (K, R) float16, class means in the basis, relative to the center.
        variances: (R,) float32, variance within classes along each direction.
        spread: (2,) float32, mean variance of all D directions, and of those outside the basis.
        present: (K,) bool, whether a class has a Gaussian: without an image it has none.
    """

    center: Floats
    basis: np.ndarray
    means: np.ndarray
    variances: Floats
    spread: Floats
    present: np.ndarray

    @classmethod
    def fit(cls, X: Floats, y: Labels, *, classes: int) -> Self:
        """Fit to features X (N, D), N > 0, with labels y (N,) in [0, K)."""
        center = X.mean(0)
        labels, places = np.unique(y, return_inverse=True)
        own = _class_means(X, places, len(labels)) - center
        means = np.zeros((classes, X.shape[1]), np.float32)  # (K, D)
        means[labels] = own
        step = -(-len(X) // _MAX_IMAGES)
        within = (X - center)[::step] - means[y[::step]]
        freedom = max(1, len(within) - len(labels))
        total = float(np.square(within, dtype=np.float64).sum()) / freedom
        V, singular = _leading_directions(within, RANK)
        U, _ = _leading_directions(own - own @ V @ V.T, RANK)
        basis = np.concatenate([V, U], axis=1).astype(np.float16)
        variances = np.square(singular) / freedom
        width = X.shape[1]
        outside = max(0.0, total - float(variances.sum())) / max(1, width - len(variances))
        spread = np.maximum([total / width, outside], _SMALLEST)
        return cls(
            center=center,
            basis=basis,
            means=(means @ basis.astype(np.float32)).astype(np.float16),
            variances=np.append(variances, np.full(U.shape[1], outside)).astype(np.float32),
            spread=spread.astype(np.float32),
            present=np.isin(np.arange(classes), labels),
        )

    @property
    def width(self) -> int:
        """Number of features D."""
        return len(self.center)

    @property
    def classes(self) -> int:
        """Number of classes K."""
        return len(self.means)

    def squared_distances(self, X: Floats, shrinkages: Sequence[float]) -> list[Floats]:
        """Return squared Mahalanobis distances to the class means, divided by D.

        Args:
            X: (N, D) features, as in `unit_blocks`.
            shrinkages: weights in (0, 1] of the identity in the covariance.

        Returns:
            (N, K) for each shrinkage. A class without a Gaussian is farther than all others.
        """
        X = X - self.center
        Z = X @ self.basis.astype(np.float32)  # (N, R)
        means = self.means.astype(np.float32)
        outside = np.maximum(np.square(X).sum(1) - np.square(Z).sum(1), 0)
        average, remainder = self.spread
        found = []
        for weight in shrinkages:
            precision = 1 / ((1 - weight) * self.variances + weight * average)
            squared = np.square(Z) @ precision  # (N,)
            cross = (Z * precision) @ means.T  # (N, K)
            inside = squared[:, None] - 2 * cross + np.square(means) @ precision
            rest = outside / ((1 - weight) * remainder + weight * average)
            squared = (np.maximum(inside, 0) + rest[:, None]) / np.float32(self.width)
            farthest = squared[:, self.present].max(1, keepdims=True)
            found.append(np.where(self.present, squared, farthest + 1))
        return found

    def arrays(self) -> dict[str, np.ndarray]:
        """Return all arrays by name."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @classmethod
    def load(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """Return the Gaussians that `arrays` was called on.

        Raises:
            KeyError: an array is missing.
            ValueError: the arrays do not fit one another.
        """
        shapes = {"center": "D", "basis": "DR", "means": "KR", "variances": "R", "spread": "S"}
        shapes["present"] = "K"
        check_tensors(arrays, shapes, masks=["present"])
        variances, spread = arrays["variances"], arrays["spread"]
        if variances.min() < 0 or spread.shape != (2,) or spread.min() <= 0:
            raise ValueError("a variance is not positive")
        if arrays["present"].dtype != bool or not arrays["present"].any():
            raise ValueError("no class is present")
        return cls(**{name: arrays[name] for name in cls.__dataclass_fields__})


def unit_blocks(parts: Sequence[Floats]) -> Floats:
    """Scale the features (N, width) of each stage to unit length, and put them side by side."""
    return np.concatenate([unit_length(part) for part in parts], axis=1)


def _class_means(X: Floats, y: Labels, classes: int) -> Floats:
    """Return the means (K, D) of X (N, D) by label; each class has an image."""
    order = y.argsort(kind="stable")
    starts = np.searchsorted(y[order], np.arange(classes))
    counts = np.bincount(y, minlength=classes).astype(np.float32)
    means: Floats = np.add.reduceat(X[order], starts, axis=0)
    means /= counts[:, None]
    return means


def _leading_directions(X: Floats, count: int) -> tuple[Floats, Doubles]:
    """Return the leading right singular vectors (D, count) and values (count,) of X (N, D).

    Randomized subspace iteration (Halko, Martinsson & Tropp 2011, algorithm 4.4), with fixed random
    numbers. Directions without any variance are left out.
    """
    if len(X) <= 2 * count:  # the rows themselves span everything
        Q = _orthonormal(X.T)
    else:
        start = np.random.default_rng(0).standard_normal((X.shape[1], min(count + 10, X.shape[1])))
        Q = start.astype(np.float32)
        for _ in range(3):
            Q = _orthonormal(X.T @ (X @ Q))
    projected = (X @ Q).astype(np.float64)
    squares, turned = np.linalg.eigh(projected.T @ projected)
    kept = np.flatnonzero(squares > _SMALLEST)[::-1][:count]
    return Q @ turned[:, kept].astype(np.float32), np.sqrt(squares[kept])


def _orthonormal(Y: Floats) -> Floats:
    """Return an orthonormal basis of the columns of Y (D, m), up to rounding.

    By the small matrix of their products, several times faster than a QR decomposition.
    """
    columns = Y.astype(np.float64)
    squares, turned = np.linalg.eigh(columns.T @ columns)
    kept = squares > 1e-10 * squares.max(initial=_SMALLEST)
    basis: Floats = (columns @ (turned[:, kept] / np.sqrt(squares[kept]))).astype(np.float32)
    return basis
