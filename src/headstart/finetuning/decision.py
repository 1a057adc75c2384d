"""Choose between the probe and the fine-tuned weights by the validation images."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from headstart.finetuning.loop import TrainingLoop
from headstart.finetuning.network import interpolated
from headstart.finetuning.validation import ValidationResult
from headstart.types import Labels

INTERPOLATIONS = (0.25, 0.5, 0.75, 1.0)
"""Positions between the probe's weights (0) and the fine-tuned ones (1) that are tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The best fine-tuned weights, and whether they replace the probe.

    Attributes:
        kept: whether they are clearly better than the probe: their calibrated loss is lower by more
            than one standard error of the paired difference, and more images are classified
            correctly. A tie goes to the probe, as it does to the simpler candidate in
            `heads.selection`.
        interpolation: their position between the probe's weights (0) and the fine-tuned ones (1).
        weights: state of the network there, by name.
        probe: performance of the probe on the V validation images.
        tuned: performance of `weights` on the same images, by which they were chosen.
    """

    kept: bool
    interpolation: float
    weights: Mapping[str, Tensor]
    probe: ValidationResult
    tuned: ValidationResult


def decide(
    loop: TrainingLoop,
    probe: Mapping[str, Tensor],
    tuned: Mapping[str, Tensor],
    rows: Labels,
    *,
    interpolate: bool,
) -> Decision:
    """Compare the trained weights with the probe on the validation examples at `rows` (V,).

    With `interpolate`, weights between the two are tried as well.
    """
    before = loop.evaluate(probe, rows)

    def candidate(position: float) -> Decision:
        weights = interpolated(probe, tuned, position)
        after = loop.evaluate(weights, rows)
        return Decision(
            kept=_is_better(after, before),
            interpolation=position,
            weights=weights,
            probe=before,
            tuned=after,
        )

    positions = INTERPOLATIONS if interpolate else (1.0,)
    return min(map(candidate, positions), key=lambda one: one.tuned.loss)


def _is_better(tuned: ValidationResult, probe: ValidationResult) -> bool:
    if not math.isfinite(tuned.loss):  # training diverged
        return False
    gains = probe.losses - tuned.losses
    standard_error = float(gains.std()) / math.sqrt(len(gains))
    return float(gains.mean()) > standard_error and tuned.correct.sum() > probe.correct.sum()
