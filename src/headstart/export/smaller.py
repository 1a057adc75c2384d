"""Smaller files: weights in half the bits, or networks that compute in 8 bits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

from headstart.export.file_format import IMAGE
from headstart.types import Pixels

_SMALL: Final = 1024
"""Arrays of fewer numbers stay as they are: they save nothing."""
_LARGEST: Final = float(np.finfo(np.float16).max)


def with_half_weights(model: ModelProto) -> ModelProto:
    """Store weights as float16; what computes with them converts them back when it is loaded."""
    smaller = ModelProto()
    smaller.CopyFrom(model)
    graph, casts = smaller.graph, []
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < _SMALL:
            continue
        array = np.clip(numpy_helper.to_array(tensor), -_LARGEST, _LARGEST).astype(np.float16)
        whole, half = tensor.name, f"{tensor.name}_half"
        tensor.CopyFrom(numpy_helper.from_array(array, half))
        casts.append(helper.make_node("Cast", [half], [whole], whole, to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(smaller)
    return smaller


def quantized(model: ModelProto, images: Iterable[Pixels], folder: Path) -> ModelProto:
    """Let the convolutions compute in 8 bits, but for the first one of each network.

    Args:
        model: A model that takes whole images.
        images: Typical ones, from which the ranges of all activations are known.
        folder: For temporary files.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    target = folder / "int8.onnx"
    quantize_static(
        model,
        str(target),
        _Reader(images),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["Conv"],
        nodes_to_exclude=list(_first_convolutions(model)),
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod.MinMax,
    )
    return onnx.load(target)


class _Reader:
    """Images as onnxruntime wants them; its base class is not needed."""

    def __init__(self, images: Iterable[Pixels]) -> None:
        self._images: Iterator[Pixels] = iter(images)

    def get_next(self) -> dict[str, Any] | None:
        image = next(self._images, None)
        return None if image is None else {IMAGE: image}


def _first_convolutions(model: ModelProto) -> Iterator[str]:
    """Yield the names of the convolutions of colors."""
    shapes = {one.name: one.dims for one in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Conv" and shapes.get(node.input[1], [0, 0])[1] == 3:
            yield node.name
