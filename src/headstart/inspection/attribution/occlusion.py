"""Occlusion (Zeiler & Fergus 2014, section 4.2), by captum."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

try:
    from captum.attr import Occlusion  # type: ignore[import-untyped]
except ImportError:
    from headstart.errors import MissingExtraError

    raise MissingExtraError("occlusion", extra="explain") from None

from headstart.inspection.attribution.baselines import mean_color

WINDOW, STRIDE = 1 / 7, 1 / 14
"""Of the side: 32 and 16 pixels of 224, so 169 passes a picture."""
_BATCH = 32  # windows at a time; bounds the memory


def occlusion(
    logits: Callable[[Tensor], Tensor],
    pixels: Tensor,
    targets: Tensor,
    *,
    window: int | None = None,
    stride: int | None = None,
) -> Tensor:
    """What the logit of a class loses where a square of the picture's mean color covers it.

    The paper slides a gray square and draws the class's probability; of a network that is sure,
    that hardly moves, and the logit does.

    It takes one pass for each position of the window, ((side - window) / stride + 1)^2.

    Args:
        logits: from (B, 3, H, W) in [0, 1] to (B, K); no gradients are taken.
        pixels: (B, 3, H, W) in [0, 1].
        targets: (B,) indices of classes.
        window: side of the square in pixels; a seventh of H by default.
        stride: by how many pixels it moves, at most `window`; a 14th of H by default.

    Returns:
        (B, H, W): for each pixel the mean loss over the windows that cover it.
    """
    side = pixels.shape[2]
    window = window or max(1, round(WINDOW * side))
    stride = stride or max(1, round(STRIDE * side))
    with torch.no_grad():
        attributions: Tensor = Occlusion(logits).attribute(
            pixels,
            sliding_window_shapes=(pixels.shape[1], window, window),
            strides=(pixels.shape[1], stride, stride),
            baselines=mean_color(pixels),
            target=targets,
            perturbations_per_eval=max(1, _BATCH // len(pixels)),
        )
    return attributions[:, 0].to(pixels.dtype)  # the three channels are covered together
