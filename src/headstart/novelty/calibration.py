"""From scores to p-values, by the scores of images that were held out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from headstart.types import Doubles, Floats

_TAIL = 0.1
"""Share of the scores that the exponential tail is fitted to."""


@dataclass(frozen=True, slots=True)
class ScoreDistribution:
    """The scores of n held-out images; higher scores are more unusual.

    Attributes:
        scores: (n,) float32, sorted.
    """

    scores: Floats

    @classmethod
    def of(cls, scores: Floats) -> Self:
        """Sort scores (n,), n > 0."""
        return cls(np.sort(scores).astype(np.float32))

    def p_values(self, scores: Floats) -> Doubles:
        """Return conformal p-values (Vovk et al. 2005): (1 + number at least as high) / (n + 1).

        For an image drawn like the n held-out images, P(p <= a) is at most a for every a. Here that
        holds approximately: the scores of held-out images are relative to Gaussians fitted without
        them, and those of new images relative to the final ones.
        """
        higher = len(self.scores) - np.searchsorted(self.scores, scores, side="left")
        p: Doubles = (1 + higher) / (len(self.scores) + 1)
        return p

    @property
    def tail(self) -> tuple[np.float32, float]:
        """The score above which the exponential tail begins, and its mean excess."""
        n = len(self.scores)
        tail = max(1, int(n * _TAIL))
        threshold = self.scores[-tail - 1] if n > tail else self.scores[0]
        return threshold, max(float((self.scores[-tail:] - threshold).mean()), 1e-9)

    def surprise(self, scores: Floats) -> Floats:
        """Return the negative logarithm of the share of scores at least as high.

        In the highest tenth it is that of an exponential tail with the mean excess of the held-out
        images (peaks over threshold, Pickands 1975), so that scores beyond all others still differ.
        """
        threshold, excess = self.tail
        share = -np.log(self.p_values(np.minimum(scores, threshold)))
        beyond = np.maximum(scores - threshold, 0) / excess
        total: Floats = (share + beyond).astype(np.float32)
        return total
