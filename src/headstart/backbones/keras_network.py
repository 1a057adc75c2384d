"""A functional Keras model as a PyTorch network: with hooks, copies, devices and cuts.

Keras builds the graph, divides it (`keras.Model(tensor, [tensor, ...])`) and computes every layer.
A layer is a PyTorch module by itself, but four things need more than `keras.Model`:

- Weights. Keras's modules have moving statistics as parameters, as if they were trainable; keep
  using the old tensor if one is replaced; and are copied by way of a file. Here each operation has
  a module that owns its tensors, under Keras's names, and Keras reads them from there
  (`keras.StatelessScope`). The Keras model is on the meta device, and all copies share it.
- Hooks. Operations such as `+`, which end the stages of ConvNeXt, are not modules in Keras.
- Training. `training=True` switches dropout on along with batch normalization.
- Memory. A Keras model keeps all activations of a pass until it ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, Self

import torch
from torch import Tensor, nn

from headstart.backbones.keras_backend import import_keras
from headstart.backbones.staged import StagedNetwork
from headstart.backbones.stages import LOGITS
from headstart.errors import BackboneError
from headstart.images.preprocessing import Preprocessing

_MOMENTUM = 0.9
"""PyTorch's momentum. With Keras's, 0.99 or 0.999, moments need thousands of steps to adapt."""


class _Shared(SimpleNamespace):
    """Keras objects shared by all copies of a module, because they contain no values."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


class Operation(nn.Module):
    """An operation of Keras's: its weights are parameters, its moving statistics buffers."""

    def __init__(self, operation: Any) -> None:
        super().__init__()
        weights = getattr(operation, "weights", ())  # `+` has none
        # Keras numbers unnamed variables through the whole network.
        names = [re.sub(r"^variable_\d+$", "variable", variable.name) for variable in weights]
        if len(set(names)) < len(names):  # layers within a layer
            names = [f"{name}_{index}" for index, name in enumerate(names)]
        variables = dict(zip(names, weights, strict=True))
        self.shared = _Shared(operation=operation, variables=variables)
        for name, variable in variables.items():
            value = variable.value.detach()
            if variable.trainable:
                self.register_parameter(name, nn.Parameter(value, requires_grad=False))
            else:
                self.register_buffer(name, value)

    def state(self) -> Iterator[tuple[Any, Tensor]]:
        """Yield Keras's variables, each with the tensor that contains its value."""
        for name, variable in self.shared.variables.items():
            yield variable, getattr(self, name)

    def forward(self, *arguments: Any, **options: Any) -> Tensor:
        """Run the Keras operation; maps are (B, H, W, C)."""
        result: Tensor = self.shared.operation(*arguments, **options)
        return result


class BatchNormalization(Operation):
    """Keras's batch normalization: uses the batch's moments in training and updates its own."""

    keeps_moments = True

    def __init__(self, layer: Any) -> None:
        super().__init__(layer)
        layer.momentum = _MOMENTUM

    def forward(self, *arguments: Any, **options: Any) -> Tensor:
        """Normalize (B, H, W, C)."""
        return super().forward(*arguments, **options, training=self.training)

    def update_moments(self, scope: Any) -> None:
        """Store the moments that Keras recorded in its scope."""
        with torch.no_grad():
            for variable, tensor in self.state():
                # The other values are needed for gradients and must not be modified.
                if not variable.trainable:
                    tensor.copy_(scope.get_current_value(variable))


class Normalization(Operation):
    """A Keras layer that computes with copies of its variables."""

    mean: Tensor
    variance: Tensor

    def forward(self, x: Tensor) -> Tensor:  # a scope replaces variables, not their copies
        """Normalize (B, H, W, C) by channel."""
        layer = self.shared.operation
        if layer.input_mean is None:
            mean, variance = self.mean, self.variance
        else:
            mean, variance = x.new_tensor(layer.input_mean), x.new_tensor(layer.input_variance)
        epsilon = import_keras("this network").config.epsilon()
        return (x - mean) / variance.sqrt().clamp_min(epsilon)


class Entry(nn.Module):
    """Conversion from PyTorch's layout to Keras's, in the network's channel order."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.channels = list(channels)

    def forward(self, pixels: Tensor) -> Tensor:
        """Convert (B, 3, H, W) RGB to (B, H, W, 3) in the network's channel order."""
        return pixels.permute(0, 2, 3, 1)[..., self.channels]


class KerasModule(nn.Module):
    """A functional Keras model with one input, or a part of one.

    Args:
        model: the `keras.Model`, on the meta device.
        operations: modules by Keras's names of the operations, for all operations of `model`.
        is_part: whether to return a tuple with one tensor per output instead of a tensor.
    """

    def __init__(
        self, model: Any, operations: Mapping[str, nn.Module], *, is_part: bool = False
    ) -> None:
        super().__init__()
        nodes = [n for _, level in sorted(model._nodes_by_depth.items())[::-1] for n in level]
        last_uses = {id(tensor): node for node in nodes for tensor in node.input_tensors}
        unneeded: dict[int, list[int]] = {id(node): [] for node in nodes}
        for key in last_uses.keys() - {id(output) for output in model.outputs}:
            unneeded[id(last_uses[key])].append(key)
        self.shared = _Shared(model=model, schedule=[(n, unneeded[id(n)]) for n in nodes])
        self.is_part = is_part
        for node in nodes:
            if node.operation.name in operations:  # not the input of a part
                self.add_module(node.operation.name, operations[node.operation.name])

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Compute the outputs.

        Args:
            x: (B, 3, H, W) normalized pixels, or for a part the activation that it starts from, in
                Keras's layout, as are the outputs.
        """
        keras, model = import_keras("this network"), self.shared.model
        modules = dict(self.named_children())
        operations = [one for one in modules.values() if isinstance(one, Operation)]
        state = [pair for operation in operations for pair in operation.state()]
        values: dict[int, Tensor] = {}
        # Keras moves tensors to the device that it considers current.
        with keras.device(str(x.device)), keras.StatelessScope(state_mapping=state) as scope:
            for node, unneeded in self.shared.schedule:
                module = modules.get(node.operation.name)
                if node.is_input:
                    result = x if module is None else module(x)
                else:
                    arguments, options = node.arguments.fill_in(values)
                    result = modules[node.operation.name](*arguments, **options)
                values[id(node.outputs[0])] = result
                for key in unneeded:
                    del values[key]
        for operation in operations:
            if isinstance(operation, BatchNormalization) and operation.training:
                operation.update_moments(scope)
        outputs = tuple(values[id(output)] for output in model.outputs)
        return outputs if self.is_part else outputs[0]

    def variables(self) -> dict[str, Any]:
        """Return Keras's variables by the names that their values have in `state_dict()`."""
        return {
            f"{path}.{name}": variable
            for path, operation in self.named_children()
            if isinstance(operation, Operation)
            for name, variable in operation.shared.variables.items()
        }

    def part(self, start: str | None, results: Sequence[str]) -> KerasModule:
        """Return a part of the network, which shares its modules.

        `start` is None for the pixels, else the operation whose result is the part's input; the
        results of the operations `results` are returned.

        Raises:
            BackboneError: the results need more than that of `start`.
        """
        keras, model = import_keras("this network"), self.shared.model
        outputs = {operation.name: operation.output for operation in model.operations}
        try:
            part = keras.Model(
                outputs[start] if start else model.inputs[0], [outputs[name] for name in results]
            )
        except ValueError as error:
            raise BackboneError(
                f"the network cannot be cut after {start}: other paths bypass it; "
                f"choose another stage"
            ) from error
        return KerasModule(part, dict(self.named_children()), is_part=True)


def keras_module(model: Any, channels: Sequence[int]) -> KerasModule:
    """Convert a functional Keras model with one input and one output to a PyTorch module.

    The model is on the meta device, for inputs (B, H, W, 3) of one size; `channels` are the indices
    of R, G, B in the order that it expects.
    """
    kinds = {"BatchNormalization": BatchNormalization, "Normalization": Normalization}
    operations: dict[str, nn.Module] = {
        operation.name: kinds.get(type(operation).__name__, Operation)(operation)
        for operation in model.operations[1:]
    }
    return KerasModule(model, {model.operations[0].name: Entry(channels), **operations})


class KerasNetwork(StagedNetwork):
    """A frozen Keras classifier with its activations; see `StagedNetwork`."""

    model: KerasModule

    def __init__(
        self, model: KerasModule, preprocessing: Preprocessing, stages: Sequence[str], *, head: str
    ) -> None:
        super().__init__(model, preprocessing, stages, head=head, channels_last=True)

    def between(self, start: str | None, results: Sequence[str]) -> nn.Module:
        """See `StagedNetwork.between`; uses Keras's graph, which needs no tracing."""
        model = self.model.shared.model
        producers = {id(operation.output): operation.name for operation in model.operations}
        names = {stage: stage for stage in self.stages}
        names[self.stages[-1]] = producers[id(model.get_layer(self.head).input)]
        names[LOGITS] = producers[id(model.outputs[0])]
        return self.model.part(names[start] if start else None, [names[name] for name in results])

    def first_layer(self) -> tuple[str, nn.Conv2d]:
        """See `StagedNetwork.first_layer`; the kernel is in the order of red, green and blue."""
        channels = next(m.channels for m in self.model.children() if isinstance(m, Entry))
        for name, module in self.model.named_children():
            kernel = getattr(module, "kernel", None)
            if kernel is not None:
                height, width, inputs, outputs = kernel.shape
                layer = nn.Conv2d(inputs, outputs, (height, width), device="meta")
                order = [channels.index(color) for color in range(3)]
                filters = kernel.detach().permute(3, 2, 0, 1)[:, order]
                layer.weight = nn.Parameter(filters, requires_grad=False)
                return name, layer
        raise BackboneError("the network has no convolution")
