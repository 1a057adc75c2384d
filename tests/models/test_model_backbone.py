"""A model never makes headstart go online unless the user says so."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from headstart.errors import DownloadError, NotCachedError
from headstart.models.model_backbone import build_model_extractor
from headstart.models.saved_model import load_model, save_model
from headstart.models.trained_model import Model
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
