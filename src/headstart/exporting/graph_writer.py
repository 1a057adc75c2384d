"""Write ONNX graphs with Python's operators instead of node by node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import numpy as np
from onnx import AttributeProto, GraphProto, NodeProto, TensorProto, helper, numpy_helper

OPSET: Final = 18
"""The first version with axes as inputs of all reductions; `onnxruntime-web` reads it, too."""
_INTEGER, _FLOAT, _BYTE = np.dtype(np.int64), np.dtype(np.float32), np.dtype(np.uint8)
_BOOL: Final = np.dtype(bool)


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """A tensor of the graph; arithmetic on it adds an operation.

    Attributes:
        writer: Where it is.
        name: Its name.
        dtype: Type of its numbers.
    """

    writer: GraphWriter
    name: str
    dtype: np.dtype[Any]

    def __add__(self, other: Any) -> Value:
        return self._with("Add", other)

    def __sub__(self, other: Any) -> Value:
        return self._with("Sub", other)

    def __rsub__(self, other: Any) -> Value:
        return self._lifted(other) - self

    def __mul__(self, other: Any) -> Value:
        return self._with("Mul", other)

    __radd__, __rmul__ = __add__, __mul__

    def __truediv__(self, other: Any) -> Value:
        return self._with("Div", other)

    def __rtruediv__(self, other: Any) -> Value:
        return self._lifted(other) / self

    def __floordiv__(self, other: Any) -> Value:
        """Divide integers that are not negative."""
        return self._with("Div", other)

    def __mod__(self, other: Any) -> Value:
        return self._with("Mod", other)

    def __matmul__(self, other: Any) -> Value:
        return self._with("MatMul", other)

    def __and__(self, other: Value) -> Value:
        return self._with("And", other)

    def __lt__(self, other: Any) -> Value:
        return self._with("Less", other, _BOOL)

    def __gt__(self, other: Any) -> Value:
        return self._with("Greater", other, _BOOL)

    def __le__(self, other: Any) -> Value:
        return self._with("LessOrEqual", other, _BOOL)

    def __ge__(self, other: Any) -> Value:
        return self._with("GreaterOrEqual", other, _BOOL)

    def equals(self, other: Any) -> Value:
        """Return whether the numbers are the same, one by one."""
        return self._with("Equal", other, _BOOL)

    def minimum(self, other: Any) -> Value:
        """Return the smaller numbers."""
        return self._with("Min", other)

    def maximum(self, other: Any) -> Value:
        """Return the larger numbers."""
        return self._with("Max", other)

    def squared(self) -> Value:
        """Return the squares."""
        return self * self

    def floats(self) -> Value:
        """Return the numbers as float32."""
        return self.cast(_FLOAT)

    def integers(self) -> Value:
        """Return the numbers as int64, without what follows the point."""
        return self.cast(_INTEGER)

    def cast(self, dtype: Any) -> Value:
        """Return the numbers as another type."""
        dtype = np.dtype(dtype)
        kind = helper.np_dtype_to_tensor_dtype(dtype)
        return self if dtype == self.dtype else self.operation("Cast", to=kind, dtype=dtype)

    def floor(self) -> Value:
        """Return the next smaller whole numbers, as floats."""
        return self.operation("Floor")

    def reshape(self, *shape: Any) -> Value:
        """Return the numbers in another shape, of numbers or scalar values; -1 is computed."""
        return self.operation("Reshape", self.writer.vector(*shape))

    def transpose(self, *axes: int) -> Value:
        """Return it with its axes in another order."""
        return self.operation("Transpose", perm=list(axes))

    def summed(self, axis: int) -> Value:
        """Return the sums along an axis, which is kept."""
        return self.operation("ReduceSum", self.writer.vector(axis))

    def averaged(self, axis: int) -> Value:
        """Return the averages along an axis, which is kept."""
        return self.operation("ReduceMean", self.writer.vector(axis))

    def smallest(self, axis: int) -> Value:
        """Return the minima along an axis, which is kept."""
        return self.operation("ReduceMin", self.writer.vector(axis))

    def largest(self, axis: int) -> Value:
        """Return the maxima along an axis, which is kept."""
        return self.operation("ReduceMax", self.writer.vector(axis))

    def slice(self, start: Any, end: Any, axis: int = 0) -> Value:
        """Return the numbers from `start` to `end` along an axis."""
        ends = (self.writer.vector(one) for one in (start, end))
        return self.operation("Slice", *ends, self.writer.vector(axis))

    def take(self, indices: Value, axis: int = 0) -> Value:
        """Return the numbers at indices along an axis."""
        return self.operation("Gather", indices, axis=axis)

    def operation(
        self, kind: str, *inputs: Any, dtype: np.dtype[Any] | None = None, **options: Any
    ) -> Value:
        """Return the result of an operation of this value and others."""
        return self.writer.operation(kind, self, *inputs, dtype=dtype or self.dtype, **options)

    def _with(self, kind: str, other: Any, dtype: np.dtype[Any] | None = None) -> Value:
        return self.operation(kind, self._lifted(other), dtype=dtype)

    def _lifted(self, other: Any) -> Value:
        if isinstance(other, Value):
            return other
        return self.writer.constant(np.asarray(other, self.dtype))


class GraphWriter:
    """The operations, weights and inputs of a graph that is being written."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.weights: list[TensorProto] = []
        self.arrays: dict[str, np.ndarray] = {}
        self._by_content: dict[bytes, str] = {}
        self._names = 0

    def constant(self, array: np.ndarray) -> Value:
        """Return a value that is known; the same numbers are stored once."""
        array = np.ascontiguousarray(array).reshape(np.shape(array))
        key = sha256(repr((array.dtype.str, array.shape)).encode() + array.tobytes()).digest()
        if key not in self._by_content:
            name = self._by_content[key] = self.new_name()
            self.weights.append(numpy_helper.from_array(array, name))
            self.arrays[name] = array
        return Value(self, self._by_content[key], array.dtype)

    def operation(self, kind: str, *inputs: Any, dtype: np.dtype[Any], **options: Any) -> Value:
        """Return the result of an operation."""
        return self.several(kind, *inputs, dtypes=[dtype], **options)[0]

    def several(
        self, kind: str, *inputs: Any, dtypes: Sequence[Any], **options: Any
    ) -> list[Value]:
        """Return the results of an operation that has more than one."""
        outputs = [self.new_name() for _ in dtypes]
        names = [one.name for one in inputs]
        self.nodes.append(helper.make_node(kind, names, outputs, outputs[0], **options))
        return [
            Value(self, name, np.dtype(dtype)) for name, dtype in zip(outputs, dtypes, strict=True)
        ]

    def vector(self, *numbers: Any) -> Value:
        """Return integers, some of which may be scalar values, side by side."""
        if not any(isinstance(one, Value) for one in numbers):
            return self.constant(np.array(numbers, np.int64))
        parts = [
            one.operation("Reshape", self.vector(1)) if isinstance(one, Value) else self.vector(one)
            for one in numbers
        ]
        return self.concatenate(parts, axis=0)

    def concatenate(self, parts: Sequence[Value], axis: int) -> Value:
        """Return values side by side along an axis."""
        if len(parts) == 1:
            return parts[0]
        return self.operation("Concat", *parts, axis=axis, dtype=parts[0].dtype)

    def where(self, condition: Value, chosen: Value, other: Value) -> Value:
        """Return numbers of `chosen` where the condition holds, else of `other`."""
        return self.operation("Where", condition, chosen, other, dtype=chosen.dtype)

    def arange(self, count: Any) -> Value:
        """Return the integers from 0 to `count` - 1, which is a number or a scalar value."""
        if not isinstance(count, Value):
            return self.constant(np.arange(count))
        ends = (self.constant(np.array(one)) for one in (0, 1))
        start, step = ends
        return self.operation("Range", start, count, step, dtype=_INTEGER)

    def merge(
        self, graph: GraphProto, inputs: dict[str, Value], outputs: Sequence[str]
    ) -> list[Value]:
        """Copy the operations of another graph.

        Args:
            graph: Of the same version of operations.
            inputs: What its inputs are here.
            outputs: Its tensors that are returned; all of float32.
        """
        names = {name: value.name for name, value in inputs.items()}
        for tensor in graph.initializer:
            names[tensor.name] = self.constant(numpy_helper.to_array(tensor)).name
        self._copy(graph, names)
        return [Value(self, names[name], _FLOAT) for name in outputs]

    def _copy(self, graph: GraphProto, names: dict[str, str]) -> None:
        for node in graph.node:
            copy = NodeProto()
            copy.CopyFrom(node)
            _rename(copy, names, self.new_name)
            copy.name = self.new_name()
            self.nodes.append(copy)

    def new_name(self) -> str:
        """Return a name that no tensor has."""
        self._names += 1
        return f"t{self._names}"


def _rename(node: NodeProto, names: dict[str, str], new_name: Any) -> None:
    """Rename the tensors of an operation, also in the graphs inside it."""
    for place, name in enumerate(node.input):
        node.input[place] = names.get(name, name) if name else ""
    for place, name in enumerate(node.output):
        if name:
            names[name] = node.output[place] = new_name()
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            inner = dict(names)
            for value in (*attribute.g.input, *attribute.g.initializer):
                inner[value.name] = value.name = new_name()
            for one in attribute.g.node:
                _rename(one, inner, new_name)
            for value in attribute.g.output:
                value.name = inner[value.name]
