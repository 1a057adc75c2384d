"""Small graphs, run by both libraries."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper

from headstart.engines.openvino import openvino_core
from headstart.exporting.graph_writer import OPSET, GraphWriter, Value

RUNTIMES = ("onnxruntime", "openvino")


def model_of(
    inputs: Mapping[str, tuple[Any, list[Any]]], write: Callable[..., list[Value]]
) -> bytes:
    """A checked ONNX model: inputs are types and shapes by name, `write` gets their values."""
    g = GraphWriter()
    values = [Value(g, name, np.dtype(kind)) for name, (kind, _) in inputs.items()]
    outputs = write(*values)
    graph = helper.make_graph(
        g.nodes,
        "test",
        [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(np.dtype(kind)), shape
            )
            for name, (kind, shape) in inputs.items()
        ],
        [
            helper.make_tensor_value_info(
                one.name, helper.np_dtype_to_tensor_dtype(one.dtype), None
            )
            for one in outputs
        ],
        g.weights,
    )
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=9)
    model = onnx.shape_inference.infer_shapes(model)
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString()
    return content


def runner(content: bytes, runtime: str) -> Callable[..., list[np.ndarray]]:
    """A function from inputs, in their order, to outputs."""
    if runtime == "onnxruntime":
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        names = [one.name for one in session.get_inputs()]
        return lambda *arrays: session.run(None, dict(zip(names, arrays, strict=True)))
    compiled = openvino_core().compile_model(
        openvino_core().read_model(content), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    return lambda *arrays: [np.array(one) for one in compiled(list(arrays)).values()]
