"""A network's forward pass as a graph of steps, and parts of it as modules, by `torch.fx`.

Everything that holds no stage is taken as one step (Reed et al. 2022, "torch.fx"), so that tracing
meets no more of a network's own code than it must, and tensors keep the names they have in it.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence

from torch import fx, nn

from headstart.backbones.backbone import LOGITS
from headstart.errors import BackboneError


def part_of(
    model: nn.Module,
    stages: Mapping[str, str],
    head: str,
    start: str | None,
    results: Sequence[str],
) -> nn.Module:
    """What a model computes between two places.

    Args:
        model: maps normalized pixels (B, 3, H, W) to logits.
        stages: path of the module that ends each stage, by its name, shallow to deep; the last one
            stands for the input of `head`.
        head: path of the classifier.
        start: the stage whose activation goes in; None for the pixels.
        results: the stages whose activations come out, as a tuple; `LOGITS` too.

    Raises:
        BackboneError: the forward pass cannot be traced, or something leads past `start`.
    """
    traced = _traced(model, [*stages.values(), head])
    places = _places(model, traced, stages, head)
    begin = places[start] if start else next(n for n in traced.nodes if n.op == "placeholder")
    return fx.GraphModule(model, _between(traced, begin, [places[name] for name in results]))


class _Tracer(fx.Tracer):
    """Looks into those modules alone that hold a stage or the classifier."""

    def __init__(self, opened: set[str]) -> None:
        super().__init__()
        self._opened = opened

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        del m
        return module_qualified_name not in self._opened


def _traced(model: nn.Module, paths: Sequence[str]) -> fx.Graph:
    opened = {path[:dot] for path in paths for dot, char in enumerate(path) if char == "."}
    # What else a network may be given, such as a mask of tokens, is never given: it is no input.
    given = {
        name: one.default
        for name, one in inspect.signature(model.forward).parameters.items()
        if one.default is not inspect.Parameter.empty
    }
    try:
        return _Tracer(opened).trace(model, given)
    except Exception as error:  # tracing runs the network's own code on stand-ins for tensors
        reason = next(iter(str(error).splitlines()), repr(error))
        raise BackboneError(
            f"{type(model).__name__} cannot be cut in two ({reason[:200]}); "
            "train all of it, or choose another backbone"
        ) from error


def _places(
    model: nn.Module, traced: fx.Graph, stages: Mapping[str, str], head: str
) -> dict[str, fx.Node]:
    """The step that computes each stage; for the last one, the input of the classifier."""
    calls = {node.target: node for node in traced.nodes if node.op == "call_module"}
    try:
        places = {name: calls[path] for name, path in stages.items()}
        (places[[*stages][-1]],) = calls[head].args[:1]
        (places[LOGITS],) = next(node for node in traced.nodes if node.op == "output").args
    except (KeyError, ValueError) as error:
        raise BackboneError(
            f"{type(model).__name__} cannot be cut in two (it has no step {error}); "
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
