"""The PyTorch form of every backbone: pixels in [0, 1] to stage activations and logits."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from headstart.backbones.backbone import Backbone, Stage, Tensors
from headstart.backbones.tensors import frozen, without_counters
from headstart.errors import BackboneError
from headstart.images.preprocessing import Preprocessing

# Where the hooks of the running forward pass deliver. A context variable, not an attribute of the
# network: threads do not see each other's pass, nothing stays behind, and copies share no state.
_Delivery = Callable[[str, Tensor], Tensor | None]
_delivery: ContextVar[_Delivery | None] = ContextVar("delivery", default=None)


def pooled(activation: Tensor, channels_last: bool = False) -> Tensor:
    """Average an activation over its positions.

    (B, C) stays; (B, T, C) tokens become (B, C); (B, C, H, W), or (B, H, W, C) where
    `channels_last`, becomes (B, C).
    """
    if activation.ndim == 2:
        return activation
    if activation.ndim == 3:
        return activation.mean(1)
    return activation.mean((1, 2) if channels_last else (2, 3))


def on_grid(activation: Tensor) -> Tensor:
    """An activation with its positions where they are in the picture.

    Args:
        activation: (B, C, H, W) stays. (B, T, C), tokens, is laid out on the square grid of the
            patches, row by row; class and register tokens belong to no place, come first, and are
            left out. There are never so many of them that the next larger square fits. (B, C),
            fully connected, has one position.

    Returns:
        (B, C, H, W).
    """
    if activation.ndim == 2:
        return activation[:, :, None, None]
    if activation.ndim == 3:
        tokens = activation.shape[1]
        side = math.isqrt(tokens)
        patches = activation[:, tokens - side * side :]
        return patches.transpose(1, 2).reshape(len(patches), -1, side, side)
    return activation


@dataclass(frozen=True, slots=True)
class ForwardPass:
    """What one pass computed.

    Attributes:
        maps: by stage, as `StagedNetwork.activations` gives them.
        features: by stage, as `StagedNetwork.forward` gives them: (B, width).
        logits: (B, classes).
    """

    maps: dict[str, Tensor]
    features: dict[str, Tensor]
    logits: Tensor


class StagedNetwork(nn.Module):
    """A frozen classifier that shows what it computes on the way.

    It normalizes its input itself, stays in eval mode whatever happens to it, and needs no
    gradients for its weights; gradients for the pixels flow.

    Args:
        model: maps normalized pixels (B, 3, H, W) to logits (B, classes).
        preprocessing: gives the mean and the standard deviation.
        stages: from the shallowest to the deepest: module paths in `model`. The last one stands
            for the input of `head`.
        head: path of the module that computes the logits from features.
        channels_last: whether four-dimensional activations are (B, H, W, C).
        modules: the module path of a stage whose name is not one.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        model: nn.Module,
        preprocessing: Preprocessing,
        stages: Sequence[str],
        *,
        head: str,
        channels_last: bool = False,
        modules: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.stages = tuple(stages)
        self.channels_last = channels_last
        for name, values in (("mean", preprocessing.mean), ("std", preprocessing.std)):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)
        self.head = head
        self.modules_of_stages = {stage: (modules or {}).get(stage, stage) for stage in stages}
        for stage, path in self.modules_of_stages.items():
            _module(model, path).register_forward_hook(_Tap(stage))
        _module(model, head).register_forward_pre_hook(_HeadTap())
        self.requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> Self:  # noqa: ARG002
        """Stays in eval mode: a frozen network has no running statistics to move."""
        return super().train(False)

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """What every stage makes of pictures.

        Args:
            pixels: (B, 3, H, W) float in [0, 1].

        Returns:
            (B, width) a stage, averaged over positions (of the last one, exactly what the
            network's own classifier sees), then the logits (B, classes).
        """
        found: dict[str, Tensor] = {}

        def deliver(stage: str, activation: Tensor) -> None:
            # Averaged at once, so that no large map outlives its layer.
            if stage == _HEAD:
                found[self.stages[-1]] = pooled(activation, self.channels_last)
            elif stage != self.stages[-1]:
                found[stage] = pooled(activation, self.channels_last)

        logits = self._run(pixels, deliver)
        return (*(found[stage] for stage in self.stages), logits)

    def activations(self, pixels: Tensor) -> dict[str, Tensor]:
        """The maps behind `forward`, not averaged, by stage.

        Args:
            pixels: (B, 3, H, W) float in [0, 1].

        Returns:
            By stage: (B, C, H, W) whatever the network's own layout, (B, T, C) where it computes
            on tokens, (B, C) in its fully connected layers.
        """
        return self.watch(pixels).maps

    def watch(self, pixels: Tensor) -> ForwardPass:
        """All of one pass, joined for gradients: features and logits depend on the very maps.

        So `torch.autograd.grad(logits[:, k].sum(), maps[stage])` works if pixels require gradients.
        """
        maps: dict[str, Tensor] = {}
        features: dict[str, Tensor] = {}

        def deliver(stage: str, activation: Tensor) -> Tensor | None:
            if stage == _HEAD:
                features[self.stages[-1]] = pooled(activation, self.channels_last)
                return None
            if self.channels_last and activation.ndim == 4:
                maps[stage] = activation.permute(0, 3, 1, 2)
                activation = maps[stage].permute(0, 2, 3, 1)
            else:
                maps[stage] = activation
            if stage != self.stages[-1]:
                features[stage] = pooled(activation, self.channels_last)
            return activation

        logits = self._run(pixels, deliver)
        return ForwardPass(
            {stage: maps[stage] for stage in self.stages},
            {stage: features[stage] for stage in self.stages},
            logits,
        )

    def logits(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) float in [0, 1] to (B, classes), before the softmax."""
        return self._run(pixels, None)

    def between(self, start: str | None, results: Sequence[str]) -> nn.Module:
        """Part of the network as a module that shares its weights and their names.

        Args:
            start: the stage whose activation, in the network's own layout, goes in; None for the
                normalized pixels.
            results: the stages whose activations come out, as a tuple, shallow to deep; `LOGITS`
                too. The last stage stands for the input of the classifier.

        Raises:
            BackboneError: the network's forward pass cannot be divided there.
        """
        from headstart.backbones.tracing import part_of  # torch.fx takes its time to import

        return part_of(self.model, self.modules_of_stages, self.head, start, results)

    def first_layer(self) -> tuple[str, nn.Conv2d | nn.Linear]:
        """The layer that looks at the picture itself, and its path."""
        for path, module in self.model.named_modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                return path, module
        raise BackboneError(f"{type(self.model).__name__} has no layer of weights")

    def _run(self, pixels: Tensor, delivery: _Delivery | None) -> Tensor:
        if pixels.ndim != 4 or pixels.shape[1] != 3:
            raise BackboneError(
                f"pixels have shape {tuple(pixels.shape)}; give RGB as (B, 3, H, W) in [0, 1]"
            )
        token = _delivery.set(delivery)
        try:
            logits: Tensor = self.model((pixels - self.mean) / self.std)
        finally:
            _delivery.reset(token)
        return logits


_HEAD = "\0head"  # no module can have this name


class _Tap:
    """A forward hook that hands a module's output to the running pass."""

    def __init__(self, stage: str) -> None:
        self.stage = stage

    def __call__(self, _module: nn.Module, _args: Any, output: Tensor) -> Tensor | None:
        delivery = _delivery.get()
        return None if delivery is None else delivery(self.stage, output)


class _HeadTap:
    """A forward pre-hook that hands the classifier's input to the running pass."""

    def __call__(self, _module: nn.Module, args: tuple[Tensor, ...]) -> None:
        delivery = _delivery.get()
        if delivery is not None:
            delivery(_HEAD, args[0])


def _module(model: nn.Module, path: str) -> nn.Module:
    try:
        return model.get_submodule(path)
    except AttributeError:
        raise BackboneError(f"{type(model).__name__} has no module {path!r}") from None


def stages_of(network: StagedNetwork, side: int) -> tuple[Stage, ...]:
    """The stages of a network with the widths measured on one black picture of `side` pixels."""
    with torch.no_grad():
        device = network.mean.device
        outputs = network(torch.zeros(1, 3, side, side, device=device))
    return tuple(
        Stage(name, output.shape[1]) for name, output in zip(network.stages, outputs, strict=False)
    )


def forms(network: StagedNetwork) -> dict[str, Any]:
    """Those fields of a `Backbone` that hold its weights, for a network that PyTorch runs."""
    return {
        "network": partial(copy.deepcopy, network),
        "tensors": partial(_tensors, network),
        "refill": partial(_refilled, network),
    }


def _tensors(network: StagedNetwork) -> dict[str, np.ndarray]:
    state = {name: value.numpy() for name, value in network.model.state_dict().items()}
    return frozen(without_counters(state))  # they share the network's own memory


def _refilled(network: StagedNetwork, backbone: Backbone, tensors: Tensors) -> Backbone:
    other = copy.deepcopy(network)
    fill(other.model, tensors, name=backbone.name)
    return replace(backbone, **forms(other.requires_grad_(False)))


def fill(model: nn.Module, tensors: Mapping[str, np.ndarray], *, name: str) -> None:
    """Put weights in a model, all of them and nothing else.

    Args:
        model: on the meta device or not; its tensors are replaced.
        tensors: by name; counters of batch normalization may be missing.
        name: the backbone's, for messages.

    Raises:
        BackboneError: a tensor is missing, of another shape, or has no place.
    """
    expected = model.state_dict()
    state: dict[str, Tensor] = {}
    for key, place in expected.items():
        if key not in tensors:
            if key.endswith("num_batches_tracked"):  # files older than 2018 lack it; unused here
                state[key] = torch.zeros((), dtype=place.dtype)
                continue
            raise BackboneError(f"these weights do not fit {name}: {key} is missing; {_ADVICE}")
        if tensors[key].shape != tuple(place.shape):
            raise BackboneError(
                f"these weights do not fit {name}: {key} is {tensors[key].shape} "
                f"where the network has {tuple(place.shape)}; {_ADVICE}"
            )
        state[key] = torch.tensor(tensors[key], dtype=place.dtype)
    if spare := [key for key in tensors if key not in expected]:
        raise BackboneError(
            f"these weights do not fit {name}: it has no place for {spare[0]}; {_ADVICE}"
        )
    # Modules that changed their format look at the version; the names above are the current ones.
    current = type(expected)(state)
    current._metadata = expected._metadata  # type: ignore[attr-defined]
    model.load_state_dict(current, strict=True, assign=True)


_ADVICE = "give the file that belongs to this network"
