"""The training history: one row per epoch, in two phases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class Phase(StrEnum):
    """Phase of a fine-tuning run."""

    SEARCH = "search"
    """Train without the validation images; they decide when to stop and which weights to keep."""
    CLOSING = "closing"
    """Continue for a few epochs on all images, once fine-tuning has been found to be better."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """One row of history.csv.

    Attributes:
        phase: phase that the epoch belongs to.
        epoch: number of the epoch, from 1; the closing phase continues the count.
        rate: learning rate of the last stage at the epoch's last step.
        loss: mean training loss in nats, with label smoothing, mixup and CutMix.
        accuracy: fraction of the training images that were classified correctly, in the augmented
            views they were trained on, [0, 1].
        validation_loss: calibrated log loss of the averaged weights in nats; None in the closing
            phase.
        validation_accuracy: accuracy of the averaged weights, [0, 1]; None in the closing phase.
        seconds: wall-clock time, validation included.
    """

    phase: Phase
    epoch: int
    rate: float
    loss: float
    accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None
    seconds: float


EpochCallback = Callable[[Epoch], None]
