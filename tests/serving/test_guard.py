"""Keys, headers for browsers, origins, the log and the figures."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from headstart.serving.app import build_app
from headstart.serving.guard import AccessFormatter
from headstart.serving.service import Service
from tests.conftest import files
from tests.serving.conftest import SMALL, serve

KEY = "0123456789abcdef"
MODELS = "/v1/models"


@pytest.fixture
def locked(folder: Path, tmp_path: Path) -> TestClient:
    """A server that wants a key and lets one origin in."""
    path = tmp_path / "keys.txt"
    path.write_text(f"# who\n{KEY}\n\n{'ü' * 16}\n")
    return TestClient(
        build_app(serve(folder, replace(SMALL, api_key_file=path, cors=["https://example.org"])))
    )


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {KEY}"},
        {"Authorization": f"bearer {KEY}"},
        {"X-API-Key": KEY},
        {"X-API-Key": "ü" * 16},
    ],
)
def test_a_key_opens(locked: TestClient, headers: dict[str, str]):
    raw = {name: value.encode() for name, value in headers.items()}
    assert locked.get(MODELS, headers=raw).status_code == 200


@pytest.mark.parametrize(
    "headers", [{}, {"X-API-Key": KEY[:-1]}, {"Authorization": f"Basic {KEY}"}, {"X-API-Key": ""}]
)
@pytest.mark.parametrize("path", [MODELS, "/v2", "/metrics", "/v2/models/textures", "/nowhere"])
def test_nothing_else_does(locked: TestClient, headers: dict[str, str], path: str):
    answer = locked.get(path, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert "key" in answer.json()["error"]


@pytest.mark.parametrize("path", ["/", "/docs", "/v2/health/live", "/v2/health/ready"])
def test_the_page_and_the_health_are_open(locked: TestClient, path: str):
    assert locked.get(path).status_code == 200
    assert locked.head(path).status_code == 200


def test_the_documentation_asks_for_a_key(locked: TestClient, client: TestClient):
    def schemes(one: TestClient) -> dict[str, object]:
        return one.get("/openapi.json").json()["components"].get("securitySchemes", {})

    assert "APIKeyHeader" in schemes(locked)
    assert not schemes(client)


def test_only_named_origins_may_ask(client: TestClient, locked: TestClient):
    asked = {"Origin": "https://example.org", "Access-Control-Request-Method": "POST"}
    path = f"{MODELS}/textures/predict"
    allow = "access-control-allow-origin"
    assert locked.options(path, headers=asked).headers[allow] == "https://example.org"
    assert allow not in locked.options(path, headers=asked | {"Origin": "https://a.b"}).headers
    assert allow not in client.get(MODELS, headers=asked).headers


@pytest.mark.parametrize("path", ["/", "/docs", MODELS, "/nowhere"])
def test_every_answer_is_safe_in_a_browser(client: TestClient, path: str):
    headers = client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "server" not in headers


def test_a_failure_is_answered_like_everything_else(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    def fail(self: Service, *arguments: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(Service, "replica", fail)
    logger = logging.getLogger("headstart.serving")
    monkeypatch.setattr(logger, "propagate", True)
    monkeypatch.setattr(logger, "handlers", [])  # pytest adds its own if it did not propagate
    app = build_app(serve(folder, replace(SMALL, cors=["https://example.org"])))
    client = TestClient(app, raise_server_exceptions=False)
    answer = client.get(f"{MODELS}/textures", headers={"Origin": "https://example.org"})
    assert answer.status_code == 500
    assert answer.headers["access-control-allow-origin"] == "https://example.org"
    assert answer.json() == {"error": "the server failed; its log says why"}
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    (record,) = [one for one in caplog.records if one.name == "headstart.serving.guard"]
    assert record.exc_info is not None
    assert "a secret" in str(record.exc_info[1])


def test_figures_are_counted(folder: Path, new_photos: Path):
    client = TestClient(build_app(serve(folder)))
    sent = [("f", one.read_bytes()) for one in files(new_photos)[:3]]
    client.post(f"{MODELS}/textures/predict", files=[*sent, ("f", b"none")])
    client.get("/nowhere/at/all")
    text = client.get("/metrics").text
    for line in (
        'headstart_requests_total{method="POST",path="/v1/models/{name}/predict",status="200"} 1.0',
        'headstart_requests_total{method="any",path="other",status="404"} 1.0',
        'headstart_images_total{model="textures",result="unreadable"} 1.0',
        "headstart_batch_images_sum 3.0",
        "headstart_images_in_progress 0.0",
        'headstart_model_loads_total{model="textures",result="loaded"} 1.0',
    ):
        assert f"{line}\n" in text
    assert "nowhere" not in text


@pytest.mark.parametrize("as_json", [False, True])
def test_the_log_has_a_line_for_each_request(client: TestClient, as_json: bool):
    stream = StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(AccessFormatter(as_json=as_json))
    logger = logging.getLogger("headstart.access")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        client.post("/v1/models/a%0Ab/predict?x=secret", content=b"the image")
    finally:
        logger.removeHandler(handler)
    (line,) = stream.getvalue().splitlines()
    assert "secret" not in line
    assert "the image" not in line
    if as_json:
        entry = json.loads(line)
        assert entry["status"] == 422
        assert entry["path"] == "/v1/models/a\nb/predict"
        assert entry["ms"] >= 0
    else:
        assert " POST /v1/models/a\\nb/predict 422 " in line


@pytest.mark.parametrize("as_json", [False, True])
def test_the_log_has_failures(as_json: bool):
    try:
        raise ValueError("why")
    except ValueError as error:
        info = (ValueError, error, error.__traceback__)
        record = logging.LogRecord("headstart.serving", logging.ERROR, "", 0, "it failed", (), info)
    text = AccessFormatter(as_json=as_json).format(record)
    assert "it failed" in text
    assert "why" in text
    assert not as_json or json.loads(text)["level"] == "error"
