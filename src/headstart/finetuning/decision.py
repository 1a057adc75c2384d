"""Decide by the validation images how much the fine-tuned network counts."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from headstart.finetuning.loop import TrainingLoop
from headstart.finetuning.network import interpolated
from headstart.finetuning.settings import Keep
from headstart.finetuning.validation import ValidationResult
from headstart.heads.blend import blend, select_weights
from headstart.types import Floats, Labels

INTERPOLATIONS = (0.25, 0.5, 0.75, 1.0)
"""Positions between the probe's weights (0) and the fine-tuned ones (1) that are tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The best fine-tuned weights, and how much they count.

    Attributes:
        weight: weight of the fine-tuned network's log-probabilities in the average with those of
            the model it started from: 0 keeps only that model, 1 only the network.
        interpolation: position of `weights` between the probe's (0) and the fine-tuned ones (1).
        weights: state of the network there, by name.
        probe: performance of the probe on the V validation images.
        tuned: performance of `weights` on the same images, by which they were chosen.
        start: performance of the model that fine-tuning started from, the probe or more.
        result: performance of what is kept.
    """

    weight: float
    interpolation: float
    weights: Mapping[str, Tensor]
    probe: ValidationResult
    tuned: ValidationResult
    start: ValidationResult
    result: ValidationResult

    @property
    def kept(self) -> bool:
        """Whether the fine-tuned network counts."""
        return self.weight > 0

    @property
    def diverged(self) -> bool:
        """Whether the network computes numbers that are not finite."""
        return not math.isfinite(self.tuned.loss)


def decide(
    loop: TrainingLoop,
    probe: Mapping[str, Tensor],
    tuned: Mapping[str, Tensor],
    rows: Labels,
    *,
    interpolate: bool,
    average: bool,
    keep: Keep = Keep.BETTER,
    model: Floats | None = None,
    clusters: Labels | None = None,
) -> Decision:
    """Compare the trained weights with the probe on the validation examples at `rows` (V,).

    Args:
        loop: evaluates weights.
        probe: state of the probe, by name.
        tuned: state of the network after training.
        rows: (V,) indices of the validation examples.
        interpolate: whether weights between the two are tried as well.
        average: whether the predictions of both may be averaged.
        keep: what to keep, if that is not for the validation examples to decide; of a training
            that diverged, nothing is kept.
        model: (V, K) probabilities of the model to average with, from heads that were trained
            without these images; by default those of the probe.
        clusters: (V,) the series of each image; None if all are independent.
    """
    before = loop.evaluate(probe, rows)
    positions = INTERPOLATIONS if interpolate else (1.0,)
    tried = []
    for position in positions:
        weights = interpolated(probe, tuned, position)
        tried.append((loop.evaluate(weights, rows), position, weights))
    after, position, weights = min(tried, key=lambda one: one[0].loss)
    labels = loop.examples.labels[rows]
    if model is not None:
        logits = np.log(np.maximum(model, np.float32(1e-30)))
        start = ValidationResult.of(logits, labels, calibrated=True)
    elif average:
        start = loop.evaluate(probe, rows, calibrated=True)
    else:
        start = before
    if keep is not Keep.BETTER:
        weight = 1.0 if keep is Keep.TUNED and math.isfinite(after.loss) else 0.0
    elif average:
        weight = average_weight(start, after, labels, clusters)
    else:
        weight = 1.0 if _is_better(after, start) else 0.0
    result = {0.0: start, 1.0: after}.get(weight)
    return Decision(
        weight=weight,
        interpolation=position,
        weights=weights,
        probe=before,
        tuned=after,
        start=start,
        result=result or averaged(start, after, weight, labels),
    )


def average_weight(
    before: ValidationResult,
    after: ValidationResult,
    labels: Labels,
    clusters: Labels | None = None,
) -> float:
    """Return the weight of the fine-tuned network in the average of both.

    As for other members of a model, half of it is equal, and half is chosen by the log loss; one of
    the two is left out if the equal average without it is better by more than two standard errors.
    A network that is not clearly better than the model before is not worth its cost; besides, the
    same images decided when to stop its training, which favors it.
    """
    if before.probabilities is None or after.probabilities is None:  # training diverged
        return 0.0
    both = np.stack([before.log_probabilities, after.log_probabilities])
    weight = float(select_weights(both, labels, np.ones(len(labels), np.float32), clusters)[1])
    for share in (weight, 1.0):
        if _is_better(averaged(before, after, share, labels, calibrated=True), before):
            return share
    return 0.0


def averaged(
    before: ValidationResult,
    after: ValidationResult,
    weight: float,
    labels: Labels,
    *,
    calibrated: bool = False,
) -> ValidationResult:
    """Return the performance of the average with this weight of `after`.

    A temperature is fitted to it, unless it counts as `calibrated`.
    """
    both = np.stack([before.log_probabilities, after.log_probabilities])
    found = blend(both, np.array([1 - weight, weight]))
    return ValidationResult.of(found.astype(np.float32), labels, calibrated=calibrated)


def _is_better(after: ValidationResult, before: ValidationResult) -> bool:
    """Whether the calibrated loss is lower by more than one standard error, at fewer errors.

    A tie goes to the model before, as it does to the simpler candidate in `heads.selection`.
    """
    if not math.isfinite(after.loss):  # training diverged
        return False
    gains = before.losses - after.losses
    standard_error = float(gains.std()) / math.sqrt(len(gains))
    return float(gains.mean()) > standard_error and after.correct.sum() > before.correct.sum()
