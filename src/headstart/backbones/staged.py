"""The PyTorch form of every backbone, from pixels in [0, 1] to stage activations and logits."""

import math
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import torch
from torch import Tensor, nn

from headstart.errors import BackboneError
from headstart.images.preprocessing import Preprocessing

# The outputs collected by the hooks of the current forward pass. A context variable, not an
# attribute of the network, so that threads and copies share no state.
_Delivery = Callable[[str, Tensor], Tensor | None]
_delivery: ContextVar[_Delivery | None] = ContextVar("delivery", default=None)


def pooled(activation: Tensor, channels_last: bool = False) -> Tensor:
    """Average an activation over its positions: (B, C).

    Args:
        activation: (B, C), returned as it is; tokens (B, T, C); (B, C, H, W), or (B, H, W, C) with
            `channels_last`.
        channels_last: layout of four-dimensional activations.
    """
    if activation.ndim == 2:
        return activation
    if activation.ndim == 3:
        return activation.mean(1)
    return activation.mean((1, 2) if channels_last else (2, 3))


def peak(activation: Tensor, channels_last: bool = False) -> Tensor:
    """Return the maxima of an activation over its positions: (B, C); otherwise like `pooled`."""
    if activation.ndim == 2:
        return activation
    if activation.ndim == 3:
        return activation.amax(1)
    return activation.amax((1, 2) if channels_last else (2, 3))


def on_grid(activation: Tensor) -> Tensor:
    """Arrange an activation by position in the image: (B, C, H, W).

    (B, C, H, W) is returned as it is. Tokens (B, T, C) are arranged on the square grid of the
    patches, row by row, without class and register tokens: these have no position and come first,
    and there are never so many that the next larger square fits. (B, C), from a fully connected
    layer, has one position.
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
    """The results of one forward pass.

    Attributes:
        maps: activations by stage, as `StagedNetwork.activations` returns them.
        features: pooled features by stage, (B, width), as from `StagedNetwork.forward`.
        logits: logits of the network's own classes, (B, classes).
    """

    maps: dict[str, Tensor]
    features: dict[str, Tensor]
    logits: Tensor


class StagedNetwork(nn.Module):
    """A frozen classifier that also returns the activations of its stages.

    It normalizes its input itself and always stays in eval mode. Gradients flow to the pixels, not
    to the weights.

    Args:
        model: network from normalized pixels (B, 3, H, W) to logits (B, classes).
        preprocessing: preprocessing with the mean and the standard deviation.
        stages: module paths in `model`, shallow to deep. The last one stands for the input of
            `head`.
        head: path of the module that computes the logits from features.
        channels_last: whether four-dimensional activations are (B, H, W, C).
        modules: the module paths of stages whose name is not a path.

    Raises:
        BackboneError: `model` has no module at one of the paths.
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
            _module(model, path).register_forward_hook(partial(_deliver_output, stage))
        _module(model, head).register_forward_pre_hook(_deliver_head_input)
        self.requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> Self:  # noqa: ARG002
        """Stay in eval mode: a frozen network must not update running statistics."""
        return super().train(False)

    def forward(self, pixels: Tensor, *, peaks: bool = False) -> tuple[Tensor, ...]:
        """Return the features of every stage, and the logits, of (B, 3, H, W) float in [0, 1].

        Returns:
            For each stage (B, width), averaged over positions (for the last one, exactly the
            input of the network's own classifier), with `peaks` also the maxima over positions of
            each stage, then the logits (B, classes).
        """
        found: dict[str, Tensor] = {}
        highest: dict[str, Tensor] = {}
        last = self.stages[-1]

        def deliver(stage: str, activation: Tensor) -> None:
            if stage != last:  # averaged immediately, to free the large map
                name = last if stage == _HEAD else stage
                found[name] = pooled(activation, self.channels_last)
            if peaks and stage != _HEAD:
                highest[stage] = peak(activation, self.channels_last)

        logits = self._run(pixels, deliver)
        # Some networks have further layers between the last positions and the classifier.
        if peaks and highest[last].shape != found[last].shape:
            highest[last] = found[last]
        maxima = (highest[stage] for stage in self.stages) if peaks else ()
        return (*(found[stage] for stage in self.stages), *maxima, logits)

    def activations(self, pixels: Tensor) -> dict[str, Tensor]:
        """Return the activations of every stage for (B, 3, H, W) float in [0, 1], not averaged.

        Returns:
            By stage: (B, C, H, W) regardless of the network's layout, (B, T, C) for tokens, (B, C)
            for fully connected layers.
        """
        return self.watch(pixels).maps

    def watch(self, pixels: Tensor) -> ForwardPass:
        """Return maps, features and logits of (B, 3, H, W) in [0, 1], connected for gradients.

        Features and logits are computed from the returned maps, so `torch.autograd.grad` of
        logits with respect to maps works if pixels require gradients.
        """
        maps: dict[str, Tensor] = {}
        features: dict[str, Tensor] = {}
        last = self.stages[-1]

        def deliver(stage: str, activation: Tensor) -> Tensor:
            if stage == _HEAD:
                features[last] = pooled(activation, self.channels_last)
                return activation
            maps[stage] = activation
            if self.channels_last and activation.ndim == 4:  # the network continues from the map
                maps[stage] = activation.permute(0, 3, 1, 2)
                activation = maps[stage].permute(0, 2, 3, 1)
            if stage != last:
                features[stage] = pooled(activation, self.channels_last)
            return activation

        logits = self._run(pixels, deliver)
        return ForwardPass(
            {stage: maps[stage] for stage in self.stages},
            {stage: features[stage] for stage in self.stages},
            logits,
        )

    def logits(self, pixels: Tensor) -> Tensor:
        """Map (B, 3, H, W) float in [0, 1] to (B, classes), before the softmax."""
        return self._run(pixels, None)

    def between(self, start: str | None, results: Sequence[str]) -> nn.Module:
        """Return a part of the network as a module that shares its weights and their names.

        Args:
            start: the stage whose activation, in the network's own layout, is the input; None for
                the normalized pixels.
            results: the stages whose activations are returned, as a tuple, shallow to deep; may
                include `LOGITS`. The last stage stands for the input of the classifier.

        Raises:
            BackboneError: the network's forward pass cannot be divided there.
        """
        from headstart.backbones.tracing import part_of  # importing torch.fx takes long

        return part_of(self.model, self.modules_of_stages, self.head, start, results)

    def first_layer(self) -> tuple[str, nn.Conv2d | nn.Linear]:
        """Return the first layer with weights, which sees the image itself, and its path."""
        for path, module in self.model.named_modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                return path, module
        raise BackboneError(f"{type(self.model).__name__} has no layer with weights")

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


def _deliver_output(stage: str, _module: nn.Module, _args: Any, output: Tensor) -> Tensor | None:
    """Hand a stage's output to the running pass: a forward hook."""
    delivery = _delivery.get()
    return None if delivery is None else delivery(stage, output)


def _deliver_head_input(_module: nn.Module, args: tuple[Tensor, ...]) -> None:
    """Hand the classifier's input to the running pass: a forward pre-hook."""
    if (delivery := _delivery.get()) is not None:
        delivery(_HEAD, args[0])


def _module(model: nn.Module, path: str) -> nn.Module:
    try:
        return model.get_submodule(path)
    except AttributeError:
        raise BackboneError(f"{type(model).__name__} has no module {path!r}") from None
