"""Grad-CAM (Selvaraju et al. 2017, equations 1 and 2), on feature maps and on tokens."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from headstart.backbones.staged import ForwardPass, on_grid
from headstart.errors import BackboneError


@dataclass(frozen=True, slots=True, eq=False)
class ClassActivationMap:
    """Where a stage found what speaks for a class.

    Attributes:
        stage: its name.
        relevance: (B, h, w) on the stage's own grid; signed, that is before the ReLU of equation 2.
    """

    stage: str
    relevance: Tensor


def grad_cam(
    watch: Callable[[Tensor], ForwardPass], pixels: Tensor, targets: Tensor, stages: Sequence[str]
) -> ClassActivationMap:
    """The channels of a stage, each weighted by the mean of its gradient.

    A stage serves if it has a map and if what it computes at the places of the picture changes the
    class. The output of a vision transformer's last block has places, but where its classifier
    reads the class token alone, their gradient is zero; there, a stage before serves, much as in
    pytorch-grad-cam's recipe, which takes the input of the last block.

    Args:
        watch: from pixels to maps and logits, joined for gradients (see `StagedNetwork.watch`).
        pixels: (B, 3, H, W) in [0, 1].
        targets: (B,) indices of classes.
        stages: names, the best first; the first that serves is taken.

    Raises:
        BackboneError: none serves; the message says which stages have a map.
    """
    seen = watch(pixels.detach().requires_grad_())
    chosen = seen.logits.gather(1, targets[:, None]).sum()
    mapped = [stage for stage in stages if has_map(seen.maps[stage])]
    for stage in mapped:
        activation = seen.maps[stage]
        (gradient,) = torch.autograd.grad(chosen, activation, retain_graph=True, allow_unused=True)
        if gradient is None:
            continue
        gradient = on_grid(gradient)
        if gradient.any():
            weights = gradient.mean((2, 3), keepdim=True)  # equation 1
            relevance = (weights * on_grid(activation)).sum(1)  # equation 2 without the ReLU
            return ClassActivationMap(stage, relevance.detach())
    raise _useless(stages, mapped, seen)


def has_map(activation: Tensor) -> bool:
    """Whether an activation says different things of different places."""
    return activation.ndim > 2 and math.prod(on_grid(activation).shape[2:]) > 1


def enlarged(relevance: Tensor, side: int) -> Tensor:
    """(B, h, w) to (B, side, side), bilinear."""
    return torch.nn.functional.interpolate(
        relevance[:, None], (side, side), mode="bilinear", align_corners=False
    )[:, 0]


def _useless(asked: Sequence[str], mapped: Sequence[str], seen: ForwardPass) -> BackboneError:
    names = ", ".join(stage for stage, activation in seen.maps.items() if has_map(activation))
    if not mapped:
        return BackboneError(
            f"stage {asked[0]!r} is fully connected and has no map for Grad-CAM; stages with one "
            f"are {names}"
        )
    return BackboneError(
        f"what stage {mapped[0]!r} computes at the places of the picture does not change the "
        f"class: it lies behind the stage that the classifier reads, or the classifier reads only "
        f"the class token; choose a shallower one of {names}"
    )
