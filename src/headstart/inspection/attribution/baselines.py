"""Uninformative images that stand for missing evidence."""

import torch
from torch import Tensor

BLUR = 10 / 224
"""Standard deviation of the Gaussian that removes an image's content, as a fraction of its side:
10 pixels of 224 (Fong & Vedaldi 2017)."""


def mean_color(pixels: Tensor) -> Tensor:
    """Fill each image, (B, 3, H, W), with its own mean color; returns an expanded view."""
    return pixels.mean((2, 3), keepdim=True).expand_as(pixels)


def blur(maps: Tensor, sigma: float = BLUR) -> Tensor:
    """Blur (B, C, H, W) by a Gaussian with replicated borders; `sigma` is a fraction of H."""
    deviation = sigma * maps.shape[2]
    radius = max(1, round(3 * deviation))
    offsets = torch.arange(-radius, radius + 1, dtype=maps.dtype, device=maps.device)
    kernel = torch.exp(-0.5 * (offsets / deviation).square())
    kernel = (kernel / kernel.sum()).view(1, 1, 1, -1)

    def along_width(x: Tensor) -> Tensor:
        rows = torch.nn.functional.pad(x, (radius, radius, 0, 0), mode="replicate")
        return torch.nn.functional.conv2d(rows.flatten(0, 1)[:, None], kernel).view(x.shape)

    return along_width(along_width(maps).mT.contiguous()).mT
