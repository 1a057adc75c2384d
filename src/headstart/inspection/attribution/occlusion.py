"""Occlusion (Zeiler & Fergus 2014, section 4.2), computed by captum."""

from collections.abc import Callable

import torch
from torch import Tensor

from headstart.inspection.attribution.baselines import mean_color
from headstart.inspection.attribution.method import (
    AttributionMethod,
    NetworkFunctions,
    Relevance,
    captum_attr,
)

WINDOW, STRIDE = 1 / 7, 1 / 14
"""Fractions of the side: 32 and 16 pixels of 224, which takes 169 forward passes per image."""
_BATCH = 32  # windows per forward pass, to limit memory


class Occlusion(AttributionMethod):
    """Cover a window of the image and measure how much the class loses. Needs captum."""

    forward_passes = round((1 - WINDOW) / STRIDE + 1) ** 2
    gradient_passes = 0

    def __init__(self) -> None:
        captum_attr("occlusion")

    def attribute(self, network: NetworkFunctions, pixels: Tensor, targets: Tensor) -> Relevance:
        """See `AttributionMethod.attribute`."""
        return Relevance(occlusion(network.fast_logits, pixels, targets))


def occlusion(
    logits: Callable[[Tensor], Tensor],
    pixels: Tensor,
    targets: Tensor,
    *,
    window: int | None = None,
    stride: int | None = None,
) -> Tensor:
    """Compute how much a class's logit drops where a square of the image's mean color covers it.

    The paper uses the class's probability, which hardly changes for a confident network; the logit
    does. There is one forward pass per window position, ((H - window) / stride + 1)^2 in all.

    Args:
        logits: (B, 3, H, W) in [0, 1] to (B, K); needs no gradients.
        pixels: (B, 3, H, W) in [0, 1].
        targets: (B,) int64, indices of the classes.
        window: side of the square in pixels; H / 7 by default.
        stride: pixels between window positions, at most `window`; H / 14 by default.

    Returns:
        (B, H, W): for each pixel, the mean drop over the windows that cover it.
    """
    side = pixels.shape[2]
    window = window or max(1, round(WINDOW * side))
    stride = stride or max(1, round(STRIDE * side))
    method = captum_attr("occlusion").Occlusion(logits)
    with torch.no_grad():
        attributions: Tensor = method.attribute(
            pixels,
            sliding_window_shapes=(pixels.shape[1], window, window),
            strides=(pixels.shape[1], stride, stride),
            baselines=mean_color(pixels),
            target=targets,
            perturbations_per_eval=max(1, _BATCH // len(pixels)),
        )
    return attributions[:, 0].to(pixels.dtype)  # all three channels are covered together
