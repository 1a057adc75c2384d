"""The interface is what it says of itself, at /openapi.json and at /docs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from starlette.testclient import TestClient

from headstart.serving.app import build_app
from tests.serving.conftest import serve


@pytest.fixture(scope="module")
def interface(folder: Path) -> Any:
    schemathesis = pytest.importorskip("schemathesis")
    return schemathesis.openapi.from_asgi("/openapi.json", build_app(serve(folder)))


@pytest.mark.slow
def test_every_answer_is_described(interface: Any):
    """Requests that fit the description, and some that do not, with parameters of all kinds."""
    tried = 0
    for result in interface.get_all_operations():
        operation = result.ok()

        @settings(
            max_examples=6,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def check(case: Any) -> None:
            nonlocal tried
            case.call_and_validate()
            tried += 1

        from hypothesis import given

        given(operation.as_strategy())(check)()
    assert tried > 25


def test_examples_are_given(client: TestClient):
    document = client.get("/openapi.json").json()
    posts = [one["post"] for one in document["paths"].values() if "post" in one]
    assert len(posts) == 3
    for one in posts:
        assert "example" in one["requestBody"]["content"]["application/json"]
    assert document["components"]["schemas"]["Predictions"]["examples"]


def test_the_documentation_needs_nothing_from_elsewhere(client: TestClient):
    page = client.get("/docs")
    assert "//" not in page.text.replace("<!doctype", "")
    for name in ("swagger-ui-bundle.js", "swagger-ui.css", "start.js"):
        assert f"docs/{name}" in page.text
        assert client.get(f"/docs/{name}").status_code == 200
    assert client.get("/docs/main.py").status_code == 404
