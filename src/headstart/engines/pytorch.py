"""PyTorch: the engine on a GPU, and the fallback on a CPU."""

import os
from collections import deque
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from headstart.backbones.backbone import Backbone
from headstart.backbones.staged import StagedNetwork
from headstart.engines.engine import BatchQueue, Engine, EnginePlan
from headstart.errors import BackboneError
from headstart.types import Floats, Pixels, Precision

_CPU_BATCH, _GPU_BATCH = 16, 64
_PROCESS = os.getpid()
"""The process that imported PyTorch; a forked child is another."""
_IN_FLIGHT = 2
"""Batches in flight on a GPU while the host prepares the next one."""


class FromBytes(nn.Module):
    """A network that takes prepared images, (N, H, W, 3) uint8.

    With `peaks`, the maxima over positions follow the averages; see `StagedNetwork.forward`.
    """

    def __init__(self, network: StagedNetwork, *, peaks: bool = False) -> None:
        super().__init__()
        self.network, self.peaks = network, peaks

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Return the features of every stage, (N, width), then the logits, (N, classes)."""
        prepared = pixels.permute(0, 3, 1, 2).float() / 255
        # Parts of a network, which fine-tuning runs, have no maxima.
        outputs: tuple[Tensor, ...] = (
            self.network(prepared, peaks=True) if self.peaks else self.network(prepared)
        )
        return outputs


class PyTorchEngine(Engine):
    """Runs a backbone in eager PyTorch.

    On a CPU, the last batch is padded where others precede it: the features of a full batch do not
    depend on the number of threads, those of a smaller one do.
    """

    def __init__(self, backbone: Backbone, plan: EnginePlan) -> None:
        self.plan = plan
        if os.getpid() != _PROCESS:  # it would wait forever for the threads of its parent
            torch.set_num_threads(1)
        self.batch = _CPU_BATCH if plan.device == "cpu" else _GPU_BATCH
        try:
            network = FromBytes(backbone.network(), peaks=backbone.peaks).to(plan.device)
        except RuntimeError as error:
            if os.getpid() == _PROCESS:
                raise
            raise BackboneError(
                f"a forked process cannot use the {plan.device} of its parent; start it with "
                "multiprocessing's 'spawn', or choose the engine openvino"
            ) from error
        # Convolutions on a GPU, and bf16 convolutions anywhere, are faster with channels last.
        self._network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def queue(self) -> BatchQueue:
        """See `Engine.queue`."""
        return _RunningBatches(self)

    @torch.inference_mode()
    def run(self, pixels: Pixels, least: int) -> tuple[Tensor, ...]:
        """Compute the outputs for some images, in a batch of at least `least`."""
        count = len(pixels)
        if count < least:
            pixels = np.concatenate(
                [pixels, np.zeros((least - count, *pixels.shape[1:]), np.uint8)]
            )
        moved = torch.from_numpy(pixels).to(self.plan.device, non_blocking=True)
        half = self.plan.precision is Precision.BFLOAT16
        with torch.autocast(self.plan.device, torch.bfloat16, enabled=half):
            outputs: tuple[Tensor, ...] = self._network(moved)
        return tuple(output[:count] for output in outputs)


class _RunningBatches:
    """Batches that a GPU may still compute; see `BatchQueue`."""

    def __init__(self, engine: PyTorchEngine) -> None:
        self._engine = engine
        self._on_cpu = engine.plan.device == "cpu"
        self._running: deque[tuple[Tensor, ...]] = deque()
        self._least = 0

    def put(self, pixels: Pixels) -> list[list[Floats]]:
        self._running.append(self._engine.run(pixels, self._least))
        if self._on_cpu:
            self._least = self._engine.batch
        ahead = 0 if self._on_cpu else _IN_FLIGHT
        return [_collect(self._running.popleft())] if len(self._running) > ahead else []

    def finish(self) -> Iterator[list[Floats]]:
        while self._running:
            yield _collect(self._running.popleft())

    def close(self) -> None:
        self._running.clear()


def _collect(outputs: tuple[Tensor, ...]) -> list[Floats]:
    return [output.float().cpu().numpy() for output in outputs]
