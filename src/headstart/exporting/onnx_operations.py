"""The few functions of `openvino.opset13` that `lite_graph` writes networks with, for ONNX."""

from __future__ import annotations

from typing import Any

import numpy as np

from headstart.exporting.graph_writer import GraphWriter, Value

_TYPES = {"f32": np.float32}


class OnnxOperations:
    """Writes operations of OpenVINO's names and arguments to an ONNX graph."""

    def __init__(self, writer: GraphWriter) -> None:
        self._writer = writer
        self._open: str | None = None  # result of the last operation, a convolution without bias

    def constant(self, array: Any) -> Value:
        """Return a known value."""
        return self._writer.constant(np.asarray(array))

    def convert(self, x: Value, kind: str) -> Value:
        """Convert numbers to a type."""
        return x.cast(_TYPES[kind])

    def transpose(self, x: Value, order: Value) -> Value:
        """Reorder axes."""
        return x.transpose(*self._writer.arrays[order.name].tolist())

    def multiply(self, x: Value, y: Value) -> Value:
        """Multiply."""
        return x * y

    def subtract(self, x: Value, y: Value) -> Value:
        """Subtract."""
        return x - y

    def add(self, x: Value, y: Value) -> Value:
        """Add; a number for each channel becomes the bias of the convolution before it."""
        array = self._writer.arrays.get(y.name)
        node = self._writer.nodes[-1]
        if array is None or self._open != x.name or node.output[0] != x.name:
            return x + y
        self._open = None
        node.input.append(self.constant(array.reshape(-1)).name)
        return x

    def matmul(self, x: Value, y: Value, turn_x: bool, turn_y: bool) -> Value:
        """Multiply matrices, the second of which may be a transposed weight."""
        assert not turn_x
        array = self._writer.arrays[y.name]
        return x @ self.constant(array.T if turn_y else array)

    def convolution(self, x: Value, weight: Value, **options: Any) -> Value:
        """Convolve (N, C, H, W) with (O, C, h, w), padded to the same size."""
        return self._convolved(x, weight, 1, options)

    def group_convolution(self, x: Value, weight: Value, **options: Any) -> Value:
        """Convolve each channel by itself, with (C, 1, 1, h, w)."""
        array = self._writer.arrays[weight.name]
        flat = self.constant(array.reshape(-1, *array.shape[2:]))
        return self._convolved(x, flat, len(array), options)

    def clamp(self, x: Value, low: float, high: float) -> Value:
        """Limit numbers to a range."""
        return x.operation("Clip", *(self.constant(np.float32(one)) for one in (low, high)))

    def reduce_mean(self, x: Value, axes: Value, keep: bool) -> Value:
        """Average over axes."""
        return x.operation("ReduceMean", axes, keepdims=int(keep))

    def reduce_max(self, x: Value, axes: Value, keep: bool) -> Value:
        """Take the maxima over axes."""
        return x.operation("ReduceMax", axes, keepdims=int(keep))

    def _convolved(self, x: Value, weight: Value, groups: int, options: dict[str, Any]) -> Value:
        found = x.operation(
            "Conv",
            weight,
            strides=options["strides"],
            auto_pad=options["auto_pad"].upper(),
            group=groups,
        )
        self._open = found.name
        return found
