"""A network of a few thousand numbers, and pictures that it takes no time to learn."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from headstart.backbones.backbone import Backbone, Weights
from headstart.backbones.cut import cut
from headstart.backbones.staged import StagedNetwork
from headstart.backbones.stages import LOGITS
from headstart.backbones.tensors import digest, without_counters
from headstart.backbones.torch_backbone import TorchBackbone, stages_of
from headstart.engines import EnginePlan
from headstart.features.extractor import Extractor
from headstart.features.view_activations import Activations
from headstart.finetuning.examples import Examples
from headstart.finetuning.network import ProbeHead, TunedNetwork
from headstart.heads.logistic import LinearHead
from headstart.heads.standardization import Standardization
from headstart.images.preprocessing import Interpolation, Preprocessing
from headstart.types import EngineName, Precision

SIDE = 32
STAGES = ("stem", "middle", "top")
EAGER = EnginePlan(EngineName.PYTORCH, Precision.FLOAT32)
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
    state = {name: value.numpy() for name, value in network.model.state_dict().items()}
    identity = digest(without_counters(state))
    return TorchBackbone(
        name="small",
        preprocessing=PREPROCESSING,
        stages=stages_of(network, SIDE),
        labels=("a", "b", "c", "d", "e"),
        weights=Weights(source="PyPI: made-up", digest=identity, license="MIT"),
        staged=network,
    )


def small_extractor(cache: Path, *, plan: EnginePlan = EAGER) -> Extractor:
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


def tuned_network(stage: str, *, heads: tuple[str, ...] = ("top",), dropout: float = 0.0,
                  seed: int = 0) -> TunedNetwork:  # fmt: skip
    """Cut behind `stage`, with a made-up head of two classes on the stages `heads`."""
    network = small_network(seed)
    rng = np.random.default_rng(seed)
    sizes = {"stem": 8, "middle": 12, "top": 16, LOGITS: 5}
    width = sum(sizes[name] for name in heads)
    probe = ProbeHead(
        stages=heads,
        head=LinearHead(
            rng.normal(size=(2, width)).astype(np.float32), rng.normal(size=2).astype(np.float32)
        ),
        temperature=0.7,
        moments=Standardization(
            rng.normal(size=width).astype(np.float32),
            rng.uniform(0.5, 2, width).astype(np.float32),
        ),
    )
    halves = cut(network, stage, SIDE, wanted=heads)
    return TunedNetwork(halves, probe, dropout=dropout)


def small_examples(count: int = 24, views: int = 2, *, stage: str = "stem") -> Examples:
    """Pictures of both classes by turns, each but a little changed in its other views."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 2
    plain = np.stack([np.asarray(sided(bool(label), 9000 + i)) for i, label in enumerate(labels)])
    raw = np.stack([plain, *(np.clip(plain + rng.normal(0, 8, plain.shape), 0, 255)
                             for _ in range(views - 1))], axis=1).astype(np.uint8)  # fmt: skip
    network = small_network()
    features: tuple[np.ndarray, ...] = ()
    maps = raw.reshape(count, views, -1)
    shape: tuple[int, ...] = (3, SIDE, SIDE)
    if stage:
        halves = cut(network, stage, SIDE, wanted=())
        shape = halves.shape
        x = torch.tensor(raw.reshape(-1, SIDE, SIDE, 3)).permute(0, 3, 1, 2) / 255
        with torch.no_grad():
            *found, flat = halves.trunk(x)
        maps = flat.numpy().astype(np.float16).reshape(count, views, -1)
        features = tuple(one.numpy().reshape(count, views, -1) for one in found)
    return Examples(
        activations=Activations(maps, features),
        labels=labels,
        classes=2,
        weights=torch.ones(2),
        shape=shape,
        mean=network.mean,
        std=network.std,
        device="cpu",
    )
