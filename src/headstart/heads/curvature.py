"""The curvature that logistic regressions on the same features share, as a preconditioner.

The Hessian of a weighted cross-entropy is, for each class, the second moments of the features with
each image weighted by p (1 - p). With the mean of these weights instead, it is one matrix for all
folds, settings and classes, times a number, plus a multiple of the identity: its eigenvectors
invert it for all of them (the fixed curvature of Boehning 1992, with the current weights instead of
their bound).
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from headstart.types import Floats

_MIN_VARIANCE = 1e-3
"""Lower bound of the sum of p (1 - p): it vanishes where all images are fitted."""


@dataclass(frozen=True, slots=True)
class Curvature:
    """The eigendecomposition of Z^T Z / N, for standardized features Z (N, D).

    Attributes:
        values: (D,) eigenvalues, not negative.
        vectors: (D, D) eigenvectors, one per column.
    """

    values: Floats
    vectors: Floats

    @classmethod
    def of(cls, Z: Floats) -> Self:
        """Decompose the second moments of features (N, D)."""
        values, vectors = np.linalg.eigh(Z.T @ Z / np.float32(len(Z)))
        return cls(np.maximum(values, 0), vectors)

    @staticmethod
    def pays(images: int, width: int, columns: int) -> bool:
        """Return whether the iterations saved are worth the decomposition.

        Iterations become a half to a quarter (measured). One costs images x width x columns, and
        2 width^2 x columns more with the preconditioner; the decomposition costs about as much as
        25 iterations of width columns. With hardly more images than features, solutions fit
        everything, and the curvature says little.

        Args:
            images: number of images N.
            width: number of features D.
            columns: columns of weights of all problems together.
        """
        return images >= 3 * width and 4 * images * columns >= width**2

    def solve(self, gradient: Floats, variance: Floats, decay: Floats) -> Floats:
        """Divide gradients by the approximate Hessian.

        Args:
            gradient: (A, K, D + 1) by weights and bias.
            variance: (A, K) sum of p (1 - p) over the images.
            decay: (A,) 1 / C.
        """
        variance = np.maximum(variance, _MIN_VARIANCE)[:, :, None]
        count, outputs, width = gradient.shape
        # One product for all: a stack of small ones would read the eigenvectors for each.
        along = gradient[:, :, :-1].reshape(count * outputs, width - 1) @ self.vectors
        along = along.reshape(count, outputs, width - 1)
        along /= variance * self.values + decay[:, None, None]
        back = along.reshape(count * outputs, width - 1) @ self.vectors.T
        solved = back.reshape(count, outputs, width - 1)
        return np.concatenate([solved, gradient[:, :, -1:] / variance], axis=2)
