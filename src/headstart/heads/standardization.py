"""Standardization of features to mean 0 and standard deviation 1 over the training images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from headstart.heads.rows import Rows
from headstart.types import Doubles, Floats

if TYPE_CHECKING:
    from torch import Tensor

PRIOR = 100.0
"""Number of images that the mean variance of a stage counts for; see docs/decisions/0004."""


@dataclass(frozen=True, slots=True)
class Standardization:
    """The mean and the scale of each feature.

    Attributes:
        mean: (D,) float32 means.
        scale: (D,) float32 standard deviations, positive.
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
        """Compute the weighted moments of the rows of X (N, D).

        With few images, variances are estimated poorly, and a feature that hardly varies by chance
        would be scaled up to mostly noise. So each variance is shrunk towards the mean variance of
        its block, as if `prior` more images had that variance (the conjugate prior of a normal
        variance). With many images this makes no difference.

        Args:
            X: (N, D) features, in memory or in a file.
            weights: (N,) weight of each row.
            blocks: widths of the stages side by side in X, each with its own mean variance; one
                block by default.
            prior: number of images that the mean variance counts for; 0 is plain standardization.
        """
        share = weights / weights.sum()
        mean = _weighted_mean(X, share)
        variance = _weighted_mean(X, share, squared_from=mean)
        if prior:
            images = 1 / np.square(share).sum()  # effective sample size (Kish)
            widths = [len(mean)] if blocks is None else list(blocks)
            starts = np.cumsum([0, *widths[:-1]])
            pooled = np.repeat(np.add.reduceat(variance, starts) / widths, widths)
            variance = (images * variance + prior * pooled) / (images + prior)
        scale = np.sqrt(variance, dtype=np.float32)
        scale[scale < 1e-6] = 1  # otherwise a constant feature would become rounding noise
        return cls(mean, scale)

    def __call__(self, X: Floats) -> Floats:
        """Standardize features (N, D)."""
        moved: Floats = X - self.mean
        moved /= self.scale
        return moved

    def torch(self, X: Tensor) -> Tensor:
        """Standardize features (B, D), differentiably."""
        return (X - X.new_tensor(self.mean)) / X.new_tensor(self.scale)


def _weighted_mean(
    X: Floats | Rows, share: Floats, *, squared_from: Floats | None = None
) -> Floats:
    """Return the weighted mean (D,) of the rows, or of squared distances from `squared_from`."""
    rows = X if isinstance(X, Rows) else Rows((X,), np.arange(len(X)))
    total: Doubles | float = 0.0
    for span in rows.spans():
        piece = rows.at(span)
        if squared_from is not None:
            piece -= squared_from
            piece *= piece
        total += (share[span] @ piece).astype(np.float64)
    return np.asarray(total, dtype=np.float32)
