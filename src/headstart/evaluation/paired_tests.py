"""Compare two classifiers on the same images, by those that only one of them gets right.

The intervals of the two accuracies may overlap although the difference is significant: most images
are easy or hard for both classifiers, and do not show which one is better.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from headstart.errors import DataError
from headstart.types import Doubles, Labels

Right = npt.NDArray[np.bool_]
"""(N,) bool, whether each image is predicted correctly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedTest:
    """The accuracy of one classifier minus that of another on the same images.

    Attributes:
        difference: difference in [-1, 1]; positive if the first is better.
        low: lower end of its confidence interval.
        high: upper end of its confidence interval.
        wins: number of images that only the first gets right.
        losses: number of images that only the second gets right.
        design_effect: number of images in series that tell as much as one independent image.
    """

    difference: float
    low: float
    high: float
    wins: int
    losses: int
    design_effect: float = 1.0

    @property
    def better(self) -> bool:
        """Whether the first is significantly better."""
        return self.low > 0

    @property
    def p_value(self) -> float:
        """Exact p-value of no difference (McNemar 1947, with the binomial distribution)."""
        from scipy.stats import binomtest

        wins, n = (
            round(count / self.design_effect) for count in (self.wins, self.wins + self.losses)
        )
        return float(binomtest(min(wins, n), n, 0.5).pvalue) if n else 1.0

    def as_dict(self) -> dict[str, Any]:
        """Return the difference with its interval and p-value for JSON."""
        interval = (self.low, self.high)
        return {"difference": self.difference, "interval": interval, "p_value": self.p_value}


def paired_difference(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    *,
    clusters: Labels | None = None,
    z: float = 1.959964,
) -> PairedTest:
    """Compare two classifiers image by image.

    The interval is the adjusted Wald interval of Bonett and Price 2012 (J. Educ. Behav. Stat. 37):
    only images on which the two differ count, with one more added to either side. It is far
    narrower than two separate intervals, because what is hard for one is hard for both.

    Args:
        first: (N,) bool, whether the first predicts each image correctly; N > 0.
        second: (N,) bool, the same for the second.
        clusters: (N,) the series of each image; None if all are independent.
        z: quantile of the normal distribution; the default gives 95%.

    Raises:
        DataError: the shapes differ, or there is no image.
    """
    a, b = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    if a.ndim != 1 or a.shape != b.shape or len(a) == 0:
        raise DataError(
            f"got results of shapes {a.shape} and {b.shape}; give one truth value per image for "
            "each classifier"
        )
    wins, losses = int(np.sum(a & ~b)), int(np.sum(b & ~a))
    effect = 1.0 if clusters is None else _design_effect(a.astype(float) - b, clusters)
    n = len(a) / effect
    up, down = (wins / effect + 1) / (n + 2), (losses / effect + 1) / (n + 2)
    half = z * float(np.sqrt((up + down - (up - down) ** 2) / (n + 2)))
    center = up - down
    return PairedTest(
        difference=(wins - losses) / len(a),
        low=max(-1.0, center - half),
        high=min(1.0, center + half),
        wins=wins,
        losses=losses,
        design_effect=effect,
    )


def _design_effect(difference: Doubles, clusters: Labels) -> float:
    """Return the variance of a mean (N,) over series, relative to that of independent images."""
    series = np.unique(clusters, return_inverse=True)[1]
    count = int(series.max()) + 1
    residuals = difference - difference.mean()
    total = float(np.square(residuals).sum())
    if not total or count < 2:
        return len(difference) / count
    sums = np.bincount(series, residuals)
    return max(1.0, float(np.square(sums).sum()) / total * count / (count - 1))
