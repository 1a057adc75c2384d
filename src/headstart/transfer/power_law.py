"""Power laws of error against the number of training images, fitted by weighted least squares."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from headstart.types import Doubles

_RATES: Final = (0.1, 1.5)
"""Bounds of the exponent. Measured learning curves are within them (Hestness et al. 2017: 0.07 to
0.35 for deep networks; 0.5 to 1 for linear models)."""
_SLOWEST: Final = 0.001
"""The lower bound where the floor is fixed at 0: a flat curve then needs a rate near 0."""
_MAX_EXPONENT: Final = 700
"""Largest argument of exp(); larger ones overflow."""


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """error = floor + scale * images ** -rate.

    Attributes:
        floor: a, the error that remains with any number of images, [0, 1].
        scale: b, the factor, not negative.
        rate: c, the exponent, positive.
    """

    floor: float
    scale: float
    rate: float

    def error(self, images: float) -> float:
        """Return the expected error, [0, 1]."""
        return self.floor + self.scale * math.exp(-self.rate * math.log(images))

    def images_for(self, error: float) -> float:
        """Return the number of images with this error; infinite if it is never reached."""
        if error <= self.floor or self.scale == 0:
            return math.inf
        exponent = math.log(self.scale / (error - self.floor)) / self.rate
        return math.exp(exponent) if exponent < _MAX_EXPONENT else math.inf


def fit_power_laws(sizes: Doubles, errors: Doubles, spread: Doubles) -> list[PowerLaw]:
    """Fit a curve to each row of errors; no parameter is negative.

    With fewer than four points the floor is 0, because three parameters fit any three points. The
    rate may then be as low as that of a flat curve. For a given rate, floor and scale are a linear
    least-squares problem with a closed form, so all rates are tried.

    Args:
        sizes: (P,) numbers of training images, ascending.
        errors: (R, P) errors in [0, 1].
        spread: (P,) standard errors of the errors, positive.
    """
    slowest, fastest = _RATES if len(sizes) >= 4 else (_SLOWEST, _RATES[1])
    rates = np.linspace(slowest, fastest, round(100 * (fastest - slowest)) + 1)  # steps of 0.01
    weights = 1 / np.square(spread)
    x = (sizes / sizes[-1]) ** -rates[:, None]  # (M, P)
    total = weights.sum()
    sx, sxx = x @ weights, np.square(x) @ weights  # (M,)
    sy, sxy = errors @ weights, errors @ (weights * x).T  # (R,), (R, M)
    slope = np.maximum(0, (total * sxy - sy[:, None] * sx) / (total * sxx - sx**2))
    floor = (sy[:, None] - slope * sx) / total
    # Where the floor would be negative it is 0, and the slope that of a line through the origin.
    no_floor = (floor < 0) | (len(sizes) < 4)
    slope = np.where(no_floor, sxy / sxx, slope)
    floor = np.where(no_floor, 0.0, floor)
    fitted = floor[..., None] + slope[..., None] * x  # (R, M, P)
    cost = np.square(fitted - errors[:, None]) @ weights
    laws = []
    for row, best in enumerate(cost.argmin(axis=1)):
        scale = float(slope[row, best] * sizes[-1] ** rates[best])
        laws.append(PowerLaw(float(floor[row, best]), scale, float(rates[best])))
    return laws
