"""EfficientNet-Lite as a graph, written operation by operation: in OpenVINO, or as ONNX."""

from typing import Any

import numpy as np

from headstart.backbones.backbone import Tensors
from headstart.backbones.lite_architecture import Variant, blocks_of

_BN_EPSILON = 1e-3


class GraphBuilder:
    """Consumes tensors in the order of the network and writes the graph.

    With `watched`, batch normalization is not folded into the convolutions, and the outputs are the
    moments of its inputs. With `peaks`, the maxima of all stages follow the averages.

    `operations` write the graph: by default OpenVINO's, or others of the same names and arguments.
    """

    def __init__(
        self,
        tensors: Tensors,
        *,
        watched: bool = False,
        fresh: bool = False,
        peaks: bool = False,
        operations: Any = None,
    ) -> None:
        self._op = _opset() if operations is None else operations
        self._tensors = iter(tensors.values())
        self._watched, self._fresh, self._with_peaks = watched, fresh, peaks
        self._moments: list[Any] = []
        self._peaks: list[Any] = []

    def build(self, variant: Variant, until: str | None = None) -> Any:
        """Write the graph in OpenVINO; see `Backbone.graph` and `Backbone.moments_graph`."""
        import openvino as ov

        op, size = self._op, variant.size
        pixels = op.parameter([-1, size, size, 3], np.uint8, "pixels")
        results = self.outputs(pixels, variant, until)
        return ov.Model([op.result(y) for y in results], [pixels])

    def outputs(self, pixels: Any, variant: Variant, until: str | None = None) -> list[Any]:
        """Return the outputs for (N, H, W, 3) uint8; see `build`."""
        op = self._op
        x = op.transpose(op.convert(pixels, "f32"), op.constant(np.array([0, 3, 1, 2])))
        # (pixel / 255 - 0.5) / 0.5
        x = op.subtract(op.multiply(x, self._scalar(2 / 255)), self._scalar(1))
        outputs = self._outputs(self._convolution(x, stride=2), variant, until)
        return self._moments if self._watched else outputs

    def _outputs(self, x: Any, variant: Variant, until: str | None) -> list[Any]:
        op = self._op
        outputs = []
        for stage, blocks in enumerate(blocks_of(variant)):
            for index in range(blocks.repeats):
                # All blocks of a stage but the first have as many channels as their inputs.
                first = index == 0
                stride = blocks.stride if first else 1
                x = self._inverted_residual(x, stride, blocks.expansion, residual=not first)
            outputs.append(self._pooled(x))
            if until == f"blocks.{stage}":
                return [*outputs, op.reshape(x, op.constant(np.array([0, -1])), True)]
        features = self._pooled(self._convolution(x))
        if until == "head":  # the input of the classifier, which is averaged
            return [*outputs, features, features]
        weight, bias = self._next(), self._next()
        logits = op.add(op.matmul(features, op.constant(weight), False, True), op.constant(bias))
        return [*outputs, features, *self._peaks, logits]

    def _next(self) -> np.ndarray:
        return np.asarray(next(self._tensors), np.float32)  # files may contain float16

    def _inverted_residual(self, x: Any, stride: int, expansion: int, *, residual: bool) -> Any:
        y = x if expansion == 1 else self._convolution(x)
        y = self._convolution(y, stride=stride, depthwise=True)
        y = self._convolution(y, activation=False)
        return self._op.add(x, y) if residual else y

    def _convolution(
        self, x: Any, *, stride: int = 1, depthwise: bool = False, activation: bool = True
    ) -> Any:
        op = self._op
        weight, scale, shift, mean, variance = (self._next() for _ in range(5))
        if self._watched:
            y = self._normalized(self._convolved(x, weight, stride, depthwise), mean, variance)
            y = op.multiply(y, op.constant(_by_channel(scale)))
            y = op.add(y, op.constant(_by_channel(shift)))
        else:
            scale = scale / np.sqrt(variance + _BN_EPSILON)
            y = self._convolved(x, weight * scale[:, None, None, None], stride, depthwise)
            y = op.add(y, op.constant(_by_channel(shift - mean * scale)))
        return op.clamp(y, 0.0, 6.0) if activation else y

    def _convolved(self, x: Any, weight: np.ndarray, stride: int, depthwise: bool) -> Any:
        op = self._op
        # auto_pad: TensorFlow pads the end by one more where the padding is odd
        options = {
            "strides": [stride, stride],
            "pads_begin": [0, 0],
            "pads_end": [0, 0],
            "dilations": [1, 1],
            "auto_pad": "same_upper",
        }
        if depthwise:
            return op.group_convolution(x, op.constant(weight[:, None]), **options)
        return op.convolution(x, op.constant(weight), **options)

    def _normalized(self, y: Any, mean: np.ndarray, variance: np.ndarray) -> Any:
        """Standardize by stored or fresh moments, and record the fresh ones."""
        op = self._op
        axes = op.constant(np.array([0, 2, 3]))
        fresh_mean = op.reduce_mean(y, axes, True)
        centered = op.subtract(y, fresh_mean)
        spread = op.reduce_mean(op.multiply(centered, centered), axes, True)
        self._moments += [fresh_mean, spread]
        if not self._fresh:
            centered = op.subtract(y, op.constant(_by_channel(mean)))
            spread = op.constant(_by_channel(variance))
        return op.divide(centered, op.sqrt(op.add(spread, self._scalar(_BN_EPSILON))))

    def _pooled(self, x: Any) -> Any:
        axes = self._op.constant(np.array([2, 3]))
        if self._with_peaks:
            self._peaks.append(self._op.reduce_max(x, axes, False))
        return self._op.reduce_mean(x, axes, False)

    def _scalar(self, value: float) -> Any:
        return self._op.constant(np.float32(value))


def _by_channel(values: np.ndarray) -> np.ndarray:
    return values[None, :, None, None]


def _opset() -> Any:
    from openvino import opset13

    return opset13
