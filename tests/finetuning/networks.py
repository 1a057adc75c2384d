"""A network of a few thousand numbers, and pictures that it takes no time to learn."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from headstart.backbones.backbone import Backbone, Weights
from headstart.backbones.staged import StagedNetwork, forms, stages_of
from headstart.backbones.tensors import digest
from headstart.engines import Plan
from headstart.features import Extractor
from headstart.preprocessing import Interpolation, Preprocessing
from headstart.types import EngineName, Precision

SIDE = 32
STAGES = ("stem", "middle", "top")
EAGER = Plan(EngineName.PYTORCH, Precision.FLOAT32)
PREPROCESSING = Preprocessing(
    size=SIDE,
    crop=SIDE,
    interpolation=Interpolation.BILINEAR,
    mean=(0.5, 0.4, 0.3),
    std=(0.2, 0.3, 0.4),
)


def _block(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


class Small(nn.Module):
    """Three blocks and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.middle, self.top = _block(3, 8), _block(8, 12), _block(12, 16)
        self.classifier = nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.top(self.middle(self.stem(x)))
        return self.classifier(x.mean((2, 3)))


def small_network(seed: int = 0) -> StagedNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Small()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):  # moments that folding them in may get wrong
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
    return StagedNetwork(model, PREPROCESSING, STAGES, head="classifier")


def small_backbone(seed: int = 0) -> Backbone:
    network = small_network(seed)
    parts = forms(network)
    return Backbone(
        name="small",
        preprocessing=PREPROCESSING,
        stages=stages_of(network, SIDE),
        labels=("a", "b", "c", "d", "e"),
        weights=Weights(source="PyPI: made-up", digest=digest(parts["tensors"]()), licence="MIT"),
        **parts,
    )


def small_extractor(cache: Path, *, plan: Plan = EAGER) -> Extractor:
    return Extractor(backbone=small_backbone(), plan=plan, cache=cache)


def sided(right: bool, seed: int) -> Image.Image:
    """Red beside green on a noisy ground: which of them is on the left is the class."""
    rng = np.random.default_rng([int(right), seed])
    pixels = rng.normal(110, 25, (SIDE, SIDE, 3))
    middle, top = rng.integers(10, 22), rng.integers(0, 16)
    for start, stop, channel in ((middle - 8, middle, 0), (middle, middle + 8, 1)):
        pixels[top : top + 16, max(0, start) : stop, 1 - channel if right else channel] += 90
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def write_sided(root: Path, count: int, *, first: int = 0) -> Path:
    """Two classes of `count` pictures each, that mirroring exchanges."""
    for right in (False, True):
        folder = root / ("right" if right else "left")
        folder.mkdir(parents=True, exist_ok=True)
        for seed in range(first, first + count):
            sided(right, seed).save(folder / f"{seed:03}.png")
    return root
