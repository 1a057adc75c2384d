"""Small networks whose explanation is known or quickly computed."""

import torch
from torch import Tensor, nn

from headstart.backbones.staged import StagedNetwork
from headstart.images.preprocessing import Interpolation, Preprocessing

SIDE = 16
PLAIN = Preprocessing(
    size=SIDE, crop=SIDE, interpolation=Interpolation.BILINEAR, mean=(0, 0, 0), std=(1, 1, 1)
)


def convolutional(*, smooth: bool = False) -> nn.Module:
    """Five classes; its stages may be "0", "2", "6", the last one fully connected."""
    torch.manual_seed(0)
    bend = nn.SiLU if smooth else nn.ReLU
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3), bend(), nn.Conv2d(8, 8, 3, stride=2), bend(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 12), bend(), nn.Linear(12, 5),
    )  # fmt: skip
    return network.eval().requires_grad_(False)


def staged(model: nn.Module) -> StagedNetwork:
    return StagedNetwork(model, PLAIN, ("0", "2", "6"), head="8")


def bright_corner(pixels: Tensor) -> Tensor:
    """(B, 2) logits; the first class is the brightness of the upper left quarter alone."""
    half = pixels.shape[2] // 2
    bright = pixels[:, :, :half, :half].mean((1, 2, 3))
    return torch.stack([12 * bright - 6, torch.zeros_like(bright)], dim=1)


def pictures(count: int = 2, side: int = SIDE) -> Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(1))
