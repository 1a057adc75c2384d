"""What bends the loss of a softmax, as far as all problems on the same features have it in common.

The Hessian of a weighted cross-entropy is, for each class, the second moments of the features with
each image weighted by p (1 - p). With the mean of these weights in the place of each, it is one
matrix for all folds, settings and classes, times a number, plus a multiple of the identity: its
eigenvectors invert it for all of them (the fixed curvature of Böhning 1992, with the weights that
the problem has now instead of their bound).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from headstart.types import Floats

_LEAST = 1e-3
"""Images that bend the loss, at least: where all are fitted, nothing does."""


@dataclass(frozen=True, slots=True)
class Curvature:
    """The eigendecomposition of Z^T Z / N, for standardized features Z (N, D).

    Attributes:
        values: (D,) not negative.
        vectors: (D, D), one a column.
    """

    values: Floats
    vectors: Floats

    @classmethod
    def of(cls, Z: Floats) -> Self:
        """Of features (N, D)."""
        values, vectors = np.linalg.eigh(Z.T @ Z / np.float32(len(Z)))
        return cls(np.maximum(values, 0), vectors)

    @staticmethod
    def pays(images: int, width: int, columns: int) -> bool:
        """Whether steps saved are worth the decomposition, for so many columns of weights.

        It takes a half to a quarter of the steps (measured). One costs images x width x columns,
        and 2 width^2 x columns more; the decomposition, about as much as 25 steps of width columns.
        With hardly more images than features there are solutions that fit everything, where the
        curvature has little to say.
        """
        return images >= 3 * width and 4 * images * columns >= width**2

    def solve(self, gradient: Floats, bend: Floats, decay: Floats) -> Floats:
        """Divide by the approximate Hessian.

        Args:
            gradient: (A, K, D + 1), by weights and bias.
            bend: (A, K), the sum of p (1 - p) over the images.
            decay: (A,), 1 / C.
        """
        bend = np.maximum(bend, _LEAST)[:, :, None]
        count, outputs, width = gradient.shape
        # One product for all: a stack of small ones would read the vectors for each.
        along = gradient[:, :, :-1].reshape(count * outputs, width - 1) @ self.vectors
        along = along.reshape(count, outputs, width - 1)
        along /= bend * self.values + decay[:, None, None]
        back = along.reshape(count * outputs, width - 1) @ self.vectors.T
        shaped = back.reshape(count, outputs, width - 1)
        return np.concatenate([shaped, gradient[:, :, -1:] / bend], axis=2)
