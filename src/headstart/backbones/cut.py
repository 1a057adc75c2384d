"""A network cut in two at a stage: a trunk that stays as it is, and a tail that can be trained.

The trunk's activation at the cut is computed once and kept; the tail goes on from there. Both are
made from the network's own forward pass by `torch.fx` (Reed et al. 2022, "torch.fx"), with
everything that holds no stage taken as one step, so that the tail's tensors keep the names that
they have in the whole network.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn

from headstart.backbones.backbone import LOGITS
from headstart.backbones.staged import StagedNetwork, pooled
from headstart.errors import BackboneError

PIXELS = ""
"""The cut before the first stage: all of the network is tail."""


class Trunk(nn.Module):
    """From pixels to the cut.

    Args:
        graph: from normalised pixels to the activations of `stages`, then that at the cut.
        network: gives the mean and the standard deviation, and the layout of the activations.
        stages: those up to the cut, shallow to deep.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, graph: nn.Module, network: StagedNetwork, stages: Sequence[str]) -> None:
        super().__init__()
        self.graph, self.stages = graph, tuple(stages)
        self.channels_last = network.channels_last
        self.register_buffer("mean", network.mean.clone(), persistent=False)
        self.register_buffer("std", network.std.clone(), persistent=False)
        self.requires_grad_(False)

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """What the stages up to the cut make of pictures.

        Args:
            pixels: (B, 3, H, W) float in [0, 1].

        Returns:
            (B, width) a stage, as `StagedNetwork` gives them, then the activation at the cut in
            the network's own layout, flattened: (B, numbers).
        """
        *maps, activation = self.graph((pixels - self.mean) / self.std)
        features = [pooled(one, self.channels_last) for one in maps]
        return (*features, activation.flatten(1))


class Tail(nn.Module):
    """From the cut to the logits.

    Args:
        graph: from the activation at the cut to those of `stages`. Its tensors have the names that
            they have in the whole network.
        channels_last: layout of four-dimensional activations.
        stages: those after the cut that are wanted; `LOGITS` stands for the network's own outputs.
    """

    def __init__(self, graph: nn.Module, *, channels_last: bool, stages: Sequence[str]) -> None:
        super().__init__()
        self.graph, self.stages = graph, tuple(stages)
        self.channels_last = channels_last

    def forward(self, activation: Tensor) -> tuple[Tensor, ...]:
        """What the rest of the network makes of activations at the cut.

        Args:
            activation: (B, ...) in the network's own layout; the normalised pixels
                (B, 3, H, W) where all of the network is tail.

        Returns:
            (B, width) for each of `stages`.
        """
        return tuple(pooled(one, self.channels_last) for one in self.graph(activation))


@dataclass(frozen=True, slots=True)
class Cut:
    """Both halves of a network.

    Attributes:
        trunk: None where all of the network is tail.
        tail: a copy, which may be trained.
        shape: of one picture's activation at the cut.
    """

    trunk: Trunk | None
    tail: Tail
    shape: tuple[int, ...]


def cut(network: StagedNetwork, stage: str, side: int, *, wanted: Sequence[str]) -> Cut:
    """Cut a network behind a stage.

    Args:
        network: is left as it is.
        stage: name of the last stage of the trunk; of the network's last one, the input of its
            classifier is meant. `PIXELS` for no trunk at all.
        side: of the network's input.
        wanted: stages whose features the tail is to give, and `LOGITS`; what only others need is
            left out of it. Those up to the cut are the trunk's.

    Raises:
        BackboneError: there is no such stage, the network's forward pass cannot be traced, or
            something leads past the cut.
    """
    if stage != PIXELS and stage not in network.stages:
        raise BackboneError(
            f"the network cannot be cut at {stage!r}; cut it at {', '.join(network.stages)}"
        )
    traced = _traced(network)
    places = _places(network, traced)
    start = next(node for node in traced.nodes if node.op == "placeholder")
    at = places[stage] if stage else start
    count = network.stages.index(stage) + 1 if stage else 0
    before = network.stages[:count]
    (places[LOGITS],) = next(node for node in traced.nodes if node.op == "output").args
    after = [name for name in (*network.stages[count:], LOGITS) if name in wanted]
    tail_graph = _between(traced, at, [places[name] for name in after])
    model = fx.GraphModule(copy.deepcopy(network.model), tail_graph)
    tail = Tail(model, channels_last=network.channels_last, stages=after)
    if not stage:
        return Cut(None, tail, (3, side, side))
    trunk_graph = _between(traced, start, [*(places[name] for name in before), at])
    trunk = Trunk(fx.GraphModule(network.model, trunk_graph), network, before)
    with torch.no_grad():
        normalised = torch.zeros(1, 3, side, side, device=network.mean.device)
        shape = tuple(trunk.graph(normalised)[-1].shape[1:])
    return Cut(trunk.eval(), tail.eval(), shape)


class _Tracer(fx.Tracer):
    """Looks into those modules alone that hold a stage or the classifier."""

    def __init__(self, opened: set[str]) -> None:
        super().__init__()
        self._opened = opened

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        del m
        return module_qualified_name not in self._opened


def _traced(network: StagedNetwork) -> fx.Graph:
    paths = [*network.modules_of_stages.values(), network.head]
    opened = {path[:dot] for path in paths for dot, char in enumerate(path) if char == "."}
    # What else a network may be given, such as a mask of tokens, is never given: it is no input.
    given = {
        name: one.default
        for name, one in inspect.signature(network.model.forward).parameters.items()
        if one.default is not inspect.Parameter.empty
    }
    try:
        return _Tracer(opened).trace(network.model, given)
    except Exception as error:  # tracing runs the network's own code on stand-ins for tensors
        reason = next(iter(str(error).splitlines()), repr(error))
        raise BackboneError(
            f"{type(network.model).__name__} cannot be cut in two ({reason[:200]}); "
            "train all of it, or choose another backbone"
        ) from error


def _places(network: StagedNetwork, traced: fx.Graph) -> dict[str, fx.Node]:
    """The step that computes each stage; for the last one, the input of the classifier."""
    calls = {node.target: node for node in traced.nodes if node.op == "call_module"}
    try:
        places = {name: calls[path] for name, path in network.modules_of_stages.items()}
        (places[network.stages[-1]],) = calls[network.head].args[:1]
    except (KeyError, ValueError) as error:
        raise BackboneError(
            f"{type(network.model).__name__} cannot be cut in two (it has no step {error}); "
            "choose another backbone"
        ) from error
    return places


def _between(traced: fx.Graph, start: fx.Node, results: Sequence[fx.Node]) -> fx.Graph:
    """That part of a graph that leads from one step to others.

    Raises:
        BackboneError: it needs what was computed before `start`.
    """
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {start: graph.placeholder("activation")}
    needed = _needed(results, start)
    for node in traced.nodes:
        if node in needed:
            if node.op == "placeholder":
                raise BackboneError(
                    f"something leads past the cut at {start.target}; choose another stage"
                )
            copies[node] = graph.node_copy(node, lambda one: copies[one])
    graph.output(tuple(copies[node] for node in results))
    return graph


def _needed(results: Sequence[fx.Node], start: fx.Node) -> Mapping[fx.Node, None]:
    found: dict[fx.Node, None] = {}
    pending = [node for node in results if node is not start]
    while pending:
        node = pending.pop()
        if node not in found:
            found[node] = None
            pending.extend(one for one in node.all_input_nodes if one is not start)
    return found
