"""Mean and variance of the inputs of batch normalization, measured on given images.

Batch normalization stores the mean and the variance of every channel over the pre-training data
(Ioffe and Szegedy 2015). The same moments over other images show how different those are. Stored
instead, they make a network with random weights run as in the first step of its training.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from headstart.backbones.backbone import Backbone
from headstart.engines.openvino import openvino_core
from headstart.types import Doubles, Pixels

BATCH: Final = 32
"""Images per forward pass, which keeps every feature map of the network in memory."""

_MEAN = ".running_mean"
_RunningSums: TypeAlias = tuple[Doubles | float, Doubles | float]
_BatchStatistics: TypeAlias = tuple[int, str, np.ndarray, np.ndarray]


@dataclass(frozen=True, slots=True)
class Moments:
    """Moments of the input of a batch normalization, over images and positions.

    Attributes:
        mean: (C,) mean of each channel.
        variance: (C,) variance of each channel.
    """

    mean: Doubles
    variance: Doubles


def batch_moments(
    backbone: Backbone, pixels: Pixels, *, fresh: bool = False
) -> Mapping[str, Moments]:
    """Measure the input of each batch normalization, always in float32 on the CPU.

    Args:
        backbone: network whose batch normalization is measured.
        pixels: (N, crop, crop, 3) prepared images; with `fresh` at most `BATCH`.
        fresh: normalize by the moments of these images instead of the stored ones, as training
            does.

    Returns:
        Moments by the module's name ("blocks.0.0.bn1"), in the order of the network; empty if the
        network has no batch normalization.

    Raises:
        ValueError: more images than one batch, and `fresh`.
        MissingExtraError: the network needs PyTorch, which is not installed.
    """
    if fresh and len(pixels) > BATCH:
        raise ValueError(f"{len(pixels)} images do not fit in one batch; give at most {BATCH}")
    run = _run_openvino if backbone.has_graph else _run_pytorch
    sums: dict[str, _RunningSums] = {}
    for count, name, mean, variance in run(backbone, pixels, fresh):
        first, second = sums.get(name, (0.0, 0.0))
        square = variance + np.square(mean)
        sums[name] = (first + mean * count, second + square * count)
    found = {}
    for name, (first, second) in sums.items():
        mean = np.asarray(first) / len(pixels)
        variance = np.asarray(second) / len(pixels) - np.square(mean)
        found[name] = Moments(mean, np.maximum(variance, 0.0))
    return found


def _run_openvino(backbone: Backbone, pixels: Pixels, fresh: bool) -> Iterator[_BatchStatistics]:
    graph = backbone.moments_graph(fresh)
    compiled = openvino_core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    names = [name.removesuffix(_MEAN) for name in backbone.tensors() if name.endswith(_MEAN)]
    for batch in _batches(pixels):
        outputs = [np.asarray(output, np.float64).ravel() for output in compiled(batch).values()]
        for name, mean, variance in zip(names, outputs[::2], outputs[1::2], strict=True):
            yield len(batch), name, mean, variance


def _run_pytorch(backbone: Backbone, pixels: Pixels, fresh: bool) -> Iterator[_BatchStatistics]:
    import torch
    from torch.nn.modules.batchnorm import _BatchNorm

    network = backbone.network()
    seen: list[tuple[str, np.ndarray, np.ndarray]] = []

    def moments_hook(name: str) -> Callable[[torch.nn.Module, tuple[torch.Tensor, ...]], None]:
        def hook(_module: torch.nn.Module, args: tuple[torch.Tensor, ...]) -> None:
            over = [axis for axis in range(args[0].ndim) if axis != 1]
            variance, mean = torch.var_mean(args[0].double(), over, correction=0)
            seen.append((name, mean.numpy(), variance.numpy()))

        return hook

    for name, module in network.model.named_modules():
        if isinstance(module, _BatchNorm):
            module.training = fresh
            module.register_forward_pre_hook(moments_hook(name))
    for batch in _batches(pixels):
        with torch.inference_mode():
            network.logits(torch.from_numpy(batch).permute(0, 3, 1, 2) / 255)
        for one in seen:
            yield len(batch), *one
        seen.clear()


def _batches(pixels: Pixels) -> Iterator[Pixels]:
    for start in range(0, len(pixels), BATCH):
        yield pixels[start : start + BATCH]
