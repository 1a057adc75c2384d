"""Epochs over the images: train, average, validate, keep the best; resumable after each.

What chance decides in an epoch depends on the seed and the epoch alone, so that a run that was
interrupted and went on ends with the same weights as one that was not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from headstart.finetuning.checkpoint import read_checkpoint, write_checkpoint
from headstart.finetuning.examples import Batch, Examples, cut_mixed, mixed_up, shuffled
from headstart.finetuning.network import TunedNetwork
from headstart.finetuning.optimization import clip, optimizer_for, rate_of, schedule_for
from headstart.finetuning.precision import half_precision
from headstart.finetuning.settings import TuningSettings
from headstart.heads.calibration import calibrate, log_softmax
from headstart.types import Doubles, Floats, Labels

State = Mapping[str, Tensor]
FEW = 50
"""Images below which a temperature fitted to them would be chance: a single mistake doubles it. The
probe's own, which the logits were divided by from the start, holds then."""
_EVALUATED = 64
"""Images at a time where no gradients are kept."""


class Phase(StrEnum):
    """Part of a run."""

    SEARCH = "search"
    """Without the validation images, which decide when to stop."""
    CLOSING = "closing"
    """On with all images, for a few epochs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """One row of history.csv.

    Attributes:
        phase: of the run.
        epoch: from 1; it goes on counting in the second phase.
        rate: learning rate of the last stage, in its last step.
        loss: mean training loss, in nats, smoothing and mixing included.
        accuracy: share of the training images predicted right, in the view they were trained in.
        validation_loss: calibrated, of the averaged weights, in nats; None in the closing phase.
        validation_accuracy: likewise.
        seconds: the epoch took.
    """

    phase: Phase
    epoch: int
    rate: float
    loss: float
    accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None
    seconds: float


Watch = Callable[[Epoch], None]
Steps = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseSettings:
    """One phase of training.

    Attributes:
        phase: which.
        rows: (M,) examples that train.
        validation: (V,) examples that decide; none in the closing phase.
        epochs: at most.
        rate: of the deepest stage, at its highest.
        first: number of the first epoch.
    """

    phase: Phase
    rows: Labels
    validation: Labels
    epochs: int
    rate: float
    first: int = 1


@dataclass(slots=True, kw_only=True)
class TrainingState:
    """Where a phase stands after an epoch; all of it goes to the checkpoint.

    Attributes:
        epoch: how many are done.
        average: of the weights.
        best: the average where the validation loss was lowest.
        lowest: that loss.
        waited: epochs since.
        history: of all phases.
    """

    epoch: int
    average: dict[str, Tensor]
    best: dict[str, Tensor]
    lowest: float
    waited: int
    history: list[Epoch] = field(default_factory=list)


class TrainingLoop:
    """Trains one network on one set of examples.

    Args:
        network: begins as it is.
        examples: what it learns from.
        stages: of the whole network, shallow to deep, down to the deepest the head grows on.
        settings: how.
        checkpoint: a folder for what a run needs to go on; None keeps nothing.
        on_epoch: called after each.
        on_steps: called with (done, total) steps of an epoch.
    """

    def __init__(
        self,
        network: TunedNetwork,
        examples: Examples,
        stages: Sequence[str],
        settings: TuningSettings,
        *,
        checkpoint: Path | None,
        on_epoch: Watch | None = None,
        on_steps: Steps | None = None,
    ) -> None:
        self.network, self.examples = network.to(examples.device), examples
        self.stages, self.settings, self.checkpoint = stages, settings, checkpoint
        self.on_epoch, self.on_steps = on_epoch, on_steps

    def run(
        self, plan: PhaseSettings, start: State, history: Sequence[Epoch] = ()
    ) -> TrainingState:
        """Train from the weights `start`; `TrainingState.best` is the result.

        Args:
            plan: the phase.
            start: a state of the network.
            history: of the phases before.
        """
        settings = self.settings
        self.network.load_state_dict(dict(start))
        optimizer = optimizer_for(self.network, self.stages, settings, rate=plan.rate)
        batches = len(shuffled(plan.rows, settings.batch, np.random.default_rng(0)))
        now = TrainingState(
            epoch=0,
            average=_copy(start),
            best=_copy(start),
            lowest=np.inf,
            waited=0,
            history=list(history),
        )
        if self.checkpoint:
            kept = read_checkpoint(self.checkpoint / f"{plan.phase}.safetensors")
            if kept is not None:
                now = self._restored(kept, optimizer)
        schedule = schedule_for(
            optimizer,
            settings,
            steps=plan.epochs * batches,
            done=now.epoch * batches,
        )
        while now.epoch < plan.epochs and now.waited < settings.patience:
            began = time.perf_counter()
            loss, accuracy, rate = self._epoch(plan, now, optimizer, schedule)
            now.epoch += 1
            row = Epoch(
                phase=plan.phase,
                epoch=plan.first + now.epoch - 1,
                rate=rate,
                loss=loss,
                accuracy=accuracy,
                validation_loss=None,
                validation_accuracy=None,
                seconds=0.0,
            )
            if len(plan.validation):
                found, right = self.validate(now.average, plan.validation)
                row = replace(row, validation_loss=found, validation_accuracy=right)
                now.waited += 1
                if found < now.lowest:
                    now.lowest, now.waited, now.best = found, 0, _copy(now.average)
            elif math.isfinite(loss):
                now.best = _copy(now.average)
            if not math.isfinite(loss):  # no step leads back from there
                now.waited = settings.patience
            now.history.append(replace(row, seconds=time.perf_counter() - began))
            if self.checkpoint:
                self._save(self.checkpoint / f"{plan.phase}.safetensors", now, optimizer)
            if self.on_epoch:
                self.on_epoch(now.history[-1])
        return now

    def validate(self, state: State, rows: Labels) -> tuple[float, float]:
        """Calibrated negative log-likelihood in nats, and accuracy, on plain views."""
        losses, _, right = judged(self.logits(state, rows), self.examples.labels[rows])
        return float(losses.mean()), float(right.mean())

    @torch.inference_mode()
    def logits(self, state: State, rows: Labels) -> Floats:
        """(N, K) of the plain views of the images at `rows` (N,), with the weights `state`."""
        self.network.eval()
        with self._precision():
            parts = [
                functional_call(self.network, dict(state), (batch.maps, batch.features))
                for batch in self.examples.plain(rows, _EVALUATED)
            ]
        joined: Floats = torch.cat(parts).float().cpu().numpy()
        return joined

    def _epoch(
        self,
        plan: PhaseSettings,
        now: TrainingState,
        optimizer: torch.optim.Optimizer,
        schedule: object,
    ) -> tuple[float, float, float]:
        settings, number = self.settings, plan.first + now.epoch
        rng = np.random.default_rng([settings.seed, number])
        self.network.prepare_training(settings.batch_norm)
        parts = shuffled(plan.rows, settings.batch, rng)
        total = right = seen = 0.0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**31)))  # of dropout
            for done, rows in enumerate(parts):
                views = rng.integers(0, settings.views, len(rows))
                batch = self._mixed(self.examples.batch(rows, views), rng)
                loss, logits = self._step(batch, optimizer)
                rate = rate_of(optimizer)
                schedule.step()  # type: ignore[attr-defined]
                self._average(now, now.epoch * len(parts) + done, len(parts))
                total += loss * len(rows)
                right += float((logits.argmax(1) == batch.targets.argmax(1)).sum())
                seen += len(rows)
                if self.on_steps:
                    self.on_steps(done + 1, len(parts))
        return total / seen, right / seen, rate

    def _mixed(self, batch: Batch, rng: np.random.Generator) -> Batch:
        ways = [
            (mix, alpha)
            for mix, alpha in ((mixed_up, self.settings.mixup), (cut_mixed, self.settings.cutmix))
            if alpha
        ]
        if not ways:
            return batch
        mix, alpha = ways[int(rng.integers(len(ways)))]
        return mix(batch, alpha, rng)

    def _step(self, batch: Batch, optimizer: torch.optim.Optimizer) -> tuple[float, Tensor]:
        with self._precision():
            logits = self.network(batch.maps, batch.features)
        loss = cross_entropy(
            logits.float(),
            batch.targets,
            weight=self.examples.weights,
            label_smoothing=self.settings.smoothing,
        )
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        clip(self.network, self.settings.clip)
        optimizer.step()
        return float(loss.detach()), logits.detach()

    def _precision(self) -> AbstractContextManager[None]:
        half = self.settings.mixed_precision
        return half_precision(self.examples.device) if half else nullcontext()

    def _average(self, now: TrainingState, step: int, steps: int) -> None:
        window = self.settings.averaging * steps
        # The first steps count for little in a long average: it begins as a plain mean.
        kept = min(math.exp(-1 / window), (step + 1) / (step + 10)) if window else 0.0
        for name, value in self.network.state_dict().items():
            if value.is_floating_point():
                now.average[name].lerp_(value, 1 - kept)
            else:
                now.average[name].copy_(value)

    def _save(self, path: Path, now: TrainingState, optimizer: torch.optim.Optimizer) -> None:
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        tensors |= {f"average.{name}": value for name, value in now.average.items()}
        tensors |= {f"best.{name}": value for name, value in now.best.items()}
        for place, moments in optimizer.state_dict()["state"].items():
            for name, value in moments.items():
                if value is not None:
                    tensors[f"optimizer.{place}.{name}"] = torch.as_tensor(value)
        facts = {
            "epoch": now.epoch,
            "lowest": now.lowest if np.isfinite(now.lowest) else None,
            "waited": now.waited,
            "history": [asdict(one) for one in now.history],
        }
        write_checkpoint(path, tensors, facts)

    def _restored(
        self, kept: tuple[dict[str, Tensor], dict[str, Any]], optimizer: torch.optim.Optimizer
    ) -> TrainingState:
        tensors, facts = kept
        parts: dict[str, dict[str, Tensor]] = {"network": {}, "average": {}, "best": {}}
        state = optimizer.state_dict()
        for key, value in tensors.items():
            part, _, name = key.partition(".")
            if part == "optimizer":
                place, _, moment = name.partition(".")
                state["state"].setdefault(int(place), {})[moment] = value
            else:
                parts[part][name] = value.to(self.examples.device)
        self.network.load_state_dict(parts["network"])
        optimizer.load_state_dict(state)
        return TrainingState(
            epoch=facts["epoch"],
            average=parts["average"],
            best=parts["best"],
            lowest=np.inf if facts["lowest"] is None else facts["lowest"],
            waited=facts["waited"],
            history=[Epoch(**{**one, "phase": Phase(one["phase"])}) for one in facts["history"]],
        )


def judged(logits: Floats, labels: Labels) -> tuple[Doubles, float, np.ndarray]:
    """What logits (N, K) are worth for images of the classes `labels` (N,).

    Returns:
        (N,) calibrated losses in nats, infinite if the logits are not all finite; the temperature,
        1 with fewer than `FEW` images; (N,) which are right.
    """
    right = logits.argmax(1) == labels
    if not np.isfinite(logits).all():
        return np.full(len(labels), math.inf), 1.0, right
    if len(labels) < FEW:
        every = -log_softmax(logits.astype(np.float64), axis=1)
        return every[np.arange(len(labels)), labels], 1.0, right
    losses, temperatures = calibrate(logits.T[None], labels, np.ones(len(labels), np.float32))
    return losses[0].astype(np.float64), float(temperatures[0]), right


def _copy(state: State) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in state.items()}
