"""The networks of a model as ONNX operations, each written in the way that its kind allows."""

from __future__ import annotations

import warnings
from typing import Final

import numpy as np
import onnx
import onnx.inliner
import onnx.version_converter

from headstart.backbones.backbone import Backbone
from headstart.backbones.graph_backbone import Activation, GraphBackbone
from headstart.backbones.lite import LiteBackbone
from headstart.backbones.own_code import PROGRAM
from headstart.errors import BackboneError, NoTorchFormError
from headstart.exporting.graph_writer import OPSET, Value
from headstart.exporting.onnx_operations import OnnxOperations
from headstart.system.files import read_regular

_LIMIT: Final = 2**31
_STANDARD: Final = ("", "ai.onnx")
"""Domains of operations that every runtime has."""


def write_network(backbone: Backbone, pixels: Value) -> list[Value]:
    """Write a network.

    Args:
        backbone: The network.
        pixels: Its input, (N, crop, crop, 3) uint8.

    Returns:
        One output (N, width) for each of `Backbone.outputs`, then the logits (N, classes).

    Raises:
        BackboneError: It cannot be written as ONNX; the message says why.
    """
    if isinstance(backbone, LiteBackbone):
        found: list[Value] = backbone.written(pixels, OnnxOperations(pixels.writer))
        return found
    if isinstance(backbone, GraphBackbone):
        return _own_graph(backbone, pixels)
    return _from_torch(backbone, pixels)


def _from_torch(backbone: Backbone, pixels: Value) -> list[Value]:
    """Convert the PyTorch form with PyTorch's own exporter."""
    try:
        network = backbone.network()
    except NoTorchFormError as error:
        raise _refusal(backbone, str(error)) from error
    import torch

    from headstart.engines.pytorch import FromBytes

    side = backbone.preprocessing.crop
    module = FromBytes(network, peaks=backbone.peaks).eval()
    try:
        with torch.no_grad(), warnings.catch_warnings(action="ignore"):  # of its own changes
            program = torch.onnx.export(
                module,
                (torch.zeros(2, side, side, 3, dtype=torch.uint8),),
                dynamo=True,
                opset_version=OPSET,
                dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
                verbose=False,
            )
        assert program is not None  # it is only None where the other exporter is asked for
        graph = _inlined(program.model_proto).graph
    except Exception as error:  # the network's own code, and converters, raise anything
        raise _refusal(backbone, _reason(error)) from error
    return pixels.writer.merge(
        graph, {graph.input[0].name: pixels}, [one.name for one in graph.output]
    )


def _own_graph(backbone: GraphBackbone, pixels: Value) -> list[Value]:
    """Copy the graph from the file that the user gave."""
    if backbone.file is None or backbone.file.suffix.lower() == PROGRAM:
        raise _refusal(backbone, "it is a program of PyTorch; give the network as ONNX to `fit`")
    tensors = _tensor_names(backbone)
    try:
        content = read_regular(backbone.file, limit=_LIMIT)
        model = _inlined(onnx.load_model_from_string(content))
        version = next(one.version for one in model.opset_import if one.domain in _STANDARD)
        if version < OPSET:
            model = onnx.version_converter.convert_version(model, OPSET)
        elif version > OPSET:
            raise _refusal(
                backbone, f"it uses version {version} of ONNX, and {OPSET} is the latest"
            )
    except (OSError, StopIteration, RuntimeError, ValueError) as error:
        if isinstance(error, BackboneError):
            raise
        raise _refusal(backbone, _reason(error)) from error
    kinds = {node.domain for node in model.graph.node} - set(_STANDARD)
    if kinds:
        raise _refusal(backbone, f"it has operations of {', '.join(sorted(kinds))}")
    (source,) = {one.name for one in model.graph.input} - {
        one.name for one in model.graph.initializer
    }
    how = backbone.preprocessing
    x = (pixels.floats() - 255 * np.array(how.mean)) / (255 * np.array(how.std))
    if backbone.channels_first:
        x = x.transpose(0, 3, 1, 2)
    wanted = [*backbone.activations, backbone.output]
    found = pixels.writer.merge(model.graph, {source: x}, [tensors[one.node] for one in wanted])
    pooled = [_pooled(value, one, "ReduceMean") for value, one in zip(found, wanted, strict=True)]
    if not backbone.peaks:
        return pooled
    peaks = [
        _pooled(value, one, "ReduceMax")
        for value, one in zip(found[:-1], backbone.activations, strict=True)
    ]
    return [*pooled[:-1], *peaks, pooled[-1]]


def _pooled(value: Value, one: Activation, kind: str) -> Value:
    if not one.axes:
        return value.reshape(0, one.width)
    return value.operation(kind, value.writer.vector(*one.axes), keepdims=0)


def _tensor_names(backbone: GraphBackbone) -> dict[str, str]:
    """Return the names in the ONNX file of the tensors that nodes of OpenVINO compute."""
    return {
        node.get_friendly_name(): min(node.output(0).get_names(), default="")
        for node in backbone.model.get_ordered_ops()
        if node.get_output_size()
    }


def _inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model without functions of its own."""
    if not model.functions:
        return model
    inlined: onnx.ModelProto = onnx.inliner.inline_local_functions(model)
    return inlined


def _reason(error: Exception) -> str:
    deepest: BaseException = error
    while deepest.__cause__ is not None:
        deepest = deepest.__cause__
    lines = [line.strip() for line in str(deepest).splitlines() if line.strip()]
    return (lines[0] if lines else type(deepest).__name__)[:200]


def _refusal(backbone: Backbone, reason: str) -> BackboneError:
    return BackboneError(
        f"{backbone.name} cannot be exported ({reason}); fit a model with another backbone, such "
        "as the default"
    )
