"""A network cut in two at a stage: a frozen trunk, and a tail that can be trained.

The trunk's activation at the cut is computed once and cached; the tail continues from it. The
tail's tensors keep the names that they have in the whole network, so that they can be put back.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from headstart.backbones.staged import StagedNetwork, pooled
from headstart.backbones.stages import LOGITS
from headstart.errors import BackboneError

PIXELS = ""
"""The cut before the first stage: the tail is the whole network."""


class Trunk(nn.Module):
    """The frozen part of a network, from pixels to the cut.

    Args:
        graph: module from normalized pixels to the activations of `stages`, then that at the cut.
        network: the whole network, with the normalization and the layout of activations.
        stages: names of the stages up to the cut, shallow to deep.
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
        """Return the features up to the cut, and the activation there, of (B, 3, H, W) in [0, 1].

        Returns:
            (B, width) for each stage, as from `StagedNetwork`, then the activation at the cut,
            flattened: (B, numbers).
        """
        features, activation = self.activation(pixels)
        return (*features, activation.flatten(1))

    def activation(self, pixels: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return (B, width) for each stage, and the unflattened activation at the cut.

        That is (B, C, H, W), (B, T, C) or (B, C).
        """
        *maps, last = self.graph((pixels - self.mean) / self.std)
        if self.channels_last and last.ndim == 4:
            last = last.permute(0, 3, 1, 2)
        return [pooled(one, self.channels_last) for one in maps], last


class Tail(nn.Module):
    """The trainable part of a network, from the cut to the logits.

    Args:
        graph: module from the activation at the cut to those of `stages`. Its tensors have the same
            names as in the whole network.
        channels_last: whether the network's own four-dimensional activations are (B, H, W, C).
        pixels: whether the tail is the whole network.
        stages: names of the stages after the cut to return features of; may include `LOGITS`.
    """

    def __init__(
        self, graph: nn.Module, *, channels_last: bool, pixels: bool, stages: Sequence[str]
    ) -> None:
        super().__init__()
        self.graph, self.stages = graph, tuple(stages)
        self.channels_last, self.pixels = channels_last, pixels

    def forward(self, activation: Tensor) -> tuple[Tensor, ...]:
        """Return the features of each of `stages`, (B, width).

        Args:
            activation: (B, ...) in the shape that `Trunk.activation` returns; the normalized
                pixels (B, 3, H, W) if the tail is the whole network.
        """
        if self.channels_last and not self.pixels and activation.ndim == 4:
            activation = activation.permute(0, 2, 3, 1)
        return tuple(pooled(one, self.channels_last) for one in self.graph(activation))


@dataclass(frozen=True, slots=True)
class Cut:
    """Both parts of a network.

    Attributes:
        trunk: the frozen part; None if the tail is the whole network.
        tail: a copy of the rest of the network, which may be trained.
        shape: shape of one image's activation at the cut.
    """

    trunk: Trunk | None
    tail: Tail
    shape: tuple[int, ...]


def cut(network: StagedNetwork, stage: str, side: int, *, wanted: Sequence[str]) -> Cut:
    """Cut a network after a stage.

    Args:
        network: the network, which stays unchanged.
        stage: name of the last stage of the trunk; for the network's last one, the cut is at the
            input of its classifier. `PIXELS` for no trunk.
        side: height and width of the network's input in pixels.
        wanted: names of the stages whose features are needed, and `LOGITS`. The tail computes those
            after the cut, and only what they depend on.

    Raises:
        BackboneError: there is no such stage, the network's forward pass cannot be traced, or
            later layers use activations from before the cut.
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
    """Whether a module normalizes by the batch in training, and by running moments otherwise."""
    return isinstance(module, _BatchNorm) or getattr(module, "keeps_moments", False)
