"""A backbone source from outside the package, complete: registered, listed, loaded, fitted."""

from collections.abc import Iterator
from pathlib import Path
from typing import final

import numpy as np
import pytest
import torch
from torch import nn

import headstart
from headstart.backbones import SOURCES, BackboneInfo, BackboneSource, Weights
from headstart.backbones.backbone import Backbone
from headstart.backbones.catalog import check_name, list_backbones, load_backbone
from headstart.backbones.staged import StagedNetwork
from headstart.backbones.tensors import digest, read_tensors
from headstart.backbones.torch_backbone import TorchBackbone, fill, stages_of
from headstart.datasets import open_dataset
from headstart.errors import BackboneError
from headstart.features.extractor import Extractor
from headstart.images.preprocessing import Interpolation, Preprocessing
from tests.conftest import F32

SIDE = 32
PREPROCESSING = Preprocessing(
    size=SIDE,
    crop=SIDE,
    interpolation=Interpolation.BILINEAR,
    mean=(0.5, 0.5, 0.5),
    std=(0.25, 0.25, 0.25),
)


def two_layers() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 16, 3, 2), nn.ReLU()),
        nn.Sequential(nn.Conv2d(16, 24, 3, 2), nn.ReLU()),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(24, 2),
    ).eval()


@final
class MySource(BackboneSource):
    """One tiny network, "my:tiny", whose weights need no download."""

    def infos(self) -> tuple[BackboneInfo, ...]:
        return (
            BackboneInfo(
                name="my:tiny",
                source="made up",
                parameters=3970,
                multiply_adds=267_312,
                input_size=SIDE,
                top1=0.5,
                license="MIT",
                on_this_machine=True,
            ),
        )

    def check_name(self, name: str) -> None:
        if name != "my:tiny":
            raise BackboneError(f"there is no backbone {name!r}; did you mean my:tiny?")

    def load(self, name: str, *, weights: Path | None, allow_download: bool) -> Backbone:
        self.check_name(name)
        model = two_layers()
        if weights:
            fill(model, read_tensors(weights), name=name)
        network = StagedNetwork(model, PREPROCESSING, ["0", "1"], head="4")
        tensors = {key: value.numpy() for key, value in model.state_dict().items()}
        return TorchBackbone(
            name=name,
            preprocessing=PREPROCESSING,
            stages=stages_of(network, SIDE),
            labels=("cat", "dog"),
            weights=Weights(source="made up", digest=digest(tensors), license="MIT"),
            staged=network,
        )


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    SOURCES["my:"] = MySource()
    yield
    del SOURCES["my:"]


def test_it_is_listed_and_its_names_are_checked():
    assert list_backbones()[-1].name == "my:tiny"
    check_name("my:tiny")
    with pytest.raises(BackboneError, match="did you mean my:tiny"):
        check_name("my:tinny")
    with pytest.raises(BackboneError, match=r"did you mean my:tiny.*my:NAME"):
        load_backbone("my.tiny")


def test_it_is_loaded_by_name_and_runs_on_openvino(photos: Path, tmp_path: Path):
    backbone = load_backbone("my:tiny")
    assert [(stage.name, stage.width) for stage in backbone.stages] == [("0", 16), ("1", 24)]
    paths = open_dataset(photos).paths[:4]
    extractor = Extractor(backbone=backbone, plan=F32, cache=tmp_path / "cache")
    values = extractor.extract(paths, stages=["1"]).values
    assert values["1"].shape == (4, 24)
    assert np.abs(values["1"]).max() > 0


def test_other_weights_are_read_from_a_file(tmp_path: Path):
    changed = {key: value + 1 for key, value in two_layers().state_dict().items()}
    torch.save(changed, tmp_path / "w.pth")
    backbone = load_backbone("my:tiny", weights=tmp_path / "w.pth")
    assert backbone.weights.digest != load_backbone("my:tiny").weights.digest
    again = load_backbone("my:tiny").with_tensors(backbone.tensors())
    assert again.weights.digest == backbone.weights.digest


def test_a_head_is_fitted_on_it(photos: Path, new_photos: Path, tmp_path: Path):
    classifier = headstart.Classifier(backbone="my:tiny", cache=tmp_path / "cache")
    classifier.fit(open_dataset(photos))
    new = open_dataset(new_photos)
    found = classifier.predict(new.paths)
    assert np.mean([new.classes[label] for label in new.labels] == found) > 0.6  # chance is 1/3


def test_it_leaves_nothing_behind():
    del SOURCES["my:"]
    try:
        with pytest.raises(BackboneError, match="there is no backbone 'my:tiny'"):
            load_backbone("my:tiny")
    finally:
        SOURCES["my:"] = MySource()
