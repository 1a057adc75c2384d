"""Whether a batch of images as a whole is unlike the calibration images, and what that costs.

Both questions are asked without labels. The answers rest on two scores of each image, compared with
those of calibration images: its novelty, and the doubt of its prediction.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from headstart.evaluation.conformal import CalibrationSet
from headstart.types import Doubles, Floats, Interval, Labels

MIN_BATCH = 20
"""Fewer images show a shift only if nearly all of them are unusual, which each of them tells."""
SIGNIFICANT = 0.01
"""Drift is reported below this p-value: once in a hundred batches without any, at most."""
_TOLERANCE = 0.05
"""AUROC beyond 0.5 that is not called drift. No two sets of photos are quite alike; without this
margin, any difference would be significant in a large batch."""
_SUPPORT = 0.9
"""Beyond the novelty of this share of the calibration images, an estimate is extrapolation."""
_Z = 1.959964


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """How unlike the calibration images a batch is.

    Attributes:
        p_value: Of the hypothesis that the batch is no more unusual than calibration images, but
            for an AUROC of 0.05: at most t with probability at most t if there is no drift.
        shift: Probability that an image of the batch is more unusual than a calibration image
            (AUROC), by the score with the smaller p-value: 0.5 without drift, 1 if every image is
            more unusual than all of them.
    """

    p_value: float
    shift: float

    @property
    def significant(self) -> bool:
        """Whether the p-value is below 0.01."""
        return self.p_value < SIGNIFICANT


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimatedAccuracy:
    """The accuracy on unlabeled images, as far as the model's own confidence shows it.

    Attributes:
        value: Estimated share of the images that are predicted correctly, [0, 1].
        interval: What the accuracy on these images may be. It includes the mean confidence, and
            widens downwards with the share of images that are more novel than calibration images,
            all of which may be wrong.
        images: Number of images.
    """

    value: float
    interval: Interval
    images: int


def drift_test(
    calibration: CalibrationSet,
    probabilities: Floats,
    novelty: Doubles | None,
    *,
    groups: Labels | None = None,
) -> Drift:
    """Test whether a batch is more unusual than the calibration images.

    A one-sided Mann-Whitney test of each score against a minimum effect (Murphy & Myors 1999),
    stratified by the predicted class (van Elteren 1960): classes differ in how novel and how
    doubtful their images are, so a batch of one class would otherwise look like drift. One-sided,
    since new images are often less unusual than calibration images: these were predicted by heads
    that had fewer images to learn from. The smaller p-value counts, times the number of scores
    (Bonferroni).

    Args:
        calibration: Predictions for calibration images.
        probabilities: (M, K) class probabilities of the batch.
        novelty: (M,) p-values of the novelty of the batch; None if they are unknown.
        groups: (M,) series of each image of the batch; None if all are independent. The images of a
            series share a weight of 1, because together they are one observation.
    """
    everything = np.ones(len(calibration.labels), bool)
    scores = [(everything, calibration.doubt, calibration.doubt_of(probabilities))]
    known = ~np.isnan(calibration.novelty)
    if novelty is not None and known.any():
        scores.append((known, -calibration.novelty, -novelty.astype(np.float16)))
    predicted = probabilities.argmax(1)
    own_weights = np.ones(len(predicted))
    if groups is not None:
        _, place, sizes = np.unique(groups, return_inverse=True, return_counts=True)
        own_weights = 1 / sizes[place]
    results = [
        _stratified_test(
            score[rows],
            calibration.predicted[rows],
            calibration.weights[rows],
            batch,
            predicted,
            own_weights,
        )
        for rows, score, batch in scores
    ]
    p_value, shift = min(results)
    return Drift(p_value=min(1.0, p_value * len(results)), shift=shift)


def _stratified_test(
    known: np.ndarray,
    strata: np.ndarray,
    weights: np.ndarray,
    batch: np.ndarray,
    classes: Labels,
    batch_weights: Doubles,
) -> tuple[float, float]:
    """Return the p-value of one score, which is higher for more unusual images, and the AUROC.

    Args:
        known: (N,) scores of calibration images.
        strata: (N,) their predicted classes.
        weights: (N,) their weights.
        batch: (M,) scores of the batch.
        classes: (M,) its predicted classes.
        batch_weights: (M,) its weights. For images of a series that are all alike, the variance of
            the AUROC is exactly that of as many independent images as there are series.
    """
    # Classes without a calibration image are compared with all of them.
    stratum = np.where(np.isin(classes, strata), classes, -1)
    auroc, variance, total = 0.0, 0.0, float(batch_weights.sum())
    for one in np.unique(stratum):
        rows = np.ones(len(known), bool) if one < 0 else strata == one
        order = np.argsort(known[rows], kind="stable")
        below = np.concatenate([[0.0], np.cumsum(weights[rows][order], dtype=np.float64)])
        mine, own = batch[stratum == one], batch_weights[stratum == one]
        # Ties with calibration images count against drift.
        places = np.searchsorted(known[rows][order], mine, side="left")
        n, m = below[-1], float(own.sum())
        share = m / total
        auroc += share * float(np.average(below[places], weights=own)) / n
        variance += share**2 * (n + m + 1) / (12 * n * m)
    z = (auroc - 0.5 - _TOLERANCE) / math.sqrt(variance)
    return 0.5 * math.erfc(z / math.sqrt(2)), min(auroc, 1.0)


def estimate_accuracy(
    calibration: CalibrationSet, probabilities: Floats, novelty: Doubles | None
) -> EstimatedAccuracy:
    """Estimate the accuracy on images without labels: average thresholded confidence.

    Garg et al. 2022: as many predictions are taken to be wrong as are less confident than a
    threshold, below which as many calibration images are as the model predicts wrongly.

    Args:
        calibration: Predictions for calibration images.
        probabilities: (M, K) class probabilities of the images.
        novelty: (M,) p-values of the images' novelty; None if they are unknown.
    """
    images, count = len(probabilities), len(calibration.labels)
    wrong = count - int(calibration.correct.sum())
    doubt = np.sort(calibration.doubt)
    threshold = doubt[count - wrong - 1] if wrong < count else np.float16(-1)
    value = float(np.mean(calibration.doubt_of(probabilities) <= threshold))
    # How often the threshold is mistaken about an image, with two mistakes and two hits more.
    mistaken = int(((calibration.doubt <= threshold) != calibration.correct).sum())
    variance = (mistaken + 2) / (count + 4) * (1 / images + 1 / calibration.weight)
    half = _Z * math.sqrt(variance) + 0.5 / images
    # The mean confidence is a second estimate; where the two disagree, neither is to be trusted.
    sure = 1 - float(np.mean(calibration.doubt_of(probabilities), dtype=np.float64))
    low, high = min(value, sure) - half, max(value, sure) + half
    beyond = 0.0
    if novelty is not None:
        expected = 1 - _SUPPORT
        beyond = max(0.0, (float(np.mean(novelty <= expected)) - expected) / _SUPPORT)
    return EstimatedAccuracy(
        value=value,
        interval=Interval(max(0.0, low) * (1 - beyond), min(1.0, high)),
        images=images,
    )
