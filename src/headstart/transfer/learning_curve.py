"""Accuracy against the number of training images, and what more of them would buy.

Errors of learning fall as a power of the number of examples, towards an error that no number of
them removes (Cortes et al. 1993; Hestness et al. 2017): error = a + b n^-c.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from threadpoolctl import threadpool_limits

from headstart.datasets.splits import holdout
from headstart.errors import DataError
from headstart.heads.head import HeadFamily
from headstart.system.text import counted
from headstart.types import Doubles, Floats, Interval, Labels, ProgressCallback

SHARES: Final = (1 / 8, 1 / 4, 1 / 2, 1.0)
"""Of the images that a fold trains on."""
_DRAWS: Final = (8, 6, 4, 1)
"""Subsets of each size: small ones differ most from each other."""
_RESAMPLES: Final = 200
_RATES: Final = (0.1, 1.5)
"""Bounds of c. Measured learning curves lie between (Hestness et al. 2017: 0.07 to 0.35 for deep
networks; 0.5 to 1 for linear models)."""
_SLOWEST: Final = 0.001
"""The lower bound where the floor is 0: what is flat has no floor to say so then."""
_EXPONENT: Final = 700
"""The exponential of more than that is no float."""
_POINT: Final = 0.01
_UNLIKELY: Final = 100
"""More than so many times the images that there are is no number to plan with."""


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """One size of the training set.

    Attributes:
        images: trained on, mean over folds and draws.
        accuracy: on the images held out, mean over draws.
        interval: 95% interval of it: images and draws resampled.
        draws: subsets of this size.
    """

    images: float
    accuracy: float
    interval: Interval
    draws: int


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """error = floor + scale * images ** -rate.

    Attributes:
        floor: a, what is left with any number of images, in [0, 1].
        scale: b, not negative.
        rate: c, positive.
    """

    floor: float
    scale: float
    rate: float

    def error(self, images: float) -> float:
        """The expected share of wrong predictions."""
        return self.floor + self.scale * math.exp(-self.rate * math.log(images))

    def images_for(self, error: float) -> float:
        """How many images make this error; infinite where none do."""
        if error <= self.floor or self.scale == 0:
            return math.inf
        exponent = math.log(self.scale / (error - self.floor)) / self.rate
        return math.exp(exponent) if exponent < _EXPONENT else math.inf


@dataclass(frozen=True, slots=True)
class SampleCost:
    """How many more images one more point of accuracy costs.

    Attributes:
        images: by the fit; None where no number that one could plan with is enough.
        low: of the 95% interval; None likewise.
        high: None where the interval has no end.
    """

    images: int | None
    low: int | None
    high: int | None

    def __str__(self) -> str:
        """What a person is told of it."""
        if self.images is None or self.low is None:
            return "one more point is beyond the reach of the learning curve"
        low, high = ("no end" if end is None else f"{end:,}" for end in (self.low, self.high))
        return f"one more point costs about {counted(self.images, 'more image')} ({low} to {high})"


@dataclass(frozen=True, slots=True)
class LearningCurve:
    """What was measured and what follows.

    Attributes:
        points: ascending in images.
        fit: through them; None with fewer than three points.
        price: of one more point, beyond all the images that there are; None without a fit.
        at: how many images there are.
    """

    points: tuple[CurvePoint, ...]
    fit: PowerLaw | None
    price: SampleCost | None
    at: int

    def as_dict(self) -> dict[str, Any]:
        """All numbers, as JSON knows them."""
        fit, price = self.fit, self.price
        return {
            "points": [
                {
                    "images": point.images,
                    "accuracy": point.accuracy,
                    "interval": [point.interval.low, point.interval.high],
                    "draws": point.draws,
                }
                for point in self.points
            ],
            "fit": fit and {"floor": fit.floor, "scale": fit.scale, "rate": fit.rate},
            "images_for_one_point": price
            and {"images": price.images, "interval": [price.low, price.high]},
            "at": self.at,
        }


def measure(
    X: Floats,
    y: Labels,
    digests: Sequence[str],
    folds: Labels,
    *,
    family: HeadFamily,
    classes: int,
    blocks: Sequence[int],
    at: int,
    seed: int,
    progress: ProgressCallback | None = None,
) -> LearningCurve:
    """Train on parts of each fold's training images, and test on the fold, always the same images.

    The subsets are drawn by the images' digests, in each class about the same share and at least
    one image; those of one draw lie within each other.

    Args:
        X: (N, D) features that the head sees.
        y: (N,) labels.
        digests: N digests, which the draws depend on.
        folds: (N,) fold of each image.
        family: of the head. Its setting is chosen for every size, and for every fold by how the
            heads tested on the other folds did: few images need a stronger regularization.
        classes: how many.
        blocks: widths of the stages side by side in X.
        at: images that there are: what more are added to.
        seed: of the draws and of the interval.
        progress: called with (done, total) sizes.
    """
    wrong: list[np.ndarray] = []
    sizes: list[float] = []
    count = int(folds.max()) + 1
    for done, (share, draws) in enumerate(zip(SHARES, _DRAWS, strict=True), start=1):
        subsets = [_subset(digests, y, share, seed, draw) for draw in range(draws)]
        trained = np.stack(
            [subset & (folds != fold) for subset in subsets for fold in range(count)]
        )
        images = float(trained.sum(axis=1).mean())
        # The smallest parts of small data sets have one image a class and are all of one size; or
        # all of a part lies in one fold, so that nothing is left to train on.
        if trained.any(axis=1).all() and (not sizes or images > 1.1 * sizes[-1]):
            wrong.append(_wrong(X, y, folds, trained, family, classes, blocks))
            sizes.append(images)
        if progress:
            progress(done, len(SHARES))
    return fitted(sizes, wrong, at=at, seed=seed)


def _subset(digests: Sequence[str], y: Labels, share: float, seed: int, draw: int) -> np.ndarray:
    return ~holdout(digests, y, fraction=1 - share, seed=seed, purpose=f"curve {draw}")


def _wrong(
    X: Floats,
    y: Labels,
    folds: Labels,
    trained: np.ndarray,
    family: HeadFamily,
    classes: int,
    blocks: Sequence[int],
) -> np.ndarray:
    """(draws, N) bool whether each image is wrong, by heads trained on (draws * folds, N) bool."""
    count = int(folds.max()) + 1
    with threadpool_limits(1, user_api="blas"):  # the matrices are small, as in selection
        scores = family.held_out(X, y, trained.astype(np.float32), classes=classes, blocks=blocks)
    wrong = np.zeros((len(family.settings), len(trained) // count, len(y)), dtype=bool)
    for place, (used, score) in enumerate(zip(trained, scores, strict=True)):
        draw, fold = divmod(place, count)
        tested = folds == fold
        guesses = score.argmax(axis=1)[:, tested[~used]]  # (G, images of the fold)
        wrong[:, draw, tested] = guesses != y[tested]
    chosen: np.ndarray = np.empty_like(wrong[0])
    for fold in range(count):
        tested = folds == fold
        setting = int(wrong[:, :, ~tested].mean(axis=(1, 2)).argmin())
        chosen[:, tested] = wrong[setting][:, tested]
    return chosen


def fitted(
    sizes: Sequence[float], wrong: Sequence[np.ndarray], *, at: int, seed: int
) -> LearningCurve:
    """Points, fit and price, with intervals from resampled images and draws.

    Args:
        sizes: P numbers of training images, ascending.
        wrong: P arrays (draws, N) bool, whether each image is predicted wrong.
        at: images that there are.
        seed: of the resampling.
    """
    if len(sizes) == 0:
        raise DataError("a learning curve needs a size; give at least one")
    rng = np.random.default_rng(seed)
    images = wrong[0].shape[1]
    errors = np.array([one.mean() for one in wrong])
    resampled = np.empty((_RESAMPLES, len(wrong)))
    for row in resampled:
        weights = rng.multinomial(images, np.full(images, 1 / images)) / images
        for place, one in enumerate(wrong):
            draws = rng.integers(0, len(one), len(one))
            row[place] = one[draws].mean(axis=0) @ weights
    low, high = np.quantile(resampled, (0.025, 0.975), axis=0)
    points = tuple(
        CurvePoint(size, 1 - error, Interval(max(0.0, 1 - top), min(1.0, 1 - bottom)), len(one))
        for size, error, bottom, top, one in zip(sizes, errors, low, high, wrong, strict=True)
    )
    if len(points) < 3:
        return LearningCurve(points, None, None, at)
    # Half an image more: where nothing at all was wrong the error is still not known to be zero.
    spread = np.maximum(resampled.std(axis=0), 0.5 / images)
    fit, *others = _fits(np.array(sizes), np.vstack([errors, resampled]), spread)
    prices = [_more(other, at) for other in others]
    lowest, highest = np.quantile(prices, (0.025, 0.975), method="nearest")
    price = SampleCost(
        _plannable(_more(fit, at), at), _plannable(lowest, at), _plannable(highest, at)
    )
    return LearningCurve(points, fit, price, at)


def fit_power_law(sizes: Doubles, errors: Doubles, spread: Doubles) -> PowerLaw:
    """The curve through some errors, by weighted least squares; no number of it is negative.

    With fewer than four points the floor is 0: three numbers would go through any three. The rate
    may then be as low as a flat curve's.

    Args:
        sizes: (P,) images trained on, ascending.
        errors: (P,) in [0, 1].
        spread: (P,) standard errors of them, positive.
    """
    (found,) = _fits(sizes, errors[None], spread)
    return found


def _fits(sizes: Doubles, errors: Doubles, spread: Doubles) -> list[PowerLaw]:
    """A curve through each row of errors (R, P).

    Once the rate is known the other two numbers are a linear problem with two unknowns, which
    has a formula; so all rates are tried.
    """
    slowest, fastest = _RATES if len(sizes) >= 4 else (_SLOWEST, _RATES[1])
    rates = np.linspace(slowest, fastest, round(100 * (fastest - slowest)) + 1)  # every hundredth
    weights = 1 / np.square(spread)
    x = (sizes / sizes[-1]) ** -rates[:, None]  # (M, P)
    total = weights.sum()
    sx, sxx = x @ weights, np.square(x) @ weights  # (M,)
    sy, sxy = errors @ weights, errors @ (weights * x).T  # (R,), (R, M)
    slope = np.maximum(0, (total * sxy - sy[:, None] * sx) / (total * sxx - sx**2))
    floor = (sy[:, None] - slope * sx) / total
    # Where the floor would be negative it is 0, and the slope that of a line through the origin.
    bare = (floor < 0) | (len(sizes) < 4)
    slope = np.where(bare, sxy / sxx, slope)
    floor = np.where(bare, 0.0, floor)
    fitted_errors = floor[..., None] + slope[..., None] * x  # (R, M, P)
    cost = np.square(fitted_errors - errors[:, None]) @ weights
    found = []
    for row, best in enumerate(cost.argmin(axis=1)):
        scale = float(slope[row, best] * sizes[-1] ** rates[best])
        found.append(PowerLaw(float(floor[row, best]), scale, float(rates[best])))
    return found


def _more(fit: PowerLaw, at: int) -> float:
    """Images beyond those that there are for one more point."""
    return fit.images_for(fit.error(at) - _POINT) - at


def _plannable(images: float, at: int) -> int | None:
    return None if images > _UNLIKELY * at else max(1, math.ceil(images))
