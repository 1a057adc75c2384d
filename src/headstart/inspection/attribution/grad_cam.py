"""Grad-CAM (Selvaraju et al. 2017, equations 1 and 2), on feature maps and on tokens."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from headstart.backbones.staged import ForwardPass, on_grid
from headstart.errors import BackboneError
from headstart.inspection.attribution.method import AttributionMethod, NetworkFunctions, Relevance


class GradCAM(AttributionMethod):
    """Grad-CAM: fast, on the coarse grid of a deep stage."""

    uses_stage = True

    def attribute(self, network: NetworkFunctions, pixels: Tensor, targets: Tensor) -> Relevance:
        """See `AttributionMethod.attribute`."""
        found = grad_cam(network.forward_pass, pixels, targets, network.stages)
        positions = math.prod(found.values.shape[1:])
        return Relevance(upsample(found.values, pixels.shape[2]), found.stage, positions)


def grad_cam(
    forward_pass: Callable[[Tensor], ForwardPass],
    pixels: Tensor,
    targets: Tensor,
    stages: Sequence[str],
) -> Relevance:
    """Weight the channels of a stage by their mean gradients, and add them.

    A stage is suitable if it has a map whose positions affect the class. The last block of a vision
    transformer has positions, but if the classifier reads only the class token, their gradient is
    zero; then an earlier stage is suitable. pytorch-grad-cam also recommends the input of the last
    block.

    Args:
        forward_pass: pixels to maps and logits, connected for gradients.
        pixels: (B, 3, H, W) in [0, 1].
        targets: (B,) int64, indices of the classes.
        stages: names, the preferred one first; the first suitable one is used.

    Returns:
        (B, h, w) on the stage's own grid, before the ReLU of equation 2, so that it is signed.

    Raises:
        BackboneError: no stage is suitable; the message lists the stages that have a map.
    """
    outputs = forward_pass(pixels.detach().requires_grad_())
    score = outputs.logits.gather(1, targets[:, None]).sum()
    mapped = [stage for stage in stages if has_map(outputs.maps[stage])]
    for stage in mapped:
        activation = outputs.maps[stage]
        (gradient,) = torch.autograd.grad(score, activation, retain_graph=True, allow_unused=True)
        if gradient is None:
            continue
        gradient = on_grid(gradient)
        if gradient.any():
            weights = gradient.mean((2, 3), keepdim=True)  # equation 1
            relevance = (weights * on_grid(activation)).sum(1)  # equation 2 without the ReLU
            return Relevance(relevance.detach(), stage)
    names = ", ".join(stage for stage, one in outputs.maps.items() if has_map(one))
    if not mapped:
        raise BackboneError(
            f"stage {stages[0]!r} is fully connected and has no map for Grad-CAM; choose one of "
            f"{names}"
        )
    raise BackboneError(
        f"the map of stage {mapped[0]!r} does not affect the class: the stage comes after the one "
        f"that the classifier reads, or the classifier reads only the class token; choose a "
        f"shallower one of {names}"
    )


def has_map(activation: Tensor) -> bool:
    """Whether an activation has more than one position."""
    return activation.ndim > 2 and math.prod(on_grid(activation).shape[2:]) > 1


def upsample(relevance: Tensor, side: int) -> Tensor:
    """Resize (B, h, w) to (B, side, side), bilinear."""
    return torch.nn.functional.interpolate(
        relevance[:, None], (side, side), mode="bilinear", align_corners=False
    )[:, 0]
