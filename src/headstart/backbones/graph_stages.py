"""Find the stages of a network in its OpenVINO graph, which has operations but no modules.

A stage is a tensor on every path from the image to the output. One is chosen before each reduction
of the resolution: of those after the last sum of branches the narrowest, because the layers that
follow it only widen it for the reduction. Transformers do not reduce the resolution; their stages
are evenly spaced sums.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from headstart.backbones.stages import LOGITS, TOKEN_BLOCKS, evenly
from headstart.errors import BackboneError

_SHRINKS = 2.25
"""Ratio of positions from which the resolution has changed: 1.5 for each side."""
_WEIGHTED = ("MatMul", "Convolution", "GroupConvolution")
_SUMS = ("Add", "Concat")  # other operations on two branches only scale one by the other
_REARRANGING = ("Reshape", "Squeeze", "Unsqueeze", "Transpose", "Convert", "Pad")
_AVERAGING = ("ReduceMean", "AvgPool")
# What may follow a classifier: it neither mixes its outputs with others nor hides them.
_AFTER_CLASSIFIER = (
    *(*_REARRANGING, *_AVERAGING),
    *("Add", "Multiply", "Softmax", "LogSoftmax", "Sigmoid"),
)


@dataclass(frozen=True, slots=True)
class Activation:
    """A tensor on every path from the input of a graph to its output.

    Attributes:
        node: friendly name of the operation that computes it.
        kind: type of that operation.
        width: number of channels.
        axes: axes of the positions, over which it is averaged.
        positions: number of positions.
        merges: whether the operation sums or joins branches.
        weighted: whether the operation has weights.
        order: place of the operation in the pass.
    """

    node: str
    kind: str
    width: int
    axes: tuple[int, ...]
    positions: int
    merges: bool
    weighted: bool
    order: int

    @property
    def name(self) -> str:
        """The name of a stage here: as in PyTorch, with dots."""
        name = self.node.strip("/").replace("/", ".")
        return f"{name}'" if name == LOGITS else name  # an output that is not a classifier's


def find_graph_stages(model: Any) -> tuple[tuple[Activation, ...], Activation]:
    """Return the stages, shallow to deep, and the output, of a graph with static shapes.

    The last stage is the input of the network's own classifier, or its output if it has none.

    Args:
        model: `openvino.Model` with one input and one output, without computed shapes.

    Raises:
        BackboneError: the output has no channels.
    """
    graph = _Graph(model)
    found = list(graph.activations())
    output = found[-1] if found else None
    if output is None or output.node != graph.nodes[-1].get_friendly_name():
        raise BackboneError("its output is not an array of channels, such as (N, C)")
    head = graph.classifier(found)
    last = output if head is None else head
    inner = [one for one in found if one.order < last.order]
    tokens = [one for one in inner if len(one.axes) == 1 and one.merges]
    if len(tokens) > 1 and len({one.positions for one in tokens}) == 1:
        chosen = evenly(tokens, TOKEN_BLOCKS)
    else:
        chosen = _before_reductions([one for one in inner if one.positions > 1])
        if chosen and graph.adds_little(chosen[-1], last):
            del chosen[-1]
    chosen += [one for one in inner if not one.axes and graph.feeds_weights(one)]
    distinct = {one.name: one for one in (*chosen, last)}  # names may repeat in foreign graphs
    return tuple(distinct.values()), output


class _Graph:
    """The operations that depend on the image, in the order of the pass."""

    def __init__(self, model: Any) -> None:
        seen = {model.inputs[0].get_node().get_friendly_name()}
        self.nodes: list[Any] = []
        self._sources: list[list[int]] = []
        places: dict[str, int] = {next(iter(seen)): -1}
        for node in model.get_ordered_ops():
            inputs = [one.get_source_output().get_node() for one in node.inputs()]
            names = [one.get_friendly_name() for one in inputs]
            sources = [places[name] for name in names if name in places]
            if sources and node.get_type_name() != "Result":
                places[node.get_friendly_name()] = len(self.nodes)
                self.nodes.append(node)
                self._sources.append(sources)
        self._last_use = [-1] * len(self.nodes)
        for order, sources in enumerate(self._sources):
            for source in sources:
                if source >= 0:
                    self._last_use[source] = order

    def activations(self) -> Iterator[Activation]:
        """Yield the tensors on every path from the image to the output."""
        pending = -1
        for order, node in enumerate(self.nodes):
            if pending <= order and node.get_output_size() == 1:
                shape = tuple(node.get_output_shape(0))
                if shape[:1] == (1,) and 2 <= len(shape) <= 4:
                    axes = _position_axes(shape)
                    yield Activation(
                        node=node.get_friendly_name(),
                        kind=node.get_type_name(),
                        width=math.prod(shape) // math.prod(shape[axis] for axis in axes),
                        axes=axes,
                        positions=math.prod(shape[axis] for axis in axes),
                        merges=node.get_type_name() in _SUMS and len(set(self._sources[order])) > 1,
                        weighted=node.get_type_name() in _WEIGHTED,
                        order=order,
                    )
            pending = max(pending, self._last_use[order])

    def classifier(self, found: Sequence[Activation]) -> Activation | None:
        """Return the input of the last layer with weights if that is a classifier."""
        weighted = [order for order, node in enumerate(self.nodes) if _has_weights(node)]
        if not weighted or weighted[-1] not in {one.order for one in found}:
            return None
        after = self.nodes[weighted[-1] + 1 :]
        if any(node.get_type_name() not in _AFTER_CLASSIFIER for node in after):
            return None
        if any(len(set(sources)) > 1 for sources in self._sources[weighted[-1] :]):
            return None
        (source,) = self._sources[weighted[-1]]
        return next((one for one in found if one.order == source), None)

    def adds_little(self, one: Activation, last: Activation) -> bool:
        """Whether the last stage has the same resolution as another one, or only averages it."""
        kinds = {node.get_type_name() for node in self.nodes[one.order + 1 : last.order + 1]}
        return one.positions == last.positions or kinds <= {*_REARRANGING, *_AVERAGING}

    def feeds_weights(self, one: Activation) -> bool:
        """Whether a hidden layer is the input of the next one."""
        following = self.nodes[one.order + 1 : one.order + 2]
        return one.kind not in _REARRANGING and any(_has_weights(node) for node in following)


def _has_weights(node: Any) -> bool:
    return node.get_type_name() in _WEIGHTED


def _position_axes(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the axes of positions of (1, C), (1, T, C), (1, C, H, W) or (1, H, W, C)."""
    if len(shape) < 4:
        return tuple(range(1, len(shape) - 1))
    return (1, 2) if shape[1] == shape[2] != shape[3] else (2, 3)


def _before_reductions(found: Sequence[Activation]) -> list[Activation]:
    """Return one activation for each resolution, but none of a first layer alone."""
    runs: list[list[Activation]] = []
    for one in found:
        if not runs or runs[-1][-1].positions >= _SHRINKS * one.positions:
            runs.append([])
        runs[-1].append(one)
    if runs and sum(one.weighted for one in runs[0]) < 2 and not any(o.merges for o in runs[0]):
        del runs[0]  # too simple for a head
    chosen = []
    for run in runs:
        start = max((place for place, one in enumerate(run) if one.merges), default=0)
        rest = [one for one in run[start:] if one.kind not in _REARRANGING] or run[-1:]
        width = min(one.width for one in rest)
        chosen.append([one for one in rest if one.width == width][-1])
    return chosen
