"""A Keras model as a PyTorch network that can be watched, moved, copied and cut like any other.

Keras's own layers do the computing. But a Keras model is no tree of PyTorch modules: its layers
hang in a graph, its weights sit in variables of Keras's, and both belong to one device. Here every
operation of the graph is a module by Keras's name for it, its variables are parameters and buffers
("conv1_conv.kernel"), and Keras reads them from there (`keras.StatelessScope`, its way of computing
with weights from elsewhere). The Keras model itself stays without any numbers.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from headstart.backbones.keras_backend import import_keras
from headstart.errors import BackboneError


@dataclass(frozen=True, slots=True)
class _Value:
    """Stands for what an operation computed, in the arguments of another one."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One operation in its place in the graph.

    Attributes:
        name: of the operation.
        kind: Keras's class: "Conv2D".
        arguments: positional ones, with `_Value` for results of earlier steps.
        options: arguments by name, likewise.
        shape: of the result, with B = 1.
        joint: whether everything later depends on earlier steps through this result alone.
        convolves: whether it multiplies with a kernel (convolutions, fully connected layers).
        affine: whether it does so and no more, or normalizes: half a block.
    """

    name: str
    kind: str
    arguments: tuple[Any, ...]
    options: Mapping[str, Any]
    shape: tuple[int, ...]
    joint: bool
    convolves: bool
    affine: bool


class _Shared:
    """What copies of a network have in common, since it holds no numbers."""

    def __init__(self, operation: Any, variables: Mapping[str, Any]) -> None:
        self.operation = operation
        self.variables = variables

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


class Operation(nn.Module):
    """An operation of Keras's: its weights are parameters, its running statistics buffers."""

    def __init__(self, operation: Any) -> None:
        super().__init__()
        weights = getattr(operation, "weights", ())  # bare operations such as + have none
        # Keras numbers the unnamed ones through the whole network.
        names = [re.sub(r"^variable_\d+$", "variable", variable.name) for variable in weights]
        if len(set(names)) < len(names):  # layers within a layer
            names = [f"{name}_{index}" for index, name in enumerate(names)]
        variables = dict(zip(names, weights, strict=True))
        self.shared = _Shared(operation, variables)
        for name, variable in variables.items():
            value = variable.value.detach()
            if variable.trainable:
                self.register_parameter(name, nn.Parameter(value, requires_grad=False))
            else:
                self.register_buffer(name, value)

    def state(self) -> Iterator[tuple[Any, Tensor]]:
        """Keras's variables, each with the tensor that it stands for."""
        for name, variable in self.shared.variables.items():
            yield variable, getattr(self, name)

    def forward(self, *arguments: Any, **options: Any) -> Tensor:
        """What Keras computes; maps are (B, H, W, C)."""
        result: Tensor = self.shared.operation(*arguments, **options)
        return result


class BatchNormalization(Operation):
    """Keras's layer of that name: in training it goes by the batch, and its moments follow."""

    keeps_moments = True

    def __init__(self, layer: Any) -> None:
        super().__init__(layer)
        layer.momentum = _MOMENTUM

    def forward(self, *arguments: Any, **options: Any) -> Tensor:
        """See `Operation.forward`."""
        return super().forward(*arguments, **options, training=self.training)

    def follow(self, scope: Any) -> None:
        """Take over the moments that Keras noted in its scope."""
        with torch.no_grad():
            for variable, tensor in self.state():
                # The others are what gradients go back through: not to be touched.
                if not variable.trainable:
                    tensor.copy_(scope.get_current_value(variable))


_MOMENTUM = 0.9
"""PyTorch's. With Keras's own, 0.99 and 0.999, moments would follow for thousands of steps."""


class Entry(nn.Module):
    """From PyTorch's layout to Keras's, and to blue first where the network wants that."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.channels = list(channels)

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) RGB to (B, H, W, 3) in the network's order of colors."""
        return pixels.permute(0, 2, 3, 1)[..., self.channels]


class Normalization(nn.Module):
    """Keras's layer of that name, which keeps its statistics where no device finds them.

    EfficientNet's published weights hold ImageNet's deviations where variances belong, so Keras
    builds the network that is to get them with one more division (keras.applications.efficientnet).
    A network built for training from scratch has none, and its weights, of the same names and
    shapes, hold other numbers there. So the numbers tell what is to be done, whenever they come.

    Attributes:
        rescale: what the result is multiplied by, one number a channel; None for nothing.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, layer: Any, epsilon: float) -> None:
        super().__init__()
        self.rescale: tuple[float, ...] | None = None
        self.epsilon = epsilon
        own = layer.input_mean is None  # then they come with the weights, else with the code
        self.constants = None if own else (layer.input_mean, layer.input_variance)
        self.shared = _Shared(layer, {variable.name: variable for variable in layer.weights})
        for name, variable in self.shared.variables.items():
            self.register_buffer(name, variable.value.detach())
        self.register_load_state_dict_post_hook(_rescale)  # type: ignore[no-untyped-call]

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C)."""
        if self.constants is None:
            mean, variance = self.mean, self.variance
        else:
            mean, variance = (x.new_tensor(values) for values in self.constants)
        x = (x - mean) / variance.sqrt().clamp_min(self.epsilon)
        return x if self.rescale is None else x * x.new_tensor(self.rescale)


def _rescale(layer: Normalization, _: Any) -> None:
    if layer.constants is None:
        variance = layer.variance.tolist()
        published = np.allclose(variance, _EFFICIENTNET_STD, atol=1e-6)
        layer.rescale = tuple(1 / one**0.5 for one in _EFFICIENTNET_STD) if published else None


_EFFICIENTNET_STD = (0.229, 0.224, 0.225)


class Operations(nn.Module):
    """Operations of a Keras model, run one after the other.

    Args:
        steps: in an order in which each finds what it needs.
        operations: the modules, by the names of the steps.
        source: name of what goes in: the first step that is not among `steps`, or the `ImageEntry`.
    """

    def __init__(
        self, steps: Sequence[Step], operations: Mapping[str, nn.Module], *, source: str
    ) -> None:
        super().__init__()
        self.steps = tuple(steps)
        self.source = source
        for step in steps:
            self.add_module(step.name, operations[step.name])
        needed: dict[str, int] = {}
        for index, step in enumerate(steps):
            for value in _values((step.arguments, step.options)):
                needed[value.name] = index
        # What no later step needs is let go, so that a pass holds few maps at a time.
        self.last_uses = [
            tuple(name for name, last in needed.items() if last == index)
            for index in range(len(steps))
        ]

    def run(self, x: Tensor, wanted: Collection[str]) -> dict[str, Tensor]:
        """What the steps named `wanted` compute, in Keras's layout."""
        keras = import_keras("this network")
        modules = dict(self.named_children())
        results = {self.source: x}
        found = {}
        operations = [one for one in modules.values() if isinstance(one, Operation)]
        state = [pair for operation in operations for pair in operation.state()]
        # Keras moves tensors to the device it takes for the current one.
        with keras.device(str(x.device)), keras.StatelessScope(state_mapping=state) as scope:
            for step, spent in zip(self.steps, self.last_uses, strict=True):
                arguments = _filled(step.arguments, results)
                options = _filled(step.options, results)
                results[step.name] = modules[step.name](*arguments, **options)
                if step.name in wanted:
                    found[step.name] = results[step.name]
                for name in spent:
                    del results[name]
        for operation in operations:
            if isinstance(operation, BatchNormalization) and operation.training:
                operation.follow(scope)
        return found


class LayerGraph(Operations):
    """All operations of a Keras model."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) normalized pixels to what the last step computes."""
        last = self.steps[-1].name
        return self.run(x, {last})[last]

    def variables(self) -> dict[str, Any]:
        """Keras's variables, by the names that their numbers have in `state_dict()`."""
        return {
            f"{step}.{name}": variable
            for step, operation in self.named_children()
            if isinstance(operation, Operation | Normalization)
            for name, variable in operation.shared.variables.items()
        }

    def between(self, after: str | None, results: Sequence[str]) -> Part:
        """The part of the network behind one step and up to others; its modules are the same.

        Args:
            after: a step at a joint, whose result goes into the part; None: the beginning.
            results: the steps whose results come out, in the order of the network.

        Raises:
            BackboneError: later steps need more than the result of `after`.
        """
        names = [step.name for step in self.steps]
        begin = 0 if after is None else names.index(after) + 1
        if after is not None and not self.steps[begin - 1].joint:
            raise BackboneError(
                f"the network cannot be cut behind {after}: other paths lead past it; "
                f"choose another stage"
            )
        return Part(
            self.steps[begin : names.index(results[-1]) + 1],
            dict(self.named_children()),
            source=after or self.source,
            results=results,
        )


class Part(Operations):
    """Some operations of a Keras model; see `Operations` and `LayerGraph.between`."""

    def __init__(
        self,
        steps: Sequence[Step],
        operations: Mapping[str, nn.Module],
        *,
        source: str,
        results: Sequence[str],
    ) -> None:
        super().__init__(steps, operations, source=source)
        self.results = tuple(results)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """From what `source` computed to what each of `results` does."""
        found = self.run(x, set(self.results))
        return tuple(found[name] for name in self.results)


def layer_graph(model: Any, channels: Sequence[int], *, epsilon: float) -> LayerGraph:
    """A functional Keras model with one input and one output.

    Args:
        model: on the meta device, for inputs of one fixed size in (B, H, W, C).
        channels: which of R, G, B it expects first, second and third.
        epsilon: Keras's own (`keras.config.epsilon()`).
    """
    depths = sorted(model._nodes_by_depth, reverse=True)  # the largest is the input's
    nodes = [node for depth in depths for node in model._nodes_by_depth[depth]]
    names = {id(node.outputs[0]): node.operation.name.replace(".", "_") for node in nodes}
    pending: dict[str, int] = {}  # results with the number of steps that still need them
    for node in nodes:
        for tensor in node.input_tensors:
            pending[names[id(tensor)]] = pending.get(names[id(tensor)], 0) + 1
    open_results: set[str] = set()
    steps: list[Step] = []
    operations: dict[str, nn.Module] = {}
    for node in nodes:
        name = names[id(node.outputs[0])]
        for tensor in node.input_tensors:
            used = names[id(tensor)]
            pending[used] -= 1
            if not pending[used]:
                open_results.discard(used)
        open_results.add(name)
        steps.append(_step(node, name, names, joint=open_results == {name}))
        if node.is_input:
            operations[name] = Entry(channels)
        elif steps[-1].kind == "Normalization":
            operations[name] = Normalization(node.operation, epsilon)
        elif steps[-1].kind == "BatchNormalization":
            operations[name] = BatchNormalization(node.operation)
        else:
            operations[name] = Operation(node.operation)
    return LayerGraph(steps, operations, source=_PIXELS.name)


_PIXELS = _Value("\0pixels")  # no operation can have this name


def _step(node: Any, name: str, names: Mapping[int, str], *, joint: bool) -> Step:
    operation = node.operation
    arguments, options = (_PIXELS,), {}
    if not node.is_input:
        arguments = _symbolic(node.arguments.args, names)
        options = _symbolic(node.arguments.kwargs, names)
    weights = getattr(operation, "weights", ())
    convolves = any(weight.name.endswith("kernel") for weight in weights)
    activation = getattr(getattr(operation, "activation", None), "__name__", "linear")
    return Step(
        name=name,
        kind=type(operation).__name__,
        arguments=arguments,
        options=options,
        shape=(1, *node.outputs[0].shape[1:]),
        joint=joint,
        convolves=convolves,
        affine=(convolves and activation == "linear")
        or type(operation).__name__ == "LayerNormalization",
    )


def _symbolic(argument: Any, names: Mapping[int, str]) -> Any:
    """An argument with names for Keras's symbolic tensors."""
    if id(argument) in names:
        return _Value(names[id(argument)])
    if isinstance(argument, list | tuple):
        return type(argument)(_symbolic(one, names) for one in argument)
    if isinstance(argument, dict):
        return {key: _symbolic(one, names) for key, one in argument.items()}
    return argument


def _filled(argument: Any, results: Mapping[str, Tensor]) -> Any:
    """An argument with the results that its names stand for."""
    if isinstance(argument, _Value):
        return results[argument.name]
    if isinstance(argument, list | tuple):
        return type(argument)(_filled(one, results) for one in argument)
    if isinstance(argument, dict):
        return {key: _filled(one, results) for key, one in argument.items()}
    return argument


def _values(argument: Any) -> Iterator[_Value]:
    if isinstance(argument, _Value):
        yield argument
    elif isinstance(argument, list | tuple):
        for one in argument:
            yield from _values(one)
    elif isinstance(argument, dict):
        for one in argument.values():
            yield from _values(one)
