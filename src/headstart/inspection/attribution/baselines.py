"""What stands for missing evidence: pictures that show as little as possible."""

from __future__ import annotations

import torch
from torch import Tensor

BLUR = 10 / 224
"""Standard deviation of the Gaussian that takes a picture's content away, in shares of its side:
the 10 pixels of Fong & Vedaldi 2017."""


def mean_color(pixels: Tensor) -> Tensor:
    """Each picture's own mean color everywhere.

    Args:
        pixels: (B, 3, H, W).

    Returns:
        (B, 3, H, W), a view.
    """
    return pixels.mean((2, 3), keepdim=True).expand_as(pixels)


def blurred(maps: Tensor, sigma: float = BLUR) -> Tensor:
    """A Gaussian blur; beyond the border, the border goes on.

    Args:
        maps: (B, C, H, W).
        sigma: standard deviation in shares of H.

    Returns:
        (B, C, H, W).
    """
    deviation = sigma * maps.shape[2]
    reach = max(1, round(3 * deviation))
    steps = torch.arange(-reach, reach + 1, dtype=maps.dtype, device=maps.device)
    kernel = torch.exp(-0.5 * (steps / deviation).square())
    kernel = (kernel / kernel.sum()).view(1, 1, 1, -1)

    def along_width(x: Tensor) -> Tensor:
        rows = torch.nn.functional.pad(x, (reach, reach, 0, 0), mode="replicate")
        return torch.nn.functional.conv2d(rows.flatten(0, 1)[:, None], kernel).view(x.shape)

    return along_width(along_width(maps).mT.contiguous()).mT
