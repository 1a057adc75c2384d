"""A network cut in two at a stage: a trunk that stays as it is, and a tail that can be trained.

The trunk's activation at the cut is computed once and kept; the tail goes on from there. The tail's
tensors keep the names that they have in the whole network, so that they can be put back.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from headstart.backbones.backbone import LOGITS
from headstart.backbones.staged import StagedNetwork, pooled
from headstart.errors import BackboneError

PIXELS = ""
"""The cut before the first stage: all of the network is tail."""


class Trunk(nn.Module):
    """From pixels to the cut.

    Args:
        graph: from normalized pixels to the activations of `stages`, then that at the cut.
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
            (B, width) a stage, as `StagedNetwork` gives them, then the activation at the cut,
            flattened: (B, numbers).
        """
        features, activation = self.activation(pixels)
        return (*features, activation.flatten(1))

    def activation(self, pixels: Tensor) -> tuple[list[Tensor], Tensor]:
        """(B, width) a stage, and the activation at the cut: (B, C, H, W), (B, T, C) or (B, C)."""
        *maps, last = self.graph((pixels - self.mean) / self.std)
        if self.channels_last and last.ndim == 4:
            last = last.permute(0, 3, 1, 2)
        return [pooled(one, self.channels_last) for one in maps], last


class Tail(nn.Module):
    """From the cut to the logits.

    Args:
        graph: from the activation at the cut to those of `stages`. Its tensors have the names that
            they have in the whole network.
        channels_last: whether the network's own four-dimensional activations are (B, H, W, C).
        pixels: whether there is no trunk.
        stages: those after the cut that are wanted; `LOGITS` stands for the network's own outputs.
    """

    def __init__(
        self, graph: nn.Module, *, channels_last: bool, pixels: bool, stages: Sequence[str]
    ) -> None:
        super().__init__()
        self.graph, self.stages = graph, tuple(stages)
        self.channels_last, self.pixels = channels_last, pixels

    def forward(self, activation: Tensor) -> tuple[Tensor, ...]:
        """What the rest of the network makes of activations at the cut.

        Args:
            activation: (B, ...) as the trunk gives it, in its shape; the normalized pixels
                (B, 3, H, W) where all of the network is tail.

        Returns:
            (B, width) for each of `stages`.
        """
        if self.channels_last and not self.pixels and activation.ndim == 4:
            activation = activation.permute(0, 2, 3, 1)
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
    count = network.stages.index(stage) + 1 if stage else 0
    before = network.stages[:count]
    after = [name for name in (*network.stages[count:], LOGITS) if name in wanted]
    tail = Tail(
        copy.deepcopy(network).between(stage or None, after),
        channels_last=network.channels_last,
        pixels=not stage,
        stages=after,
    ).eval()
    if not stage:
        return Cut(None, tail, (3, side, side))
    trunk = Trunk(network.between(None, [*before, stage]), network, before).eval()
    with torch.no_grad():
        blank = torch.zeros(1, 3, side, side, device=network.mean.device)
        shape = tuple(trunk.activation(blank)[1].shape[1:])
    return Cut(trunk, tail, shape)


def keeps_moments(module: nn.Module) -> bool:
    """Whether a module goes by a batch's moments in training, and by running ones in use."""
    return isinstance(module, _BatchNorm) or getattr(module, "keeps_moments", False)
