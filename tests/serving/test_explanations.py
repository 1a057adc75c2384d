"""What a prediction depends on is drawn as `headstart explain` draws it."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from headstart.errors import BackboneError, MissingExtraError
from headstart.models.model_backbone import build_model_extractor
from headstart.plots.overlays import overlay
from headstart.serving import explanations
from headstart.serving.app import build_app
from tests.conftest import files
from tests.serving.conftest import SMALL, serve

EXPLAIN = "/v1/models/textures/predict?explain=grad-cam"


@pytest.fixture(scope="module")
def real(model: Path) -> Iterator[TestClient]:
    pytest.importorskip("torch")
    service = serve(model, open_extractor=partial(build_model_extractor, cache=None))
    with TestClient(build_app(service)) as client:
        yield client


@pytest.mark.slow
def test_the_drawing_is_that_of_explain(real: TestClient, model: Path, new_photos: Path):
    from headstart.inspection.explanation import Explainer, predict_files
    from headstart.inspection.inspected_network import InspectedNetwork
    from headstart.models.saved_model import load_model

    paths = files(new_photos)[:2]
    sent = [("f", one.read_bytes()) for one in [*paths, model / "README.md"]]
    document = real.post(EXPLAIN, files=sent).json()
    assert "explanation" not in document["predictions"].pop()
    network = InspectedNetwork.of(load_model(model), weights=None, allow_download=False)
    explainer = Explainer(network, ("grad-cam",))
    for found, prediction in zip(
        document["predictions"], predict_files(network, paths)[0], strict=True
    ):
        assert found["explanation"]["method"] == "grad-cam"
        drawn = decoded(b64decode(found["explanation"]["png"]))
        explained = explainer.explain(prediction)
        full = explained.maps[0].full_size
        expected = overlay(explained.pixels, full.values, full.seen)
        np.testing.assert_allclose(drawn, expected, atol=1)
    alone = real.post(EXPLAIN, content=paths[0].read_bytes(), headers={"Accept": "image/png"})
    assert alone.headers["content-type"] == "image/png"
    assert decoded(alone.content).shape == decoded(paths[0].read_bytes()).shape


def decoded(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(png))).astype(int)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MissingExtraError("looking inside a network", extra="torch"), "pip install"),
        (BackboneError("/home/me/net.onnx has no gradients"), "the server's log says why"),
    ],
)
def test_a_model_that_cannot_be_explained(
    client: TestClient,
    new_photos: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    message: str,
):
    def refuse(*arguments: object) -> Any:
        raise error

    monkeypatch.setattr(explanations, "_explainer", refuse)
    content = files(new_photos)[0].read_bytes()
    answer = client.post(EXPLAIN, content=content)
    assert answer.status_code == 501
    assert message in answer.json()["error"]
    assert "/home" not in answer.text
    assert client.post(EXPLAIN, content=b"no image").status_code == 422


def test_too_many_to_explain(client: TestClient, new_photos: Path, folder: Path):
    from dataclasses import replace

    client = TestClient(build_app(serve(folder, replace(SMALL, max_images=9))))
    content = files(new_photos)[0].read_bytes()
    answer = client.post(EXPLAIN, files=[("f", content)] * 9)
    assert answer.status_code == 413
    assert "send 8 at most" in answer.json()["error"]
