"""The history and state of a training phase, and its checkpoint on disk, without pickle."""

import json
import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn, optim

from headstart.system.files import atomic_write

_METADATA = "metadata"


class Phase(StrEnum):
    """Phase of a fine-tuning run."""

    SEARCH = "search"
    """Train without the validation images; they decide when to stop and which weights to keep."""
    CLOSING = "closing"
    """Continue for a few epochs on all images, once fine-tuning has proved better."""


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


EpochCallback = Callable[[Epoch, int], None]
"""Takes a finished epoch, and the number of the last one if training does not stop early."""
StepsCallback = Callable[[int, int, int, int], None]
"""Takes the numbers of the current and the last epoch, and of the steps done and all of this one.

It is also called before the first step of an epoch.
"""


def no_steps(epoch: int, last: int, done: int, total: int) -> None:
    """Ignore progress, as the default `StepsCallback`."""


def copied(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a copy of a network's state, detached from it."""
    return {name: value.detach().clone() for name, value in weights.items()}


@dataclass(slots=True, kw_only=True)
class TrainingState:
    """The progress of a phase after an epoch.

    Attributes:
        average: running average of the weights, by name.
        best: the averaged weights with the lowest validation loss so far; without validation
            images, those of the last epoch with a finite training loss.
        history: the epochs of this phase so far.
    """

    average: dict[str, Tensor]
    best: dict[str, Tensor]
    history: list[Epoch] = field(default_factory=list)

    def record(self, row: Epoch) -> None:
        """Add an epoch, and keep its averaged weights if they are the best so far."""
        if row.validation_loss is None:
            improved = math.isfinite(row.loss)
        else:
            improved = row.validation_loss < self.lowest_loss
        if improved:
            self.best = copied(self.average)
        self.history.append(row)

    @property
    def lowest_loss(self) -> float:
        """Lowest validation loss so far in nats; infinite if there is none."""
        return min(self._validation_losses())

    @property
    def epochs_since_best(self) -> int:
        """Epochs since the validation loss last improved; 0 without validation images."""
        losses = self._validation_losses()
        return len(losses) - 1 - losses.index(min(losses))

    def _validation_losses(self) -> list[float]:
        losses = (row.validation_loss for row in self.history)
        return [math.inf, *(loss for loss in losses if loss is not None)]

    def should_stop(self, patience: int) -> bool:
        """Return whether training diverged, or has not improved for `patience` epochs."""
        diverged = bool(self.history) and not math.isfinite(self.history[-1].loss)
        return diverged or self.epochs_since_best >= patience


def save_state(
    path: Path, state: TrainingState, network: nn.Module, optimizer: optim.Optimizer
) -> None:
    """Save the state needed to resume a phase; see `write_checkpoint`."""
    parts = {"network": network.state_dict(), "average": state.average, "best": state.best}
    tensors = {f"{part}.{name}": value for part in parts for name, value in parts[part].items()}
    for index, moments in optimizer.state_dict()["state"].items():
        for name, value in moments.items():
            if value is not None:
                tensors[f"optimizer.{index}.{name}"] = torch.as_tensor(value)
    write_checkpoint(path, tensors, {"history": [asdict(row) for row in state.history]})


def restore_state(
    path: Path, network: nn.Module, optimizer: optim.Optimizer, *, device: str
) -> TrainingState | None:
    """Load a checkpoint into a network and its optimizer; None if there is no readable one."""
    checkpoint = read_checkpoint(path)
    if checkpoint is None:
        return None
    tensors, metadata = checkpoint
    parts: dict[str, dict[str, Tensor]] = defaultdict(dict)
    for key, value in tensors.items():
        part, _, name = key.partition(".")
        parts[part][name] = value
    moments = optimizer.state_dict()
    for key, value in parts["optimizer"].items():
        index, _, name = key.partition(".")
        moments["state"].setdefault(int(index), {})[name] = value
    network.load_state_dict(parts["network"])
    optimizer.load_state_dict(moments)
    return TrainingState(
        average={name: value.to(device) for name, value in parts["average"].items()},
        best={name: value.to(device) for name, value in parts["best"].items()},
        history=[Epoch(**{**row, "phase": Phase(row["phase"])}) for row in metadata["history"]],
    )


def write_checkpoint(path: Path, tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
    """Write tensors and JSON values to a file, which replaces an earlier one once complete.

    Raises:
        HeadstartError: the file cannot be written.
    """
    contiguous = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    atomic_write(path, save(contiguous, {_METADATA: json.dumps(metadata)}))


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Return what `write_checkpoint` wrote, or None if there is no readable checkpoint."""
    if not path.is_file():  # opening a pipe would wait for its writer
        return None
    try:
        with safe_open(path, "pt") as file:
            metadata = json.loads(file.metadata()[_METADATA])
            return {name: file.get_tensor(name) for name in file.keys()}, metadata  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None
