"""Images by HTTP get the answers of `predict`, and strangers get words."""

from __future__ import annotations

import json
import logging
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient

from headstart.models.online_prediction import OnlinePredictor
from headstart.models.prediction import Predictions
from headstart.serving import admission, request_images
from headstart.serving.app import build_app
from headstart.serving.service import Service
from tests.conftest import files
from tests.serving.conftest import SMALL, answers_agree, serve

PREDICT = "/v1/models/textures/predict"


def png(width: int, height: int) -> bytes:
    file = BytesIO()
    Image.new("RGB", (width, height)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("kind", ["image/jpeg", "application/octet-stream", None])
def test_an_image_is_the_body(
    client: TestClient, new_photos: Path, expected: Predictions, kind: str | None
):
    path = files(new_photos)[0]
    headers = {"Content-Type": kind} if kind else {}
    answer = client.post(PREDICT, content=path.read_bytes(), headers=headers)
    assert answer.status_code == 200
    document = answer.json()
    assert document["model"] == "textures"
    answers_agree(document, expected, [0])


def test_images_are_files_of_a_form(client: TestClient, new_photos: Path, expected: Predictions):
    paths = files(new_photos)[:7]
    sent = [("images", (one.name, one.read_bytes())) for one in paths]
    sent.insert(3, ("images", ("hällo.png", b"no image")))
    answer = client.post(PREDICT, files=sent, data={"note": "ignored"})
    document = answer.json()
    assert answer.status_code == 200
    assert document["predictions"].pop(3) == {"name": "hällo.png", "error": "not an image"}
    assert [one["name"] for one in document["predictions"]] == [one.name for one in paths]
    answers_agree(document, expected, list(range(7)))


def test_images_are_base64_in_json(client: TestClient, new_photos: Path, expected: Predictions):
    first, second = (b64encode(one.read_bytes()).decode() for one in files(new_photos)[:2])
    images = [first, 3, f"data:image/jpeg;base64,{second}", "%%"]
    document = client.post(PREDICT, json={"images": images}).json()
    errors = [document["predictions"].pop(row)["error"] for row in (3, 1)]
    assert all("base64" in error for error in errors)
    answers_agree(document, expected, [0, 1])


@pytest.mark.slow
def test_requests_at_the_same_time_are_batched(
    service: Service, client: TestClient, new_photos: Path, expected: Predictions
):
    paths = files(new_photos)

    def ask(row: int) -> Any:
        return client.post(PREDICT, content=paths[row].read_bytes()).json()

    with ThreadPoolExecutor(8) as pool:
        rows = [row % len(paths) for row in range(60)]
        for row, document in zip(rows, pool.map(ask, rows), strict=True):
            answers_agree(document, expected, [row])


def test_top_classes(client: TestClient, new_photos: Path):
    content = files(new_photos)[0].read_bytes()
    document = client.post(f"{PREDICT}?top=2", content=content).json()
    assert len(document["predictions"][0]["top"]) == 2


def test_without_a_test_for_the_unknown(folder: Path, new_photos: Path):
    app = build_app(serve(folder, unknown=None))
    document = TestClient(app).post(PREDICT, content=files(new_photos)[0].read_bytes()).json()
    assert document["predictions"][0]["known"] is None


def test_if_no_image_can_be_read_the_status_says_so(client: TestClient):
    answer = client.post(PREDICT, content=b"text")
    assert answer.status_code == 422
    assert answer.json()["error"] == "no image could be read: not an image"


JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "multipart/form-data; boundary=x"}
PART = b'--x\r\nContent-Disposition: form-data; name="a"; filename="a"\r\n\r\nhello\r\n'


@pytest.mark.parametrize(
    ("status", "content", "headers"),
    [
        (400, b"", {}),
        (400, b"{", JSON),
        (400, b"[" * 100_000, JSON),
        (400, b'{"image": []}', JSON),
        (400, b'{"images": []}', JSON),
        (413, json.dumps({"images": [""] * 9}).encode(), JSON),
        (400, PART, FORM),
        (400, b"--y\r\n", FORM),
        (400, b"--x--\r\n", {"Content-Type": "multipart/form-data"}),
        (400, b"--x\r\n" + b"A" * 20_000, FORM),
        (413, 9 * PART + b"--x--\r\n", FORM),
        (413, 17 * PART.replace(b'; filename="a"', b"") + b"--x--\r\n", FORM),
        (415, b"hello", {"Content-Type": "text/html"}),
        (415, b"hello", {"Content-Encoding": "gzip"}),
        (413, b"x" * 300_001, {}),
        (422, png(400, 251), {}),
    ],
)
def test_what_cannot_be_used_is_answered_in_words(
    client: TestClient, status: int, content: bytes, headers: dict[str, str]
):
    answer = client.post(PREDICT, content=content, headers=headers)
    assert answer.status_code == status
    sentence = answer.json()["error"]
    assert 10 < len(sentence) < 400
    assert "Traceback" not in answer.text


def test_limits_name_themselves(client: TestClient):
    assert "0.1 million" in client.post(PREDICT, content=png(400, 251)).json()["error"]
    assert client.post(PREDICT, content=png(400, 250)).status_code == 200
    long = client.post(PREDICT, content=iter([b"x" * 200_000] * 2))  # without Content-Length
    assert long.status_code == 413
    assert "300,000 bytes" in long.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v1/models/cats/predict", 404),
        ("GET", "/v1/models/cats", 404),
        ("GET", PREDICT, 405),
        ("GET", "/etc/passwd", 404),
        ("GET", "/docs/../../etc/passwd", 404),
        ("POST", f"{PREDICT}?top=0", 422),
        ("POST", f"{PREDICT}?top=2&top=3", 422),
        ("POST", f"{PREDICT}?explain=all", 422),
    ],
)
def test_wrong_addresses(client: TestClient, method: str, path: str, status: int):
    answer = client.request(method, path, content=b"x" if method == "POST" else None)
    assert answer.status_code == status
    assert set(answer.json()) == {"error"}
    assert status != 405 or "takes POST, not GET" in answer.json()["error"]


@pytest.mark.parametrize("path", ["/v1/models", PREDICT.removesuffix("/predict"), "/metrics"])
def test_whether_there_is_an_answer_can_be_asked(client: TestClient, path: str):
    assert client.head(path).status_code == client.get(path).status_code == 200


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("topp=2", "there is no parameter 'topp'; choose from top, explain"),
        ("top=abc", "the parameter top is 'abc'; it must be a whole number"),
        ("top=0", "the parameter top is '0'; it must be at least 1"),
        ("top=10001", "the parameter top is '10001'; it must be at most 10,000"),
        ("explain=all", "the parameter explain is 'all'; it must be grad-cam or places"),
    ],
)
def test_parameters_in_plain_words(client: TestClient, query: str, message: str):
    answer = client.post(f"{PREDICT}?{query}", content=png(9, 9))
    assert answer.status_code == 422
    assert answer.json() == {"error": message}


def test_pages_without_parameters(client: TestClient):
    answer = client.get("/v1/models?top=1")
    assert answer.json()["error"] == "there is no parameter 'top'; this address takes none"
    assert client.get("/v2/models/textures?top=1").status_code == 200


def test_what_to_install_is_for_the_log(
    client: TestClient, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.setattr(logging.getLogger("headstart.serving"), "propagate", True)
    answer = client.post(PREDICT, content=b"\0\0\0\x18ftypheic" + bytes(100))
    assert answer.status_code == 422
    assert "the server cannot read this format; send" in answer.json()["error"]
    assert "pip" not in answer.text
    assert "pip install" in caplog.text


def test_base64_in_pieces(client: TestClient, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(request_images, "_PIECE", 8)
    for length in range(20):
        content = bytes(range(length))
        text = b64encode(content).decode()
        assert request_images.from_base64(text).content == content
        for wrong in (f"{text}A", f"{text}====", f"{text[:4]}====", f"QQ=={text}A==="):
            assert request_images.from_base64(wrong).content is None
    assert request_images._number_of_values(b'{"a": [1, 2, {"b": 3}]}') == 7


def test_a_full_queue_is_answered_at_once(client: TestClient, service: Service):
    with service.admission.work(SMALL.queue):
        answer = client.post(PREDICT, content=png(9, 9))
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 0
    assert client.post(PREDICT, content=png(9, 9)).status_code == 200


def test_bodies_share_their_memory(client: TestClient, service: Service):
    with service.admission.body() as other:
        service.admission.take(4 * SMALL.max_bytes - 10)
        other.taken = 4 * SMALL.max_bytes - 10
        assert client.post(PREDICT, content=png(9, 9)).status_code == 429
    assert client.post(PREDICT, content=png(9, 9)).status_code == 200


def test_long_bodies_leave_time_for_others(
    client: TestClient, service: Service, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(admission, "_AT_ONCE", 0)
    monkeypatch.setattr(admission, "_PAUSE", 0.2)
    with service.admission.request():
        started = time.perf_counter()
        assert client.post(PREDICT, content=png(9, 9)).status_code == 200
        assert time.perf_counter() - started > 0.2


@pytest.fixture
def own(folder: Path) -> Iterator[TestClient]:
    """A server of the test's own, with little time."""
    app = build_app(serve(folder, replace(SMALL, timeout=0.2)))
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def replaced(patch: pytest.MonkeyPatch, does: Callable[..., Any]) -> None:
    patch.setattr(OnlinePredictor, "predict", does)


def test_a_model_that_fails_tells_nothing(own: TestClient, monkeypatch: pytest.MonkeyPatch):
    def fail(*images: object) -> None:
        raise RuntimeError("a secret")

    replaced(monkeypatch, fail)
    answer = own.post(PREDICT, content=png(9, 9))
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "headstart/" not in answer.text


def test_an_answer_that_takes_too_long(own: TestClient, monkeypatch: pytest.MonkeyPatch):
    plain = OnlinePredictor.predict

    def slow(self: OnlinePredictor, images: Any) -> Any:
        time.sleep(0.6)
        return plain(self, images)

    replaced(monkeypatch, slow)
    answer = own.post(PREDICT, content=png(9, 9))
    assert answer.status_code == 503
    assert "0.2 s;" in answer.json()["error"]


def test_models_are_described(client: TestClient):
    (summary,) = client.get("/v1/models").json()["models"]
    assert summary["name"] == "textures"
    assert summary["classes"] == ["checks", "noise", "stripes"]
    found = client.get("/v1/models/textures").json()
    assert found["card"].startswith("#")
    assert found["description"]["classes"] == summary["classes"]
    assert found["version"] == summary["version"]


def test_models_say_what_their_accuracy_is_worth(client: TestClient):
    (one,) = client.get("/v1/models").json()["models"]
    low, high = one["interval"]
    assert low <= one["accuracy"] <= high
    assert one["baseline"] == {"label": one["classes"][0], "accuracy": pytest.approx(1 / 3)}
