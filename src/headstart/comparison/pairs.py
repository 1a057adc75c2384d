"""Two classifiers on the same images: only those tell them apart that one alone gets right.

The intervals of the two accuracies may overlap and the difference be certain all the same: most
images are easy for both, or hard for both, and say nothing about which is better.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headstart.errors import DataError

Right = npt.NDArray[np.bool_]
"""(N,) whether each image's prediction is right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """The accuracy of one classifier less that of another, on the same images.

    Attributes:
        difference: in [-1, 1]; positive where the first is better.
        low: lower end of its confidence interval.
        high: upper end.
        p_value: of no difference, exact (McNemar 1947, with the binomial distribution).
        images: how many.
    """

    difference: float
    low: float
    high: float
    p_value: float
    images: int

    @property
    def better(self) -> bool:
        """Whether the first is measurably better."""
        return self.low > 0


def paired(first: Right, second: Right, *, z: float = 1.959964) -> Paired:
    """Compare two classifiers image by image.

    The interval is that of Bonett & Price 2012, "Adjusted Wald confidence interval for a
    difference of binomial proportions based on paired data" (Journal of Educational and Behavioral
    Statistics 37): one image is added to each kind of disagreement, so that it holds its
    level where the classifiers disagree on few images or on none.

    Args:
        first: (N,) where one is right.
        second: (N,) where the other is, N > 0.
        z: quantile of the normal distribution; the default gives 95%.
    """
    if first.shape != second.shape or first.ndim != 1 or not len(first):
        raise DataError(
            f"results are {first.shape} and {second.shape}: give one of each an image, in the "
            "same order"
        )
    images = len(first)
    ahead, behind = int((first & ~second).sum()), int((second & ~first).sum())
    p, q = (ahead + 1) / (images + 2), (behind + 1) / (images + 2)
    half = z * math.sqrt((p + q - (p - q) ** 2) / (images + 2))
    return Paired(
        difference=(ahead - behind) / images,
        low=max(-1.0, p - q - half),
        high=min(1.0, p - q + half),
        p_value=_mcnemar(ahead, behind),
        images=images,
    )


def _mcnemar(ahead: int, behind: int) -> float:
    from scipy.stats import binomtest

    if not ahead + behind:
        return 1.0
    return float(binomtest(ahead, ahead + behind, 0.5).pvalue)
