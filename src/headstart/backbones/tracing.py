"""Parts of a PyTorch network as modules, from its forward pass traced by `torch.fx`.

Only modules that contain a stage are entered; every other module is one step of the trace (Reed et
al. 2022, "torch.fx"). This runs little of a network's own code, and tensors keep their names.
"""

import inspect
from collections.abc import Mapping, Sequence

from torch import fx, nn

from headstart.backbones.stages import LOGITS
from headstart.errors import BackboneError


def part_of(
    model: nn.Module,
    stages: Mapping[str, str],
    head: str,
    start: str | None,
    results: Sequence[str],
) -> nn.Module:
    """Return the part of a model that leads from one stage to others.

    Args:
        model: network from normalized pixels (B, 3, H, W) to logits.
        stages: path of the module that ends each stage, by its name, shallow to deep; the last one
            stands for the input of `head`.
        head: path of the classifier.
        start: the stage whose activation is the input; None for the pixels.
        results: the stages whose activations are returned, as a tuple; may include `LOGITS`.

    Raises:
        BackboneError: the forward pass cannot be traced, or the results depend on more than the
            activation of `start`.
    """
    traced = _traced(model, [*stages.values(), head])
    nodes = _nodes_of_stages(model, traced, stages, head)
    begin = nodes[start] if start else next(n for n in traced.nodes if n.op == "placeholder")
    return fx.GraphModule(model, _between(traced, begin, [nodes[name] for name in results]))


class _Tracer(fx.Tracer):
    """Tracer that enters only modules that contain a stage or the classifier."""

    def __init__(self, opened: set[str]) -> None:
        super().__init__()
        self._opened = opened

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        del m
        return module_qualified_name not in self._opened


def _traced(model: nn.Module, paths: Sequence[str]) -> fx.Graph:
    opened = {path[:dot] for path in paths for dot, char in enumerate(path) if char == "."}
    # Optional arguments, such as a token mask, keep their defaults and do not become inputs.
    optional = {
        name: one.default
        for name, one in inspect.signature(model.forward).parameters.items()
        if one.default is not inspect.Parameter.empty
    }
    try:
        return _Tracer(opened).trace(model, optional)
    except Exception as error:  # the network's own code runs on proxies, and may raise anything
        reason = next(iter(str(error).splitlines()), repr(error))
        raise BackboneError(
            f"{type(model).__name__} cannot be cut in two ({reason[:200]}); "
            "train the whole network, or choose another backbone"
        ) from error


def _nodes_of_stages(
    model: nn.Module, traced: fx.Graph, stages: Mapping[str, str], head: str
) -> dict[str, fx.Node]:
    """Return the node that computes each stage; for the last stage, the classifier's input."""
    calls = {node.target: node for node in traced.nodes if node.op == "call_module"}
    try:
        nodes = {name: calls[path] for name, path in stages.items()}
        (nodes[[*stages][-1]],) = calls[head].args[:1]
        (nodes[LOGITS],) = next(node for node in traced.nodes if node.op == "output").args
    except (KeyError, ValueError) as error:
        raise BackboneError(
            f"{type(model).__name__} cannot be cut in two (it has no step {error}); "
            "choose another backbone"
        ) from error
    return nodes


def _between(traced: fx.Graph, start: fx.Node, results: Sequence[fx.Node]) -> fx.Graph:
    """Return the part of a graph that computes some nodes from another one alone."""
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {start: graph.placeholder("activation")}
    needed: set[fx.Node] = set()
    pending = list(results)
    while pending:
        node = pending.pop()
        if node is not start and node not in needed:
            needed.add(node)
            pending.extend(node.all_input_nodes)
    for node in traced.nodes:
        if node in needed:
            if node.op == "placeholder":
                raise BackboneError(
                    f"the network cannot be cut after {start.target}: other paths bypass it; "
                    f"choose another stage"
                )
            copies[node] = graph.node_copy(node, lambda one: copies[one])
    graph.output(tuple(copies[node] for node in results))
    return graph
