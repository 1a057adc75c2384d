"""The network in training: the tail of a backbone and a linear head on some of its stages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from headstart.backbones.cut import Cut, keeps_moments
from headstart.finetuning.settings import BatchNorm
from headstart.heads.candidates import join_stages
from headstart.heads.logistic import LinearHead
from headstart.heads.standardization import Standardization
from headstart.types import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeHead:
    """The head of a linear probe, from which training starts.

    Attributes:
        stages: names of the stages that feed it, shallow to deep; `LOGITS` means the network's
            own logits.
        head: linear map from the D concatenated features of those stages to K logits.
        temperature: divisor of the logits.
        moments: mean and standard deviation of the D features over the training images.
    """

    stages: tuple[str, ...]
    head: LinearHead
    temperature: float
    moments: Standardization

    def logits(self, features: Mapping[str, Floats]) -> Floats:
        """Map the features (N, width) of each stage to logits (N, K), before the temperature."""
        return self.head.logits(join_stages(features, self.stages))

    def calibrated(self, features: Mapping[str, Floats]) -> Floats:
        """Return the logits (N, K) divided by the temperature."""
        found: Floats = self.logits(features) / np.float32(self.temperature)
        return found


class TunedNetwork(nn.Module):
    """A tail with a head, from the activation at the cut to the logits of the classes.

    It starts as the probe, including its temperature. The head works on standardized features, so
    that a single learning rate suits all of them; `linear_head` converts it back.

    Args:
        cut: the backbone in two halves, of which the tail is trained.
        probe: head to start from.
        dropout: fraction of the head's features that are dropped in training, [0, 1).
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, cut: Cut, probe: ProbeHead, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.tail = cut.tail.requires_grad_(True)
        self.stages = probe.stages
        self.trunk_stages = cut.trunk.stages if cut.trunk else ()
        self.register_buffer("mean", torch.tensor(probe.moments.mean), persistent=False)
        self.register_buffer("scale", torch.tensor(probe.moments.scale), persistent=False)
        weight = torch.tensor(probe.head.coefficients / np.float32(probe.temperature))
        bias = torch.tensor(probe.head.intercepts / np.float32(probe.temperature))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(weight.shape[1], weight.shape[0])
        with torch.no_grad():
            self.head.weight.copy_(weight * self.scale)
            self.head.bias.copy_(bias + weight @ self.mean)

    def forward(self, maps: Tensor, features: Sequence[Tensor]) -> Tensor:
        """Return the logits of the classes, (B, K), already divided by the probe's temperature.

        Args:
            maps: (B, ...) activations at the cut.
            features: (B, width) features of each stage up to the cut.
        """
        by_stage = dict(zip(self.trunk_stages, features, strict=True))
        by_stage.update(zip(self.tail.stages, self.tail(maps), strict=True))
        joined = torch.cat([by_stage[stage] for stage in self.stages], dim=1)
        logits: Tensor = self.head(self.dropout((joined - self.mean) / self.scale))
        return logits

    def prepare_training(self, batch_norm: BatchNorm) -> None:
        """Switch to training mode, with frozen batch normalization in evaluation mode."""
        self.train()
        if batch_norm is BatchNorm.FROZEN:
            for module in self.modules():
                if keeps_moments(module):
                    module.eval()

    def linear_head(self) -> LinearHead:
        """Return the head on features that are not standardized."""
        weight = (self.head.weight / self.scale).detach()
        bias = (self.head.bias - weight @ self.mean).detach()
        return LinearHead(_array(weight), _array(bias))

    def tensors(self) -> dict[str, np.ndarray]:
        """Return the tail's weights by their names in the whole network."""
        return {name: _array(value) for name, value in self.tail.graph.state_dict().items()}


def interpolated(
    start: Mapping[str, Tensor], end: Mapping[str, Tensor], position: float
) -> dict[str, Tensor]:
    """Interpolate between two states of a network (WiSE-FT; Wortsman et al. 2022, eq. 1).

    Integers, such as counters, are those of the end state; the position is in [0, 1].
    """
    return {
        name: start[name].lerp(value, position) if value.is_floating_point() else value
        for name, value in end.items()
    }


def _array(tensor: Tensor) -> Floats:
    return tensor.detach().cpu().contiguous().numpy()
