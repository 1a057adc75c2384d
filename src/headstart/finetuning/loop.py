"""The training loop: epochs over the images, weight averaging, early stopping, checkpoints.

The random numbers of an epoch depend only on the seed and the epoch's number, so a run that was
interrupted and resumed ends with the same weights as an uninterrupted one.
"""

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from headstart.finetuning.checkpoint import (
    Epoch,
    EpochCallback,
    Phase,
    StepsCallback,
    TrainingState,
    copied,
    no_steps,
    restore_state,
    save_state,
)
from headstart.finetuning.examples import Batch, Examples, batch_count, mix_batch, shuffled
from headstart.finetuning.network import TunedNetwork
from headstart.finetuning.optimization import build_optimizer, build_schedule, current_rate
from headstart.finetuning.precision import bfloat16_autocast
from headstart.finetuning.settings import TuningSettings
from headstart.finetuning.validation import ValidationResult
from headstart.types import Labels, ProgressCallback

_EVALUATION_BATCH = 64
"""Images per batch when no gradients are kept."""


class TrainingLoop:
    """Trains one network on one set of examples.

    Args:
        network: network to train; it is moved to the examples' device.
        examples: all training and validation examples.
        stages: names of the whole network's stages, shallow to deep, up to the deepest one that
            feeds the head.
        settings: optimizer, regularization and early stopping.
        checkpoint: folder for checkpoints; None writes none.
        on_epoch: called with each finished epoch and the number of the last one.
        on_steps: called with the progress of the current epoch.
    """

    def __init__(
        self,
        network: TunedNetwork,
        examples: Examples,
        stages: Sequence[str],
        settings: TuningSettings,
        *,
        checkpoint: Path | None,
        on_epoch: EpochCallback | None = None,
        on_steps: StepsCallback = no_steps,
    ) -> None:
        self.network, self.examples = network.to(examples.device), examples
        self.stages, self.settings, self.checkpoint = stages, settings, checkpoint
        self.on_epoch, self.on_steps = on_epoch, on_steps

    def weights(self) -> dict[str, Tensor]:
        """Return a copy of the network's current state."""
        return copied(self.network.state_dict())

    def run(
        self,
        phase: Phase,
        weights: Mapping[str, Tensor],
        *,
        rows: Labels,
        validation: Labels,
        epochs: int,
        rate: float,
        first_epoch: int = 1,
    ) -> TrainingState:
        """Train for one phase; `TrainingState.best` is the result.

        Args:
            phase: name of the phase, which also names its checkpoint.
            weights: state of the network to start from, by name.
            rows: (M,) indices of the training examples.
            validation: (V,) indices of the validation examples; empty to train without early
                stopping.
            epochs: maximum number of epochs.
            rate: peak learning rate of the deepest stage.
            first_epoch: number of the first epoch in the history.
        """
        settings, steps = self.settings, batch_count(len(rows), self.settings.batch)
        self.network.load_state_dict(dict(weights))
        optimizer = build_optimizer(self.network, self.stages, settings, rate=rate)
        path = self.checkpoint and self.checkpoint / f"{phase}.safetensors"
        state = path and restore_state(path, self.network, optimizer, device=self.examples.device)
        state = state or TrainingState(average=self.weights(), best=self.weights())
        done = len(state.history) * steps
        schedule = build_schedule(optimizer, settings, steps=epochs * steps, done=done)
        last = first_epoch + epochs - 1
        while len(state.history) < epochs and not state.should_stop(settings.patience):
            started, number = time.perf_counter(), first_epoch + len(state.history)
            progress = partial(self.on_steps, number, last)
            found = self._train(rows, number, state, optimizer, schedule, progress)
            loss, accuracy, last_rate = found
            result = self.evaluate(state.average, validation) if len(validation) else None
            row = Epoch(
                phase=phase,
                epoch=number,
                rate=last_rate,
                loss=loss,
                accuracy=accuracy,
                validation_loss=result.loss if result else None,
                validation_accuracy=result.accuracy if result else None,
                seconds=time.perf_counter() - started,
            )
            state.record(row)
            if path:
                save_state(path, state, self.network, optimizer)
            if self.on_epoch:
                self.on_epoch(row, last)
        return state

    @torch.inference_mode()
    def evaluate(
        self, weights: Mapping[str, Tensor], rows: Labels, *, calibrated: bool = False
    ) -> ValidationResult:
        """Evaluate weights on the unaugmented images at `rows` (V,); see `ValidationResult.of`."""
        self.network.eval()
        with self._precision():
            parts = [
                functional_call(self.network, dict(weights), (batch.maps, batch.features))
                for batch in self.examples.plain(rows, _EVALUATION_BATCH)
            ]
        logits = torch.cat(parts).float().cpu().numpy()
        return ValidationResult.of(logits, self.examples.labels[rows], calibrated=calibrated)

    def _train(
        self,
        rows: Labels,
        number: int,
        state: TrainingState,
        optimizer: Optimizer,
        schedule: LRScheduler,
        progress: ProgressCallback,
    ) -> tuple[float, float, float]:
        """Train for one epoch; return its mean loss, its accuracy and its last learning rate."""
        settings, rate = self.settings, 0.0
        rng = np.random.default_rng([settings.seed, number])
        self.network.prepare_training(settings.batch_norm)
        parts = shuffled(rows, settings.batch, rng)
        loss = correct = 0.0
        progress(0, len(parts))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**31)))  # for dropout
            for step, part in enumerate(parts):
                views = rng.integers(0, settings.views, len(part))
                batch = mix_batch(self.examples.batch(part, views), settings, rng)
                step_loss, logits = self._step(batch, optimizer)
                rate = current_rate(optimizer)
                schedule.step()
                done = len(state.history) * len(parts) + step
                self._update_average(state.average, done, len(parts))
                loss += step_loss * len(part)
                correct += float((logits.argmax(1) == batch.targets.argmax(1)).sum())
                progress(step + 1, len(parts))
        images = sum(map(len, parts))
        return loss / images, correct / images, rate

    def _step(self, batch: Batch, optimizer: Optimizer) -> tuple[float, Tensor]:
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
        clip_grad_norm_(self.network.parameters(), self.settings.clip)
        optimizer.step()
        return float(loss.detach()), logits.detach()

    def _precision(self) -> AbstractContextManager[None]:
        enabled = bool(self.settings.mixed_precision)
        return bfloat16_autocast(self.examples.device, enabled=enabled)

    def _update_average(self, average: Mapping[str, Tensor], step: int, steps: int) -> None:
        """Move the average towards the current weights at `step` of this phase, from 0."""
        window = self.settings.averaging * steps
        # A long average would hardly move in the first steps, so it begins as a plain mean.
        decay = min(math.exp(-1 / window), (step + 1) / (step + 10)) if window else 0.0
        for name, value in self.network.state_dict().items():
            if value.is_floating_point():
                average[name].lerp_(value, 1 - decay)
            else:
                average[name].copy_(value)
