"""Metrics of predictions, from arrays.

Throughout, N is the number of images and K that of classes. `labels` and `predicted` are (N,)
integers in [0, K); `probabilities` is (N, K) with rows that sum to 1. Where several classes share
the highest probability, the first is the prediction, as in `numpy.argmax`.

Undefined values (the recall of a class without images) are None and never NaN, which is not JSON.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from headstart.errors import DataError
from headstart.system.text import pluralize
from headstart.types import Doubles, Interval, Labels

SMALLEST_PROBABILITY = float(np.finfo(np.float32).eps)
"""Lower bound of probabilities in `nll`: 1.2e-7, float32's resolution next to 1. One image costs at
most 15.9, never infinity."""
_SUM_TOLERANCE = 1e-2
"""Tolerance for the sum of probabilities, enough for a softmax in bfloat16."""


@dataclass(frozen=True, slots=True)
class ClassScore:
    """Scores of one class; None where a ratio would divide by zero.

    Attributes:
        precision: share of the images predicted as this class that are of it; None if no image is
            predicted as this class.
        recall: share of the images of this class that are predicted as it; None without images.
        f1: harmonic mean of both; None for a class that is neither present nor predicted.
        support: number of images of this class.
    """

    precision: float | None
    recall: float | None
    f1: float | None
    support: int


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationBins:
    """Images grouped by the confidence of their prediction, M bins of equal width.

    Attributes:
        counts: (M,) number of images in each bin.
        confidence: (M,) mean confidence in each bin; 0 in an empty bin.
        correct: (M,) number of images in each bin that are predicted correctly.
    """

    counts: Labels
    confidence: Doubles
    correct: Labels


@dataclass(frozen=True, slots=True)
class Accuracy:
    """An accuracy as a number of correct predictions.

    Attributes:
        correct: number of images that are predicted correctly.
        images: number of images that are predicted, at least 1.
        independent: number of independent images that would tell as much, see `effective_count`;
            None if all are independent.
    """

    correct: int
    images: int
    independent: float | None = None

    @classmethod
    def of(cls, correct: npt.NDArray[np.bool_], clusters: Labels | None = None) -> Self:
        """Count the correct predictions in (N,) bool; `clusters` (N,) are series, if any."""
        count = None if clusters is None else effective_count(correct, clusters)
        return cls(int(correct.sum()), len(correct), count)

    @property
    def value(self) -> float:
        """Share of the images that are predicted correctly, [0, 1]."""
        return self.correct / self.images

    @property
    def interval(self) -> Interval:
        """95% confidence interval of the accuracy (Wilson)."""
        if self.independent is None:
            return wilson(self.correct, self.images)
        return wilson(self.value * self.independent, self.independent)

    def __str__(self) -> str:
        low, high = self.interval.low, self.interval.high
        return f"{self.value:.3f} ({low:.3f} to {high:.3f}, {pluralize(self.images, 'image')})"

    def as_dict(self) -> dict[str, Any]:
        """Return accuracy, interval and number of images for JSON."""
        return {"accuracy": self.value, "interval": self.interval, "images": self.images}


def wilson(correct: float, n: float, *, z: float = 1.959964) -> Interval:
    """Return the confidence interval of a proportion (Wilson 1927, "Probable inference", JASA 22).

    Unlike the textbook's p ± z sqrt(p(1-p)/n) it keeps its coverage for few images and for
    proportions near 0 or 1, and never leaves [0, 1].

    Args:
        correct: number of successes, 0 to n; a fraction for trials that are not independent.
        n: number of trials; the interval of 0 trials is [0, 1].
        z: quantile of the normal distribution; the default gives 95%.

    Raises:
        ValueError: `correct` is not in [0, n].
    """
    if not 0 <= correct <= n:
        raise ValueError(f"got {correct} correct of {n}; give a number from 0 to {n}")
    if n == 0:
        return Interval(0.0, 1.0)
    p, z2 = correct / n, z * z
    center = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * float(np.sqrt(p * (1 - p) / n + z2 / (4 * n * n)))
    # At the ends, rounding must not move the exact values.
    low = 0.0 if correct == 0 else max(0.0, center - half)
    high = 1.0 if correct == n else min(1.0, center + half)
    return Interval(low, high)


def effective_count(correct: npt.NDArray[np.bool_], clusters: Labels) -> float:
    """Return how many independent images tell as much about the accuracy as images in series do.

    The number of images divided by the design effect: the variance of the accuracy, estimated from
    sums over series, relative to that of independent images (Kish 1965, "Survey sampling").

    Args:
        correct: (N,) whether each image is predicted correctly.
        clusters: (N,) the series of each image.
    """
    n, p = len(correct), float(correct.mean())
    residuals = np.bincount(np.unique(clusters, return_inverse=True)[1], correct - p)
    count = len(residuals)
    if p in (0.0, 1.0) or count < 2:
        return float(count)
    variance = float(np.square(residuals).sum()) / n**2 * count / (count - 1)
    return min(n, p * (1 - p) / variance) if variance else float(n)


def clustered_interval(correct: npt.NDArray[np.bool_], clusters: Labels | None) -> Interval:
    """Return the 95% interval of an accuracy (Wilson), adjusted for images in series.

    Args:
        correct: (N,) whether each image is predicted correctly.
        clusters: (N,) the series of each image; None if all are independent.
    """
    return Accuracy.of(correct, clusters).interval if len(correct) else wilson(0, 0)


def accuracy(labels: npt.ArrayLike, predicted: npt.ArrayLike) -> float:
    """Return the share of the images that are predicted correctly, [0, 1]."""
    truth, guess = _pair(labels, predicted)
    return float(np.mean(truth == guess))


def top_k_accuracy(probabilities: npt.ArrayLike, labels: npt.ArrayLike, k: int) -> float:
    """Return the share of the images whose class is among the k most probable, [0, 1].

    Of equal probabilities the first counts as larger, so k = 1 is the accuracy of the argmax.
    """
    p, truth = check_probabilities(probabilities, labels)
    if k < 1:
        raise ValueError(f"k is {k}; give 1 or more")
    own = p[np.arange(len(p)), truth][:, None]  # (N, 1)
    earlier = np.arange(p.shape[1]) < truth[:, None]  # (N, K)
    ahead = np.sum((p > own) | ((p == own) & earlier), axis=1)  # (N,)
    return float(np.mean(ahead < k))


def balanced_accuracy(labels: npt.ArrayLike, predicted: npt.ArrayLike) -> float:
    """Return the mean recall of the classes that have images, [0, 1]."""
    truth, guess = _pair(labels, predicted)
    support = np.bincount(truth)
    correct = np.bincount(truth[truth == guess], minlength=len(support))
    present = support > 0
    return float(np.mean(correct[present] / support[present]))


def nll(probabilities: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """Return the log loss: the mean negative log-likelihood of the true classes, [0, 15.9].

    Probabilities below `SMALLEST_PROBABILITY` (1.2e-7) are raised to it.
    """
    p, truth = check_probabilities(probabilities, labels)
    own = p[np.arange(len(p)), truth]
    # A probability of 1.000001 by rounding must not give a negative loss.
    return float(-np.mean(np.log(np.clip(own, SMALLEST_PROBABILITY, 1.0)))) + 0.0


def calibration_bins(
    probabilities: npt.ArrayLike, labels: npt.ArrayLike, *, bins: int = 15
) -> CalibrationBins:
    """Group images by the confidence of their prediction (Guo et al. 2017, section 2).

    Bin m of M contains the confidences in ((m - 1) / M, m / M].
    """
    p, truth = check_probabilities(probabilities, labels)
    return confidence_bins(p.max(axis=1), p.argmax(axis=1) == truth, bins=bins)


def confidence_bins(
    confidence: npt.ArrayLike, correct: npt.NDArray[np.bool_], *, bins: int = 15
) -> CalibrationBins:
    """Group images, as `calibration_bins` does, by the confidence (N,) of their prediction.

    `correct` (N,) says whether each prediction is.
    """
    if bins < 1:
        raise ValueError(f"bins is {bins}; give 1 or more")
    capped = np.minimum(np.asarray(confidence, dtype=np.float64), 1.0)  # (N,)
    which = np.maximum(np.ceil(capped * bins).astype(np.int64) - 1, 0)
    counts = np.bincount(which, minlength=bins)
    sums = np.bincount(which, weights=capped, minlength=bins)
    return CalibrationBins(
        counts=counts,
        confidence=sums / np.maximum(counts, 1),
        correct=np.bincount(which[correct], minlength=bins),
    )


def expected_calibration_error(
    probabilities: npt.ArrayLike, labels: npt.ArrayLike, *, bins: int = 15
) -> float:
    """Return the expected calibration error, [0, 1] (Guo et al. 2017, eq. 3).

    The mean over bins of |accuracy - confidence|, weighted by their numbers of images.
    """
    return calibration_error(calibration_bins(probabilities, labels, bins=bins))


def calibration_error(grouped: CalibrationBins) -> float:
    """Return the expected calibration error of images that are in bins already, [0, 1]."""
    gap = np.abs(grouped.correct - grouped.confidence * grouped.counts)
    return float(np.sum(gap) / np.sum(grouped.counts))


def confusion(labels: npt.ArrayLike, predicted: npt.ArrayLike, classes: int) -> Labels:
    """Return the confusion matrix (K, K) of counts, row = truth, column = prediction."""
    truth, guess = _pair(labels, predicted)
    highest = int(max(truth.max(), guess.max()))
    if highest >= classes:
        raise DataError(
            f"a label is {highest}, but there are {classes} classes (0 to {classes - 1}); "
            "give a name for every class"
        )
    cells = np.bincount(truth * classes + guess, minlength=classes * classes)
    return cells.reshape(classes, classes).astype(np.int64, copy=False)


def per_class(matrix: npt.ArrayLike) -> tuple[ClassScore, ...]:
    """Return the scores per class from a confusion matrix (K, K), row = truth."""
    cells = np.asarray(matrix)
    counts = (np.diagonal(cells).tolist(), cells.sum(axis=1).tolist(), cells.sum(axis=0).tolist())
    return tuple(
        ClassScore(_ratio(hit, called), _ratio(hit, own), _ratio(2 * hit, called + own), own)
        for hit, own, called in zip(*counts, strict=True)
    )


def confused_pairs(matrix: npt.ArrayLike) -> list[tuple[int, int]]:
    """Return (truth, prediction) of all confused classes, most frequent first, ties in order."""
    cells = np.asarray(matrix)
    errors = cells - np.diag(np.diagonal(cells))
    order = np.argsort(-errors, axis=None, kind="stable")[: np.count_nonzero(errors)]
    return [divmod(int(i), len(cells)) for i in order]


def check_probabilities(
    probabilities: npt.ArrayLike, labels: npt.ArrayLike
) -> tuple[Doubles, Labels]:
    """Return probabilities (N, K) float64 and labels (N,) int64, or raise a `DataError`."""
    p = np.asarray(probabilities, dtype=np.float64)
    if p.ndim != 2:
        raise DataError(f"probabilities have the shape {p.shape}; give (images, classes)")
    truth, _ = _pair(labels, np.zeros(len(p), dtype=np.int64))
    if int(truth.max()) >= p.shape[1]:
        raise DataError(
            f"a label is {int(truth.max())}, but probabilities have {p.shape[1]} columns; "
            "give one column for each class"
        )
    if not np.isfinite(p).all():
        raise DataError("probabilities contain NaN or infinity; check the features for them")
    furthest = float(p.sum(axis=1)[np.argmax(np.abs(p.sum(axis=1) - 1.0))])
    if p.min() < 0.0 or abs(furthest - 1.0) > _SUM_TOLERANCE:
        raise DataError(
            f"the smallest probability is {p.min():.3g}, and a row sums to {furthest:.3g} instead "
            "of 1; if these are logits, apply a softmax first"
        )
    return p, truth


def _pair(labels: npt.ArrayLike, predicted: npt.ArrayLike) -> tuple[Labels, Labels]:
    """Check two arrays of class indices, and return them as (N,) int64, N > 0."""
    truth, guess = np.asarray(labels), np.asarray(predicted)
    if truth.ndim != 1 or truth.shape != guess.shape:
        raise DataError(
            f"labels have the shape {truth.shape} and predictions {guess.shape}; give one label "
            "and one prediction per image"
        )
    if len(truth) == 0:
        raise DataError("there are no images to score; give at least one")
    for array in (truth, guess):
        if not np.issubdtype(array.dtype, np.integer):
            raise DataError(f"labels are {array.dtype}; give class indices, integers from 0")
        if array.min() < 0:
            raise DataError(f"a label is {array.min()}; give class indices, integers from 0")
    return truth.astype(np.int64, copy=False), guess.astype(np.int64, copy=False)


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
