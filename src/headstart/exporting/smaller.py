"""Smaller files: weights in 16 or 8 bits, which are converted back when a file is loaded.

Everything is computed in float32, at the same speed: 8 bits for the activations as well gave ten
times the differences, and no speed (docs/decisions/0030-export.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from headstart.exporting.file_format import Weights

_SMALL: Final = 1024
"""Arrays of fewer numbers stay as they are: they save nothing."""
_NARROW: Final = 3
"""Filters with at most this many input channels keep 16 bits."""
_LARGEST: Final = float(np.finfo(np.float16).max)


def with_smaller_weights(model: ModelProto, weights: Weights) -> ModelProto:
    """Store weights in fewer bits.

    Args:
        model: A model in float32.
        weights: HALF for float16, or INT8: then the filters of convolutions are int8 with a scale
            for each output channel, and the rest float16.
    """
    smaller = ModelProto()
    smaller.CopyFrom(model)
    graph = smaller.graph
    filters = {node.input[1] for node in graph.node if node.op_type == "Conv"}
    stored: list[TensorProto] = []
    restored: list[NodeProto] = []
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < _SMALL:
            stored.append(tensor)
            continue
        name, array = tensor.name, numpy_helper.to_array(tensor)
        in_bytes = weights is Weights.INT8 and name in filters and array.shape[1] > _NARROW
        arrays, nodes = (_int8 if in_bytes else _half)(name, array)
        stored += [numpy_helper.from_array(one, part) for part, one in arrays.items()]
        restored += nodes
    nodes = [*restored, *graph.node]
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(stored)
    graph.node.extend(nodes)
    onnx.checker.check_model(smaller, full_check=True)
    return smaller


def _half(name: str, array: np.ndarray) -> tuple[dict[str, np.ndarray], list[NodeProto]]:
    half = f"{name}_half"
    limited = np.clip(array, -_LARGEST, _LARGEST).astype(np.float16)
    return {half: limited}, list(_cast(half, name))


def _int8(name: str, array: np.ndarray) -> tuple[dict[str, np.ndarray], list[NodeProto]]:
    """Return the levels and the scales of filters (O, C, h, w), and what restores them."""
    levels, scale, whole = f"{name}_int8", f"{name}_scale", f"{name}_levels"
    largest = np.abs(array).max(axis=(1, 2, 3), keepdims=True)
    steps = np.maximum(largest / 127, 1e-12).astype(np.float32)
    arrays = {levels: np.round(array / steps).astype(np.int8), scale: steps}
    # Not DequantizeLinear: onnxruntime would compute that for every image.
    return arrays, [*_cast(levels, whole), helper.make_node("Mul", [whole, scale], [name], name)]


def _cast(source: str, target: str) -> Iterator[NodeProto]:
    yield helper.make_node("Cast", [source], [target], target, to=TensorProto.FLOAT)
