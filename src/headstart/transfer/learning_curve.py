"""Accuracy against the number of training images, and how much more images would help.

Generalization error falls as a power of the number of examples, towards an irreducible error
(Cortes et al. 1993; Hestness et al. 2017): error = a + b n^-c.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from headstart.datasets.splits import holdout_mask
from headstart.errors import DataError
from headstart.heads.head import HeadFamily, LabeledFeatures
from headstart.system.machine import one_blas_thread
from headstart.system.text import pluralize
from headstart.transfer.power_law import PowerLaw, fit_power_laws
from headstart.types import Interval, Labels, ProgressCallback, no_progress

SHARES: Final = (1 / 8, 1 / 4, 1 / 2, 1.0)
"""Shares of the images that a fold trains on."""
_DRAWS: Final = (8, 6, 4, 1)
"""Random subsets of each size: small ones differ most from each other."""
_RESAMPLES: Final = 200
_POINT: Final = 0.01
_MISS: Final = 1.96
"""Standard errors by which the fit may miss a point; otherwise it predicts nothing."""
_LEAST_MISS: Final = 0.01
"""Least standard error there: with many images no power law is exact."""
_UNREACHABLE: Final = 100
"""More than this many times the available images is considered unrealistic."""


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """Accuracy at one size of the training set.

    Attributes:
        images: number of training images, mean over folds and subsets.
        accuracy: cross-validated accuracy, mean over subsets, [0, 1].
        interval: 95% interval of the accuracy; images and subsets are resampled.
        draws: number of random subsets of this size.
    """

    images: float
    accuracy: float
    interval: Interval
    draws: int


@dataclass(frozen=True, slots=True)
class SampleCost:
    """How many more images one more percentage point of accuracy costs.

    Attributes:
        images: estimate by the fit; None where no realistic number of images is enough.
        low: lower end of the 95% interval; None where even that is unrealistic.
        high: upper end of the 95% interval; None where it is unbounded.
    """

    images: int | None
    low: int | None
    high: int | None

    def as_dict(self) -> dict[str, Any]:
        """Return the number of images and its interval for JSON."""
        return {"images": self.images, "interval": (self.low, self.high)}

    def __str__(self) -> str:
        """Describe the cost in a clause for the user."""
        if self.images is None or self.low is None:
            return "no realistic number of images would gain another percentage point"
        more = pluralize(self.images, "more image")
        span = f"{self.low:,} to {self.high:,}" if self.high else f"at least {self.low:,}"
        return f"another percentage point needs about {more} ({span})"


@dataclass(frozen=True, slots=True)
class LearningCurve:
    """Accuracy by number of training images, and the power law through it.

    Attributes:
        points: measured accuracies, ascending in images.
        fit: power law through the points; None with fewer than three points.
        sample_cost: images that one more percentage point costs, in addition to the available ones;
            None without a fit, or if the fit misses a point by more than its error.
        available: number of available images.
    """

    points: tuple[CurvePoint, ...]
    fit: PowerLaw | None
    sample_cost: SampleCost | None = field(metadata={"json": "images_for_one_point"})
    available: int


def measure_learning_curve(
    data: LabeledFeatures,
    keys: Sequence[str],
    folds: Labels,
    *,
    family: HeadFamily,
    available: int,
    seed: int,
    progress: ProgressCallback = no_progress,
) -> LearningCurve:
    """Cross-validate heads trained on subsets of each fold's training images.

    The test images are the same for every size. Subsets are drawn by the images' digests, with
    about the same share and at least one image of each class; smaller ones are part of larger ones.

    Args:
        data: N images with the features that the head uses.
        keys: N digests of the files, of which the images of a series share one; they decide the
            subsets.
        folds: (N,) fold of each image.
        family: family of the head. Its setting is chosen for every size, and for every fold from
            the results on the other folds: few images need stronger regularization.
        available: number of available images, of which the N may be a sample.
        seed: random seed of the subsets and of the intervals.
        progress: called with (done, total) sizes.
    """
    wrong: list[np.ndarray] = []
    sizes: list[float] = []
    count = int(folds.max()) + 1
    for done, (share, draws) in enumerate(zip(SHARES, _DRAWS, strict=True), start=1):
        subsets = [_subset(keys, data.y, share, seed, draw) for draw in range(draws)]
        trained = np.stack(
            [subset & (folds != fold) for subset in subsets for fold in range(count)]
        )
        images = float(trained.sum(axis=1).mean())
        # In small data sets the smallest subsets all have one image per class, and so the same
        # size; or a subset is in one fold as a whole, so that nothing is left to train on.
        if trained.any(axis=1).all() and (not sizes or images > 1.1 * sizes[-1]):
            wrong.append(_wrong(data, folds, trained, family))
            sizes.append(images)
        progress(done, len(SHARES))
    return fit_learning_curve(sizes, wrong, available=available, seed=seed)


def _subset(keys: Sequence[str], y: Labels, share: float, seed: int, draw: int) -> np.ndarray:
    return ~holdout_mask(keys, y, fraction=1 - share, seed=seed, purpose=f"curve {draw}")


def _wrong(
    data: LabeledFeatures, folds: Labels, trained: np.ndarray, family: HeadFamily
) -> np.ndarray:
    """Return (draws, N) bool: errors of heads trained on the rows at (draws * folds, N) bool."""
    count = int(folds.max()) + 1
    with one_blas_thread():
        scores = family.held_out(data, trained.astype(np.float32))
    y = data.y
    wrong = np.zeros((len(family.settings), len(trained) // count, len(y)), dtype=bool)
    for place, (used, score) in enumerate(zip(trained, scores, strict=True)):
        draw, fold = divmod(place, count)
        tested = folds == fold
        predicted = score.argmax(axis=1)[:, tested[~used]]  # (G, images of the fold)
        wrong[:, draw, tested] = predicted != y[tested]
    nested: np.ndarray = np.empty_like(wrong[0])
    for fold in range(count):
        tested = folds == fold
        setting = int(wrong[:, :, ~tested].mean(axis=(1, 2)).argmin())
        nested[:, tested] = wrong[setting][:, tested]
    return nested


def fit_learning_curve(
    sizes: Sequence[float], wrong: Sequence[np.ndarray], *, available: int, seed: int
) -> LearningCurve:
    """Fit a power law, with intervals from resampled images and subsets.

    Args:
        sizes: P numbers of training images, ascending.
        wrong: P arrays (draws, N) bool, whether each image is predicted wrong.
        available: number of available images.
        seed: random seed of the resampling.

    Raises:
        DataError: there is no size.
    """
    if len(sizes) == 0:
        raise DataError("a learning curve needs at least one size of the training set; got none")
    errors = np.array([one.mean() for one in wrong])
    resampled = _resample(wrong, seed)
    low, high = np.quantile(resampled, (0.025, 0.975), axis=0)
    points = tuple(
        CurvePoint(size, 1 - error, Interval(max(0.0, 1 - top), min(1.0, 1 - bottom)), len(one))
        for size, error, bottom, top, one in zip(sizes, errors, low, high, wrong, strict=True)
    )
    if len(points) < 3:
        return LearningCurve(points, None, None, available)
    # Half an image: where nothing at all was wrong, the error is still not known to be zero.
    spread = np.maximum(resampled.std(axis=0), 0.5 / wrong[0].shape[1])
    fit, *others = fit_power_laws(np.array(sizes), np.vstack([errors, resampled]), spread)
    misses = np.abs([fit.error(size) for size in sizes] - errors)
    if (misses > _MISS * np.maximum(spread, _LEAST_MISS)).any():
        return LearningCurve(points, fit, None, available)
    ends = np.quantile(
        [_images_for_a_point(other, available) for other in others],
        (0.025, 0.975),
        method="nearest",
    )
    cost = SampleCost(
        *(_realistic(n, available) for n in (_images_for_a_point(fit, available), *ends))
    )
    return LearningCurve(points, fit, cost, available)


def _resample(wrong: Sequence[np.ndarray], seed: int) -> np.ndarray:
    """Return (`_RESAMPLES`, P) errors of bootstrap samples of images and subsets."""
    rng = np.random.default_rng(seed)
    images = wrong[0].shape[1]
    errors = np.empty((_RESAMPLES, len(wrong)))
    for row in errors:
        for place, one in enumerate(wrong):
            # Images of their own for each size: one training set of many made these errors, and
            # errors that all rise and fall together would leave the curve's shape too sure.
            weights = rng.multinomial(images, np.full(images, 1 / images)) / images
            draws = rng.integers(0, len(one), len(one))
            row[place] = one[draws].mean(axis=0) @ weights
    return errors


def _images_for_a_point(fit: PowerLaw, available: int) -> float:
    """Return the number of additional images for one more percentage point."""
    return fit.images_for(fit.error(available) - _POINT) - available


def _realistic(images: float, available: int) -> int | None:
    return None if images > _UNREACHABLE * available else max(1, math.ceil(images))
