"""The curvature that all classes of a logistic regression share, as a preconditioner.

The Hessian of a weighted cross-entropy is, for each class, the second moments of the features with
each image weighted by p (1 - p). With the mean of these weights instead, it is a multiple of one
matrix for all classes (the fixed curvature of Boehning 1992, with the current weights instead of
their bound), plus a multiple of the identity. A network's features vary mostly along a few
directions: these are found by random projection (Halko, Martinsson & Tropp 2011), at a fraction of
the cost of an eigendecomposition, and the rest is taken as equal in all directions.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from headstart.types import Floats

_DIRECTIONS = 64
"""Directions that are told apart. With 32 as with 128, solutions take about as many steps."""
_POWERS = 2
"""Multiplications with the second moments, each of which sharpens the directions."""


@dataclass(frozen=True, slots=True)
class Curvature:
    """An approximation of Z^T Z / N, for standardized features Z (N, D).

    Attributes:
        vectors: (D, R) orthonormal directions, one per column.
        values: (R,) mean squares along them.
        rest: mean square along any other direction.
    """

    vectors: Floats
    values: Floats
    rest: np.float32

    @classmethod
    def of(cls, Z: Floats) -> Self:
        """Find the directions along which features (N, D) vary most."""
        images, width = Z.shape
        count = min(_DIRECTIONS, width)
        start = np.random.default_rng(0).standard_normal((images, count), np.float32)
        basis: Floats = np.linalg.qr(Z.T @ start)[0]
        for _ in range(_POWERS):
            basis = np.linalg.qr(Z.T @ (Z @ basis))[0]
        along = Z @ basis
        values, turn = np.linalg.eigh(along.T @ along)
        values = np.maximum(values, 0) / np.float32(images)
        total = np.einsum("nd,nd->", Z, Z, dtype=np.float64) / images
        rest = max(total - float(values.sum()), 0) / max(1, width - count)
        return cls(basis @ turn, values, np.float32(rest))

    def solve(self, gradient: Floats, variance: Floats, decay: np.float32) -> Floats:
        """Divide a gradient by the approximate Hessian.

        Args:
            gradient: (K, D + 1) by weights and bias.
            variance: (K, 1) sum of p (1 - p) over the images, positive.
            decay: 1 / C.
        """
        rest = variance * self.rest + decay
        along = gradient[:, :-1] @ self.vectors
        along *= 1 / (variance * self.values + decay) - 1 / rest
        solved = np.empty_like(gradient)
        np.matmul(along, self.vectors.T, out=solved[:, :-1])
        solved[:, :-1] += gradient[:, :-1] / rest
        solved[:, -1:] = gradient[:, -1:] / variance
        return solved
