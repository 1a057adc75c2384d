"""Temperature scaling: divide logits by a number so that probabilities match accuracy.

Guo et al. 2017, "On calibration of modern neural networks": the temperature is fitted on
predictions for images that the head was not trained on. It changes no ranking of classes.
"""

from typing import TypeVar

import numpy as np

from headstart.types import Doubles, Floats, Labels

LIMIT = 50.0
"""Temperatures are between 1 / 50 and 50."""
_Logits = TypeVar("_Logits", Floats, Doubles)


def log_softmax(logits: _Logits, *, axis: int) -> _Logits:
    """Return the logarithm of the softmax along `axis`."""
    shifted: _Logits = logits - logits.max(axis, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis, keepdims=True))
    return shifted


def probabilities(logits: Floats, temperature: float = 1.0) -> Floats:
    """Return the softmax of logits (N, K) divided by a temperature: (N, K), rows sum to 1."""
    # In float64: logits may be larger than float32 can exponentiate.
    scaled = log_softmax(logits.astype(np.float64) / temperature, axis=1)
    return np.exp(scaled).astype(np.float32)


def fit_temperatures(logits: Floats, labels: Labels, weights: Floats) -> Doubles:
    """Fit temperatures that minimize the mean negative log-likelihood with Platt's targets.

    Args:
        logits: (G, K, N) G sets of logits for the same N images.
        labels: (N,) labels in [0, K).
        weights: (N,) weight of each image.

    Returns:
        (G,) temperatures in [1/50, 50], by Newton's method on the inverse temperature, in which
        the likelihood is convex.
    """
    # A constant shared by all classes cancels in the softmax, but costs precision in float32.
    logits = logits - logits.mean(1, keepdims=True)
    share = (weights / weights.sum()).astype(np.float64)
    # Platt 1999: targets are 1 - 1 / (n + 2) instead of 1. Otherwise, a few images without an error
    # would give infinite confidence. (The mean logit, his other target, is 0 here.)
    smoothing = np.float32(1 / (len(labels) + 2))
    target = (1 - smoothing) * logits[:, labels, np.arange(len(labels))]
    inverse = np.ones(len(logits))
    for _ in range(30):
        p = np.exp(log_softmax(logits * inverse[:, None, None].astype(np.float32), axis=1))
        expected = (p * logits).sum(1)
        slope = (expected - target) @ share
        second = ((p * np.square(logits)).sum(1) - np.square(expected)) @ share
        step = slope / np.maximum(second, 1e-12)
        # At most a factor of three per step: far out the likelihood is flat and Newton overshoots.
        moved = np.clip(inverse - step, inverse / 3, inverse * 3)
        moved = np.clip(moved, 1 / LIMIT, LIMIT)
        converged = np.abs(moved - inverse) <= 1e-3 * inverse
        inverse = moved
        if converged.all():
            break
    return 1 / inverse


def calibrate(logits: Floats, labels: Labels, weights: Floats) -> tuple[Floats, Doubles]:
    """Fit temperatures, and return each image's negative log-likelihood with them.

    Takes the arguments of `fit_temperatures`, and returns (G, N) losses and (G,) temperatures.
    """
    temperatures = fit_temperatures(logits, labels, weights)
    scaled = log_softmax(logits / temperatures.astype(np.float32)[:, None, None], axis=1)
    return -scaled[:, labels, np.arange(len(labels))], temperatures
