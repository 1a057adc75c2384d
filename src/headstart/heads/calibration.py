"""Temperature scaling: one number that makes probabilities mean what they say.

Guo et al. 2017, "On calibration of modern neural networks": divide the logits by a temperature T,
fitted on predictions for images that the head was not trained on. No ranking changes.
"""

from __future__ import annotations

import numpy as np

from headstart.types import Doubles, Floats, Labels

_LIMIT = 50.0
"""Temperatures are sought from 1 / 50 to 50."""


def log_softmax(logits: Floats, *, axis: int) -> Floats:
    """Logarithm of the softmax along `axis`."""
    shifted: Floats = logits - logits.max(axis, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis, keepdims=True))
    return shifted


def fit_temperatures(logits: Floats, labels: Labels) -> Doubles:
    """The temperatures that minimise the mean negative log-likelihood, with Platt's targets.

    Args:
        logits: (G, K, N), G sets of logits for the same N images.
        labels: (N,) in [0, K).

    Returns:
        (G,) temperatures in [1/50, 50], by Newton's method on the inverse temperature, in which
        the likelihood is convex.
    """
    # Platt 1999: targets stop short of 1 by one image in n + 2. Without that, a handful of images
    # without an error would ask for certainty.
    short = np.float32(1 / (len(labels) + 2))
    right = (1 - short) * logits[:, labels, np.arange(len(labels))] + short * logits.mean(1)
    inverse = np.ones(len(logits))
    for _ in range(30):
        p = np.exp(log_softmax(logits * inverse[:, None, None].astype(np.float32), axis=1))
        first = (p * logits).sum(1)
        slope = (first - right).mean(1, dtype=np.float64)
        bend = ((p * np.square(logits)).sum(1) - np.square(first)).mean(1, dtype=np.float64)
        step = slope / np.maximum(bend, 1e-12)
        # At most a factor of three at a time: far out the likelihood is flat and Newton overshoots.
        moved = np.clip(inverse - step, inverse / 3, inverse * 3)
        moved = np.clip(moved, 1 / _LIMIT, _LIMIT)
        done = np.abs(moved - inverse) <= 1e-3 * inverse
        inverse = moved
        if done.all():
            break
    return 1 / inverse


def calibrated_losses(logits: Floats, labels: Labels) -> Floats:
    """Each image's negative log-likelihood after temperature scaling: (G, K, N) to (G, N)."""
    temperatures = fit_temperatures(logits, labels).astype(np.float32)
    scaled = log_softmax(logits / temperatures[:, None, None], axis=1)
    return -scaled[:, labels, np.arange(len(labels))]
