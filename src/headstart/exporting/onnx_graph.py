"""A model as an ONNX graph: from images to probabilities, label and novelty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper

from headstart.backbones.stages import LOGITS
from headstart.errors import UserError
from headstart.exporting.answers import Answers, check_head, write_answers
from headstart.exporting.description import FileDescription, views_of
from headstart.exporting.file_format import IMAGE, InputForm, crops_name
from headstart.exporting.graph_writer import OPSET, GraphWriter, Value
from headstart.exporting.networks import write_network
from headstart.exporting.resizing import center_crop
from headstart.exporting.tiling import tile_crops
from headstart.features.extractor import Extractor
from headstart.features.views import View, qualified
from headstart.images.presentation import CenterCrop, MirroredCrops, Presentation
from headstart.images.tiles import Tiles
from headstart.models.trained_model import Model

_IR_VERSION: Final = 9
"""Of ONNX 1.14, the first with this version of operations that is widely read."""


def build_graph(model: Model, extractor: Extractor, description: FileDescription) -> ModelProto:
    """Write a model as ONNX.

    Args:
        model: The model.
        extractor: Has its networks.
        description: What the file says of itself, and what it takes.

    Returns:
        A checked ONNX model. Its outputs for an image are `probabilities` (K,), `label` and, if the
        model can tell, `novelty` and `known`; for N crops each has a first axis of length N.

    Raises:
        UserError: Something in the model cannot be written; the message says what and why.
    """
    check_head(model.head)
    views = views_of(model, extractor)
    g = GraphWriter()
    inputs: list[Any] = []
    features: dict[str, Value] = {}
    crops: dict[Presentation, Value] = {}
    alone = description.input is InputForm.IMAGE
    image = Value(g, IMAGE, np.dtype(np.uint8))
    if alone:
        inputs = [helper.make_tensor_value_info(IMAGE, TensorProto.UINT8, ["H", "W", 3])]
    for place, (view, one) in enumerate(views.items()):
        shown, side = one.presentation, one.backbone.preprocessing.crop
        if not alone:
            name = crops_name(place)
            inputs.append(
                helper.make_tensor_value_info(name, TensorProto.UINT8, ["N", side, side, 3])
            )
            crops[shown] = Value(g, name, np.dtype(np.uint8))
        elif shown not in crops:
            crops[shown] = _crops(shown, image)
        features |= _view_features(view, one, crops[shown])
    answers = write_answers(model, features)
    return _finished(g, inputs, answers, description, alone=alone)


def _crops(shown: Presentation, image: Value) -> Value:
    """Return the crops that a view shows of an image, before any mirroring."""
    if isinstance(shown, Tiles):
        return tile_crops(image, shown.preprocessing)
    if isinstance(shown, CenterCrop | MirroredCrops):
        return center_crop(image, shown.preprocessing)
    raise UserError(f"images shown as {type(shown).__name__} cannot be exported")


def _view_features(view: View | None, one: Extractor, crops: Value) -> Mapping[str, Value]:
    """Write the network of a view; return its pooled outputs by the names of stages."""
    g, shown = crops.writer, one.presentation
    if isinstance(shown, MirroredCrops):
        columns = np.arange(one.backbone.preprocessing.crop)[::-1]
        crops = g.concatenate([crops, crops.take(g.constant(columns.copy()), 2)], axis=0)
    outputs = write_network(one.backbone, crops)
    if isinstance(shown, MirroredCrops):
        outputs = [
            output.reshape(2, -1, width)
            for output, width in zip(outputs, _widths(one), strict=False)
        ]
        outputs = [output.operation("ReduceMean", g.vector(0), keepdims=0) for output in outputs]
    if isinstance(shown, Tiles):
        maxima = range(shown.averages, 2 * shown.averages)
        outputs = [
            output.largest(0) if place in maxima else output.averaged(0)
            for place, output in enumerate(outputs)
        ]
    names = [*(stage.name for stage in one.backbone.outputs), LOGITS]
    return {
        name if view is None else qualified(view, name): output
        for name, output in zip(names, outputs, strict=False)
    }


def _widths(one: Extractor) -> list[int]:
    return [*(stage.width for stage in one.backbone.outputs), len(one.backbone.labels)]


def _finished(
    g: GraphWriter,
    inputs: list[Any],
    answers: Answers,
    description: FileDescription,
    *,
    alone: bool,
) -> ModelProto:
    """Name the outputs, leave out what they do not need, and check the whole."""
    outputs = []
    for name, value in answers._asdict().items():
        if value is None:
            continue
        sizes = [len(description.classes)] if name == "probabilities" else []
        value.reshape(*sizes if alone else (-1, *sizes))
        g.nodes[-1].output[0] = name
        kind = helper.np_dtype_to_tensor_dtype(value.dtype)
        outputs.append(helper.make_tensor_value_info(name, kind, sizes if alone else ["N", *sizes]))
    nodes = _needed(g.nodes, {one.name for one in outputs})
    used = {name for node in nodes for name in _inputs(node)}
    weights = [one for one in g.weights if one.name in used]
    graph = helper.make_graph(nodes, "headstart", inputs, outputs, weights)
    model = helper.make_model(
        graph,
        producer_name="headstart",
        producer_version=description.version,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=_IR_VERSION,
    )
    helper.set_model_props(model, description.entries())
    onnx.checker.check_model(model, full_check=True)
    return model


def _needed(nodes: list[onnx.NodeProto], wanted: set[str]) -> list[onnx.NodeProto]:
    """Return the operations that the wanted tensors depend on."""
    kept = []
    for node in reversed(nodes):
        if wanted & set(node.output):
            kept.append(node)
            wanted |= _inputs(node)
    return kept[::-1]


def _inputs(node: onnx.NodeProto) -> set[str]:
    """Return the tensors that an operation needs, also in graphs inside it."""
    inner = [
        name
        for attribute in node.attribute
        if attribute.type == onnx.AttributeProto.GRAPH
        for one in attribute.g.node
        for name in _inputs(one)
    ]
    return {*node.input, *inner}
