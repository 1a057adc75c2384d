"""Two classifiers on the same images: only those tell them apart that one alone gets right.

The intervals of the two accuracies may overlap and the difference be certain all the same: most
images are easy for both, or hard for both, and say nothing about which is better.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headstart.evaluation.metrics import paired_difference

Right = npt.NDArray[np.bool_]
"""(N,) whether each image's prediction is right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedTest:
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


def paired(first: Right, second: Right, *, z: float = 1.959964) -> PairedTest:
    """Compare two classifiers image by image.

    The interval is that of `headstart.evaluation.metrics.paired_difference`.

    Args:
        first: (N,) where one is right.
        second: (N,) where the other is, N > 0.
        z: quantile of the normal distribution; the default gives 95%.
    """
    found = paired_difference(first, second, z=z)
    ahead, behind = int((first & ~second).sum()), int((second & ~first).sum())
    return PairedTest(
        difference=found.value,
        low=found.low,
        high=found.high,
        p_value=_mcnemar(ahead, behind),
        images=len(first),
    )


def _mcnemar(ahead: int, behind: int) -> float:
    from scipy.stats import binomtest

    if not ahead + behind:
        return 1.0
    return float(binomtest(ahead, ahead + behind, 0.5).pvalue)
