"""Find the stages of a PyTorch network from the shapes in one forward pass.

Wherever the image shrinks, the last block before that is a stage; so is the input of the network's
own classifier. Vision transformers do not shrink the image; their stages are evenly spaced blocks.
The pass needs only shapes, so the network may be on PyTorch's meta device, without weights.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from headstart.backbones.stages import TOKEN_BLOCKS, Stage, evenly
from headstart.errors import BackboneError

_SHRINKS = 1.5  # InceptionV3 loses two pixels in some layers without a change of resolution
_WIDENS = 1.4  # ratio from which the block before a final 1 x 1 convolution is a stage
# Modules that only rearrange values; no stage is named after one.
_PASSIVE = re.compile(r"Pool|Drop|Identity|Flatten|Permute")
_AFFINE = (nn.Linear, nn.Conv2d, nn.LayerNorm)  # the module that follows completes the block
# The first convolution of networks that continue with blocks: too simple for a head.
STEM = re.compile(r"(relu|act1|bn1|stem|conv1|features\.(relu|norm)0)(\.\d+)?")
# Modules whose children are blocks; every other module is one block. "encoder" is torchvision's
# name for the wrapper around a transformer's blocks.
_CONTAINERS = (nn.Sequential, nn.ModuleList)
_WRAPPER = "encoder"
_NEARLY_ALL = 0.8  # share of the weights in what only wraps the network
_CLASSIFIERS = (nn.Linear, nn.Conv2d)


@dataclass(frozen=True, slots=True)
class Output:
    """The output of a module for one image: the module's path, and the shape with B = 1."""

    path: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Trace:
    """One forward pass, up to the network's own classifier.

    Attributes:
        outputs: outputs of all modules except pooling, dropout and the like, in the order of the
            pass.
        head: path of the layer that computes the logits.
        width: number of features that `head` receives, after averaging over positions.
    """

    outputs: tuple[Output, ...]
    head: str
    width: int


def trace(
    model: nn.Module, side: int, *, head: str | None = None, channels_last: bool = False
) -> Trace:
    """Record the shapes in a forward pass of one black image through a model in eval mode.

    Args:
        model: network from (1, 3, side, side) to logits, on any device.
        side: height and width of the image in pixels.
        head: path of the classifier; by default the last linear or convolutional layer that runs.
        channels_last: whether four-dimensional activations are (B, H, W, C).

    Raises:
        BackboneError: no classifier ran.
    """
    events: list[tuple[str, Tensor, bool]] = []
    modules = dict(model.named_modules())
    paths = {module: path for path, module in modules.items() if path}

    def before(module: nn.Module, args: tuple[Any, ...]) -> None:
        if args and isinstance(args[0], Tensor):
            events.append((paths[module], args[0], True))

    def after(module: nn.Module, _args: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            events.append((paths[module], output, False))

    handles = [module.register_forward_pre_hook(before) for module in paths]
    handles += [module.register_forward_hook(after) for module in paths]
    try:
        device = next((one.device for one in model.parameters()), None)
        with torch.no_grad():
            model(torch.zeros(1, 3, side, side, device=device))
    finally:
        for handle in handles:
            handle.remove()
    heads = [
        index
        for index, (path, _, begins) in enumerate(events)
        if begins and (path == head if head else isinstance(modules[path], _CLASSIFIERS))
    ]
    if not heads:
        raise BackboneError(f"{type(model).__name__} has no classifier that headstart can find")
    path, features, _ = events[heads[-1]]
    outputs = tuple(
        Output(name, tuple(output.shape))
        for name, output, begins in events[: heads[-1]]
        if not begins and not _PASSIVE.search(type(modules[name]).__name__)
    )
    return Trace(outputs, path, width_of(tuple(features.shape), channels_last))


def width_of(shape: Sequence[int], channels_last: bool = False) -> int:
    """Return the channels C of a shape (B, C), (B, T, C), (B, C, H, W) or (B, H, W, C)."""
    return shape[1] if len(shape) == 4 and not channels_last else shape[-1]


def find_stages(
    model: nn.Module,
    side: int,
    *,
    head: str | None = None,
    channels_last: bool = False,
    wrappers: Collection[str] = (_WRAPPER,),
) -> tuple[tuple[Stage, ...], str]:
    """Return the stages, shallow to deep, and the path of the classifier; see `trace`.

    `wrappers` are the paths of modules that contain blocks, besides sequences and lists.
    """
    seen = trace(model, side, head=head, channels_last=channels_last)
    blocks = set(_blocks(model, wrappers))
    outputs = [output for output in seen.outputs if output.path in blocks]
    if not outputs:
        raise BackboneError(f"{type(model).__name__} has no blocks that headstart can find")
    whole = [o for o in outputs if not isinstance(model.get_submodule(o.path), _AFFINE)]
    tokens = [output for output in whole if len(output.shape) == 3]
    blocks_of_parent = Counter(_parent(output.path) for output in tokens)
    tokens = [one for one in tokens if blocks_of_parent.most_common(1)[0][0] == _parent(one.path)]
    maps = [output for output in whole if len(output.shape) == 4]
    maps = [one for one in maps if not STEM.fullmatch(_inside(one.path, wrappers))]
    chosen = evenly(tokens, TOKEN_BLOCKS) if tokens else shrinking(maps, channels_last)
    chosen += [output for output in whole if len(output.shape) == 2]  # hidden layers
    chosen.append(outputs[-1])
    # In the order of the pass, without duplicates.
    ordered = [output for output in outputs if output in chosen]
    names = [output.path for output in ordered]
    stages = [
        Stage(_outermost(model, output.path, names), width_of(output.shape, channels_last))
        for output in ordered[:-1]
    ]
    return (*stages, Stage(_outermost(model, names[-1], names), seen.width)), seen.head


def shrinking(maps: Sequence[Output], channels_last: bool) -> list[Output]:
    """Return the last block at every resolution, and the one before a final wider convolution.

    Args:
        maps: outputs of the blocks in the order of the pass: (1, C, H, W), or (1, H, W, C) with
            `channels_last`.
        channels_last: whether the shapes are (1, H, W, C).
    """
    sides = [output.shape[1 if channels_last else 2] for output in maps]
    widths = [width_of(output.shape, channels_last) for output in maps]
    chosen = [
        output
        for output, (side, then) in zip(maps, pairwise([*sides, 0]), strict=True)
        if side >= _SHRINKS * then and not STEM.fullmatch(output.path)
    ]
    narrower = [index for index, width in enumerate(widths) if width != widths[-1]]
    # Not if that narrower block changed the resolution.
    if narrower and sides[narrower[-1] - 1] == sides[-1]:
        index = narrower[-1]
        if widths[-1] >= _WIDENS * widths[index]:
            chosen.append(maps[index])
    return chosen


def _inside(path: str, wrappers: Collection[str]) -> str:
    """Return a path as it is in the innermost wrapper."""
    prefixes = [f"{one}." for one in wrappers if path.startswith(f"{one}.")]
    return path.removeprefix(max(prefixes, key=len, default=""))


def _parent(path: str) -> str:
    return path.rpartition(".")[0]


def wrappers_of(model: nn.Module) -> frozenset[str]:
    """Return the paths of the modules, inside each other, that contain nearly the whole network."""
    found, prefix = {_WRAPPER}, ""
    while True:
        sizes = {
            prefix + name: sum(one.numel() for one in child.parameters())
            for name, child in model.get_submodule(prefix.rstrip(".")).named_children()
        }
        path = max(sizes, key=lambda one: sizes[one], default="")
        if not path or sizes[path] < _NEARLY_ALL * sum(sizes.values()):
            return frozenset(found)
        found.add(path)
        prefix = f"{path}."


def _blocks(module: nn.Module, wrappers: Collection[str], prefix: str = "") -> Iterator[str]:
    for name, child in module.named_children():
        path = prefix + name
        if type(child) in _CONTAINERS or (path in wrappers and next(child.children(), None)):
            yield from _blocks(child, wrappers, f"{path}.")
        else:
            yield path


def _outermost(model: nn.Module, path: str, others: Sequence[str]) -> str:
    """Return the path of the container that ends in this block, unless it has another stage."""
    while "." in path:
        parent, _, name = path.rpartition(".")
        container = model.get_submodule(parent)
        last = [child for child, _ in container.named_children()][-1]
        inside = [other for other in others if other.startswith(f"{parent}.")]
        if type(container) is not nn.Sequential or name != last or len(inside) > 1:
            break
        path = parent
    return path
