"""A model of the tiny backbone, served inside the test and on a port."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn
from starlette.testclient import TestClient

from headstart import Classifier
from headstart.features import extractor as extractors
from headstart.features.extractor import Extractor
from headstart.models import model_backbone
from headstart.models.model_backbone import build_model_extractor
from headstart.models.prediction import Predictions, predict
from headstart.models.saved_model import load_model, save_model
from headstart.models.trained_model import Model
from headstart.serving.app import build_app
from headstart.serving.server import Server
from headstart.serving.service import Service
from headstart.serving.settings import ModelSource, ServingSettings
from tests.conftest import F32, files, tiny_backbone

SMALL = ServingSettings(max_bytes=300_000, max_pixels=100_000, max_images=8, queue=16, timeout=20)


def open_tiny(model: Model) -> Extractor:
    """The networks of any model: the tiny one."""
    del model
    return Extractor(backbone=tiny_backbone(), plan=F32, cache=None)


@contextmanager
def every_network_is_tiny() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for module in (extractors, model_backbone):
            patch.setattr(module, "load_backbone", lambda name, **options: tiny_backbone())
        yield


@pytest.fixture(scope="session")
def folder(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved model of the tiny backbone; not to be changed."""
    root = tmp_path_factory.mktemp("served")
    paths = files(photos)
    with every_network_is_tiny():
        fitted = Classifier(cache=root / "cache").fit(paths, [one.parent.name for one in paths])
    save_model(fitted.model_, root / "textures")
    return root / "textures"


@pytest.fixture(scope="session")
def expected(folder: Path, new_photos: Path) -> Predictions:
    """What `predict` says about the new photos, in the order of `files`."""
    model = load_model(folder)
    with every_network_is_tiny():
        return predict(model, build_model_extractor(model), files(new_photos))


def serve(folder: Path, settings: ServingSettings = SMALL, **options: Any) -> Service:
    options = {"open_extractor": open_tiny, "unknown": 0.05} | options
    return Service([ModelSource("textures", folder)], settings, **options)


@pytest.fixture(scope="session")
def service(folder: Path) -> Service:
    return serve(folder)


@pytest.fixture(scope="session")
def client(service: Service) -> Iterator[TestClient]:
    """Asks the app without a network."""
    with TestClient(build_app(service), raise_server_exceptions=False) as client:
        yield client


class Running:
    """A server in a thread.

    Attributes:
        host, port: where it listens.
        service: what it serves.
    """

    def __init__(self, folder: Path, settings: ServingSettings) -> None:
        server = Server(
            sources=[ModelSource("textures", folder)],
            settings=settings,
            open_extractor=open_tiny,
            unknown=0.05,
        )
        self._socket = server.listen()
        self.host, self.port = self._socket.getsockname()[:2]
        app = server.app()
        self.service: Service = app.state.service
        self._uvicorn = uvicorn.Server(server._config(app))
        self._thread = threading.Thread(target=self._uvicorn.run, args=([self._socket],))
        self._thread.start()
        while not self._uvicorn.started:
            time.sleep(0.005)

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    def stop(self) -> None:
        """Begin to end, as SIGTERM does."""
        self._uvicorn.should_exit = True

    def close(self) -> None:
        self.stop()
        self._thread.join(10)
        assert not self._thread.is_alive()


@pytest.fixture
def run(folder: Path) -> Iterator[Callable[..., Running]]:
    """Starts servers, and ends them with the test."""
    started: list[Running] = []

    def start(settings: ServingSettings = SMALL, *, served: Path = folder) -> Running:
        from dataclasses import replace

        started.append(Running(served, replace(settings, port=0)))
        return started[-1]

    yield start
    for one in started:
        one.close()


def answers_agree(document: Any, expected: Predictions, rows: list[int]) -> None:
    """Check that a document has these predictions; batches of other sizes may round otherwise."""
    assert len(document["predictions"]) == len(rows)
    for found, row in zip(document["predictions"], rows, strict=True):
        p = expected.probabilities[row]
        best = int(p.argmax())
        assert found["label"] == expected.classes[best]
        assert found["probability"] == pytest.approx(float(p[best]), rel=1e-5)
        assert [one["label"] for one in found["top"]] == [
            expected.classes[place] for place in np.argsort(-p, kind="stable")
        ]
        assert expected.novelty is not None
        assert found["novelty"] == pytest.approx(float(expected.novelty[row]))
        assert found["known"] == (found["novelty"] > 0.05)
