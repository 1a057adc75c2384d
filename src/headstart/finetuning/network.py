"""What is trained: the tail of a network and a linear head on some of its stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from headstart.backbones.cut import Cut, keeps_moments
from headstart.finetuning.settings import BatchNorm
from headstart.heads.logistic import LinearHead
from headstart.heads.standardization import Standardization
from headstart.types import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadPlacement:
    """Where a head grows, and what it sees there before the tail is trained.

    Attributes:
        stages: names, shallow to deep; `LOGITS` stands for the network's own outputs.
        head: from the features of those stages to logits.
        temperature: that they are divided by.
        moments: of the features over the training images.
    """

    stages: tuple[str, ...]
    head: LinearHead
    temperature: float
    moments: Standardization


class TunedNetwork(nn.Module):
    """A tail with a head, from the activation at the cut to the logits of the classes.

    The head works on standardized features, so that one learning rate suits all of them; `folded`
    gives it back on plain ones. It begins as the probe, its temperature included.

    Args:
        cut: the network in two halves; the tail is trained.
        graft: the probe.
        before: stages up to the cut, whose features are given and not computed.
        dropout: share of the head's features left out in training.
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self, cut: Cut, graft: HeadPlacement, before: Sequence[str], *, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.tail = cut.tail.requires_grad_(True)
        self.stages, self.before = graft.stages, tuple(before)
        self.shape = cut.shape
        self.register_buffer("mean", torch.tensor(graft.moments.mean), persistent=False)
        self.register_buffer("scale", torch.tensor(graft.moments.scale), persistent=False)
        weight = torch.tensor(graft.head.coefficients / np.float32(graft.temperature))
        bias = torch.tensor(graft.head.intercepts / np.float32(graft.temperature))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(weight.shape[1], weight.shape[0])
        with torch.no_grad():
            self.head.weight.copy_(weight * self.scale)
            self.head.bias.copy_(bias + weight @ self.mean)

    def forward(self, maps: Tensor, features: Sequence[Tensor]) -> Tensor:
        """Logits of the classes.

        Args:
            maps: (B, ...) activations at the cut.
            features: (B, width) of each stage up to the cut.

        Returns:
            (B, K), already divided by the probe's temperature.
        """
        found = dict(zip(self.before, features, strict=True))
        found.update(zip(self.tail.stages, self.tail(maps), strict=True))
        joined = torch.cat([found[stage] for stage in self.stages], dim=1)
        logits: Tensor = self.head(self.dropout((joined - self.mean) / self.scale))
        return logits

    def prepare_training(self, batch_norm: BatchNorm) -> None:
        """Training mode, with batch normalization as asked for."""
        self.train()
        if batch_norm is BatchNorm.FROZEN:
            for module in self.modules():
                if keeps_moments(module):
                    module.eval()

    def folded(self) -> LinearHead:
        """The head on features as they are."""
        weight = (self.head.weight / self.scale).detach()
        bias = (self.head.bias - weight @ self.mean).detach()
        return LinearHead(_array(weight), _array(bias))

    def tensors(self) -> dict[str, np.ndarray]:
        """The tail's weights by the names that they have in the whole network."""
        return {name: _array(value) for name, value in self.tail.graph.state_dict().items()}


def blended(
    start: Mapping[str, Tensor], end: Mapping[str, Tensor], share: float
) -> dict[str, Tensor]:
    """Weights between two states of a network (Wortsman et al. 2022, eq. 1).

    Args:
        start: at a share of 0.
        end: at 1.
        share: of the way.
    """
    return {
        name: start[name].lerp(value, share) if value.is_floating_point() else value
        for name, value in end.items()
    }


def _array(tensor: Tensor) -> Floats:
    array: Floats = tensor.detach().cpu().contiguous().numpy()
    return array
