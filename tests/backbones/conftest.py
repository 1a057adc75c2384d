"""Pictures of awkward sizes, and files of random weights: the machine need not be online."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from headstart.backbones import catalog
from headstart.backbones.backbone import Backbone
from headstart.backbones.vision_ops import import_timm
from headstart.images import preprocessing

timm = import_timm("tests")

import torch  # noqa: E402
import torchvision.models  # noqa: E402
from safetensors.torch import save_file  # noqa: E402


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    """Gradients, edges and noise, so that every kind of resizing error shows."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    waves = 128 + 80 * np.sin(x / 9)[..., None] * np.cos(y / 7)[..., None] * np.ones(3)
    squares = 60 * (((x // 13) + (y // 17)) % 2)[..., None] * np.array([1, -1, 0.5])
    noise = rng.normal(0, 20, (height, width, 3))
    return Image.fromarray(np.clip(waves + squares + noise, 0, 255).astype(np.uint8))


SIZES = ((500, 375), (333, 517), (97, 131), (1001, 301), (225, 224))


@pytest.fixture(scope="session")
def pictures() -> list[Image.Image]:
    return [picture(width, height) for width, height in SIZES]


@pytest.fixture
def resized_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resize whole images, as peers do, and not only the part that the crop keeps.

    `tests/images/test_preprocessing.py` compares the two.
    """
    monkeypatch.setattr(preprocessing, "only_middle", lambda *_: False)


def random_model(name: str) -> torch.nn.Module:
    """The peer's own model by headstart's name, with random weights, in eval mode."""
    library, _, short = name.partition(":")
    torch.manual_seed(0)
    if library == "timm":
        model = timm.create_model(short)
    else:
        model = torchvision.models.get_model(short, weights=None)
    return model.eval()


@pytest.fixture(scope="session")
def with_random_weights(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], tuple[Backbone, torch.nn.Module]]:
    """Builds (backbone, the peer's model) that share the same random weights, through a file."""
    folder: Path = tmp_path_factory.mktemp("weights")

    def build(name: str) -> tuple[Backbone, torch.nn.Module]:
        model = random_model(name)
        file = folder / "weights.safetensors"
        save_file({key: value.contiguous() for key, value in model.state_dict().items()}, file)
        backbone = catalog.load_backbone(name, weights=file, allow_download=False)
        file.unlink()  # VGG-16 alone is half a gigabyte
        return backbone, model

    return build


class KerasCase(NamedTuple):
    """A network of Keras's with random weights."""

    name: str
    model: Any
    file: Path
    backbone: Backbone


@pytest.fixture(scope="session")
def small_keras(tmp_path_factory: pytest.TempPathFactory) -> KerasCase:
    from tests.backbones.keras_models import random_model  # importing Keras is slow

    short = "MobileNetV3Small"
    model = random_model(short)
    file = tmp_path_factory.mktemp("keras") / "small.weights.h5"
    model.save_weights(file)
    backbone = catalog.load_backbone(f"keras:{short}", weights=file, allow_download=False)
    return KerasCase(backbone.name, model, file, backbone)
