"""What the validation images say: how far from the probe to go, or to stay with it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from headstart.finetuning.loop import TrainingLoop, judged
from headstart.finetuning.network import blended
from headstart.types import Doubles, Labels

SHARES = (0.25, 0.5, 0.75, 1.0)
"""Of the way from the probe's weights to the fine-tuned ones, that are tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Which weights are kept.

    Attributes:
        kept: whether they are better than the probe's: their calibrated loss is lower by more than
            one standard error of the paired difference, and they are right more often. A tie goes
            to the probe, as ties go to the simpler candidate in `heads.selection`.
        share: of the way from the probe's weights to the fine-tuned ones.
        state: of the network there.
        temperature: that its logits are divided by.
        probe_loss: calibrated, of the probe on the validation images, in nats.
        tuned_loss: of the weights at `share`; None if the training diverged.
        probe_right: (V,) whether the probe is right about each validation image.
        tuned_right: (V,) whether the weights at `share` are.
    """

    kept: bool
    share: float
    state: Mapping[str, Tensor]
    temperature: float
    probe_loss: float
    tuned_loss: float | None
    probe_right: np.ndarray
    tuned_right: np.ndarray


def decide(
    loop: TrainingLoop,
    probe: Mapping[str, Tensor],
    tuned: Mapping[str, Tensor],
    rows: Labels,
    *,
    interpolate: bool,
) -> Decision:
    """Compare on images that trained neither.

    Args:
        loop: computes logits.
        probe: weights before.
        tuned: and after.
        rows: (V,) validation examples.
        interpolate: whether weights in between may be kept.
    """
    labels = loop.examples.labels[rows]

    def measured(state: Mapping[str, Tensor]) -> tuple[Doubles, float, np.ndarray]:
        return judged(loop.logits(state, rows), labels)

    before, _, probe_right = measured(probe)
    best: tuple[float, Decision] | None = None
    for share in SHARES if interpolate else SHARES[-1:]:
        state = blended(probe, tuned, share)
        losses, temperature, right = measured(state)
        loss = float(losses.mean())
        if best is None or loss < best[0]:
            better = _surely_lower(losses, before) and int(right.sum()) > int(probe_right.sum())
            best = (
                loss,
                Decision(
                    kept=better,
                    share=share,
                    state=state,
                    temperature=temperature,
                    probe_loss=float(before.mean()),
                    tuned_loss=loss if math.isfinite(loss) else None,
                    probe_right=probe_right,
                    tuned_right=right,
                ),
            )
    assert best is not None
    return best[1]


def _surely_lower(losses: Doubles, than: Doubles) -> bool:
    """Whether the mean is lower by more than one standard error of the paired difference."""
    if not np.isfinite(losses).all():  # the training diverged
        return False
    gain = than - losses
    return float(gain.mean()) > float(gain.std()) / math.sqrt(len(gain))
