"""What a prediction depends on is drawn as `headstart explain` draws it."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from headstart.datasets import ImageDataset
from headstart.errors import BackboneError, MissingExtraError
from headstart.features.extractor import Extractor
from headstart.images.marks import marked
from headstart.images.tiles import PixelBox
from headstart.models.fit import fit
from headstart.models.fit_settings import FitSettings
from headstart.models.model_backbone import build_model_extractor
from headstart.models.saved_model import save_model
from headstart.plots.overlays import overlay
from headstart.serving import explanations
from headstart.serving.app import build_app
from headstart.serving.predictions import Predicted
from headstart.serving.request_images import SentImage
from headstart.serving.service import Service
from tests.conftest import files
from tests.models.test_deciding_places import extractor, photos_of_surfaces, surface
from tests.serving.conftest import SMALL, serve

__all__ = ["extractor", "photos_of_surfaces"]
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
        (MissingExtraError("looking inside a network", extra="torch"), "log says what to install"),
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

    monkeypatch.setattr(explanations, "_map_drawer", refuse)
    content = files(new_photos)[0].read_bytes()
    answer = client.post(EXPLAIN, content=content)
    assert answer.status_code == 501
    assert message in answer.json()["error"]
    assert "/home" not in answer.text
    assert "pip" not in answer.text
    assert client.post(EXPLAIN, content=b"no image").status_code == 422


def test_too_many_to_explain(client: TestClient, new_photos: Path, folder: Path):
    client = TestClient(build_app(serve(folder, replace(SMALL, max_images=9))))
    content = files(new_photos)[0].read_bytes()
    answer = client.post(EXPLAIN, files=[("f", content)] * 9)
    assert answer.status_code == 413
    assert "send 8 at most" in answer.json()["error"]


@pytest.fixture
def tiled(extractor: Extractor, photos_of_surfaces: ImageDataset, tmp_path: Path) -> TestClient:
    """A server of a model that sees images in tiles."""
    found = fit(photos_of_surfaces, extractor, FitSettings()).model
    save_model(found, tmp_path / "textures")
    limits = replace(SMALL, timeout=20)
    service = serve(tmp_path / "textures", limits, open_extractor=lambda model: extractor)
    return TestClient(build_app(service))


def test_the_places_of_a_model_with_tiles(tiled: TestClient, tmp_path: Path):
    spots = [(20, 30), (250, 200)]
    surface(np.random.default_rng(1), *spots).save(path := tmp_path / "two.png")
    assert tiled.get("/v1/models/textures").json()["explain"] == "places"
    wrong = tiled.post(EXPLAIN, content=path.read_bytes())
    assert wrong.status_code == 422
    assert "use explain=places" in wrong.json()["error"]
    asked = EXPLAIN.replace("grad-cam", "places")
    sent = [("f", path.read_bytes()), ("f", b"no image")]
    one, other = tiled.post(asked, files=sent).json()["predictions"]
    assert "explanation" not in other
    places = [PixelBox(*place["box"]) for place in one["explanation"]["places"]]
    assert len(places) == 2
    for left, top in spots:
        assert (
            sum(place.overlaps(PixelBox(left, top, left + 16, top + 16)) for place in places) == 1
        )
    expected = np.asarray(marked(Image.open(path), places))
    assert (decoded(b64decode(one["explanation"]["png"])) == expected).all()
    headers = {"Accept": "image/png"}
    assert (
        decoded(tiled.post(asked, content=path.read_bytes(), headers=headers).content) == expected
    ).all()


def test_places_are_of_models_with_tiles(client: TestClient, new_photos: Path):
    content = files(new_photos)[0].read_bytes()
    answer = client.post(EXPLAIN.replace("grad-cam", "places"), content=content)
    assert answer.status_code == 422
    assert "use explain=grad-cam" in answer.json()["error"]


def test_nobody_waits_for_an_explanation_that_is_late(
    service: Service, new_photos: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(explanations, "_map_drawer", lambda replica: None)
    monkeypatch.setattr(service.explanations, "_drawers", {})
    content = files(new_photos)[0].read_bytes()
    replica = service.replica("textures")
    predicted = [Predicted(SentImage(content), replica.predict(content).result())]
    with pytest.raises(TimeoutError):
        service.explanations._draw_all(replica, predicted, end=0)
