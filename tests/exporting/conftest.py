"""A model of several views on a network of a millisecond, and what exports it."""

from pathlib import Path

import pytest

from headstart import Classifier
from headstart.exporting import check_images
from headstart.features.extractor import Extractor
from headstart.models.model_backbone import build_model_extractor
from headstart.models.trained_model import Model
from headstart.types import Precision
from tests.backbones.onnx_file import write_tiny
from tests.conftest import files

VIEWS = ("@48-whole", "@mirrored", "@40-padded", "@tiles")


@pytest.fixture(autouse=True)
def _no_large_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images of 40 megapixels take a second each."""
    smaller = {**check_images._ODD, "40 megapixels": (400, 250)}
    monkeypatch.setattr(check_images, "_ODD", smaller)


@pytest.fixture(scope="session")
def own_network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("network"))


@pytest.fixture(scope="session")
def fitted(own_network: Path, photos: Path) -> Model:
    """A model with one view."""
    return _fit(own_network, photos, [str(own_network)])


@pytest.fixture(scope="session")
def of_views(own_network: Path, photos: Path) -> Model:
    """A model with every kind of view."""
    return _fit(own_network, photos, [f"{own_network}{view}" for view in ("", *VIEWS)])


def _fit(network: Path, photos: Path, views: list[str]) -> Model:
    paths = files(photos)
    labels = [path.parent.name for path in paths]
    return Classifier(views=views).fit(paths, labels).model_


def extractor_of(model: Model, network: Path) -> Extractor:
    return build_model_extractor(model, weights=network, precision=Precision.FLOAT32)
