"""Calibrated loss and accuracy of a network on its validation images."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from headstart.heads.blend import floored
from headstart.heads.calibration import calibrate, log_softmax, probabilities
from headstart.models.trained_model import AccuracyEstimate
from headstart.types import Doubles, EstimateMethod, Floats, Labels

MIN_CALIBRATION_IMAGES = 50
"""With fewer images a single mistake can double a fitted temperature, so it stays 1: the logits
have already been divided by the temperature of the probe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationResult:
    """Performance on V images after temperature scaling.

    Attributes:
        losses: (V,) log losses in nats; infinite if any logit is NaN or infinite.
        temperature: divisor of the logits; 1 with fewer than `MIN_CALIBRATION_IMAGES` images.
        correct: (V,) bool, whether each image is classified correctly.
        probabilities: (V, K) calibrated class probabilities; None if any logit is NaN or infinite.
    """

    losses: Doubles
    temperature: float
    correct: np.ndarray
    probabilities: Floats | None = None

    @classmethod
    def of(cls, logits: Floats, labels: Labels, *, calibrated: bool = False) -> ValidationResult:
        """Evaluate logits (V, K) of images with class indices `labels` (V,).

        No temperature is fitted to logits that are already `calibrated`.
        """
        temperature, found = 1.0, None
        if not np.isfinite(logits).all():
            losses = np.full(len(labels), math.inf)
        elif calibrated or len(labels) < MIN_CALIBRATION_IMAGES:
            log_probabilities = log_softmax(logits.astype(np.float64), axis=1)
            losses = -log_probabilities[np.arange(len(labels)), labels]
        else:
            ones = np.ones(len(labels), np.float32)
            (fitted,), (temperature,) = calibrate(logits.T[None], labels, ones)
            losses = fitted.astype(np.float64)
        correct = logits.argmax(1) == labels
        if np.isfinite(logits).all():
            found = probabilities(logits, temperature)
        return cls(
            losses=losses,
            temperature=float(temperature),
            correct=correct,
            probabilities=found,
        )

    @property
    def log_probabilities(self) -> Doubles:
        """(V, K) logarithms of the probabilities, which must be known, as a member gives them."""
        assert self.probabilities is not None
        return floored(np.log(np.maximum(self.probabilities.astype(np.float64), 1e-30)))

    @property
    def loss(self) -> float:
        """Mean log loss in nats; infinite if training diverged."""
        return float(self.losses.mean())

    @property
    def accuracy(self) -> float:
        """Fraction of the images classified correctly, [0, 1]."""
        return float(self.correct.mean())

    @property
    def estimate(self) -> AccuracyEstimate:
        """The accuracy with its confidence interval."""
        return AccuracyEstimate.of(self.correct, EstimateMethod.VALIDATION)
