"""Small networks on which attacks take no time."""

import torch
from torch import Tensor, nn

from headstart.inspection.attacks.attack import Logits


def linear(classes: int = 4, side: int = 6, seed: int = 0) -> Logits:
    """A linear network: the best change is known in closed form."""
    weights = torch.randn(classes, 3 * side * side, generator=torch.Generator().manual_seed(seed))
    return lambda x: x.flatten(1) @ weights.T


def convolutional(classes: int = 5, seed: int = 0) -> Logits:
    """A smooth network with a bent surface."""
    torch.manual_seed(seed)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.SiLU(), nn.Conv2d(8, 8, 3), nn.SiLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, classes),
    ).requires_grad_(False)  # fmt: skip
    return lambda x: network(x) * 40


def pictures(count: int = 3, side: int = 12, seed: int = 0) -> Tensor:
    """On the grid of 8 bits."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, side, side), generator=generator) / 255
