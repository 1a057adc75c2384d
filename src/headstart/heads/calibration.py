"""Temperature scaling: one number that makes probabilities mean what they say.

Guo et al. 2017, "On calibration of modern neural networks": divide the logits by a temperature T,
fitted on predictions for images that the head was not trained on. No ranking changes.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from headstart.types import Doubles, Floats, Labels

LIMIT = 50.0
"""Temperatures are sought from 1 / 50 to 50."""


_Logits = TypeVar("_Logits", Floats, Doubles)


def log_softmax(logits: _Logits, *, axis: int) -> _Logits:
    """Logarithm of the softmax along `axis`."""
    shifted: _Logits = logits - logits.max(axis, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis, keepdims=True))
    return shifted


def probabilities(logits: Floats, temperature: float = 1.0) -> Floats:
    """Softmax of logits divided by a temperature: (N, K) to (N, K), rows sum to 1."""
    # In float64: a head may be sure to more digits than float32 can exponentiate.
    scaled = log_softmax(logits.astype(np.float64) / temperature, axis=1)
    return np.exp(scaled).astype(np.float32)


def fit_temperatures(logits: Floats, labels: Labels, weights: Floats) -> Doubles:
    """The temperatures that minimize the mean negative log-likelihood, with Platt's targets.

    Args:
        logits: (G, K, N), G sets of logits for the same N images.
        labels: (N,) in [0, K).
        weights: (N,) what each image counts for.

    Returns:
        (G,) temperatures in [1/50, 50], by Newton's method on the inverse temperature, in which
        the likelihood is convex.
    """
    # What all classes have in common says nothing, and would drown the rest in float32.
    logits = logits - logits.mean(1, keepdims=True)
    share = (weights / weights.sum()).astype(np.float64)
    # Platt 1999: targets stop short of 1 by one image in n + 2. Without that, a handful of images
    # without an error would ask for certainty. (The mean logit, his other target, is 0 here.)
    short = np.float32(1 / (len(labels) + 2))
    right = (1 - short) * logits[:, labels, np.arange(len(labels))]
    inverse = np.ones(len(logits))
    for _ in range(30):
        p = np.exp(log_softmax(logits * inverse[:, None, None].astype(np.float32), axis=1))
        first = (p * logits).sum(1)
        slope = (first - right) @ share
        bend = ((p * np.square(logits)).sum(1) - np.square(first)) @ share
        step = slope / np.maximum(bend, 1e-12)
        # At most a factor of three at a time: far out the likelihood is flat and Newton overshoots.
        moved = np.clip(inverse - step, inverse / 3, inverse * 3)
        moved = np.clip(moved, 1 / LIMIT, LIMIT)
        done = np.abs(moved - inverse) <= 1e-3 * inverse
        inverse = moved
        if done.all():
            break
    return 1 / inverse


def calibrate(logits: Floats, labels: Labels, weights: Floats) -> tuple[Floats, Doubles]:
    """Each image's negative log-likelihood after temperature scaling, and the temperatures.

    Args:
        logits: (G, K, N).
        labels: (N,).
        weights: (N,); see `fit_temperatures`.

    Returns:
        (G, N) losses, (G,) temperatures.
    """
    temperatures = fit_temperatures(logits, labels, weights)
    scaled = log_softmax(logits / temperatures.astype(np.float32)[:, None, None], axis=1)
    return -scaled[:, labels, np.arange(len(labels))], temperatures
