"""What people and Prometheus open: the page at /, the documentation at /docs, and /metrics."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from functools import cache
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from headstart.serving.errors import RequestError
from headstart.serving.metrics import CONTENT_TYPE
from headstart.serving.service import service_of

_FILES: Final = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}
_DOCS: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>headstart: the interface</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="docs"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
_START: Final = """SwaggerUIBundle({
  url: "openapi.json", dom_id: "#docs", deepLinking: true, validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis], layout: "BaseLayout",
});
"""
_DOCS_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    " connect-src 'self'; font-src data:; base-uri 'none'; frame-ancestors 'none'"
)

router = APIRouter(include_in_schema=False)


@router.head("/")
@router.get("/")
async def page() -> HTMLResponse:
    """Return the page for people."""
    text, policy = _page()
    return HTMLResponse(text, headers={"Content-Security-Policy": policy})


@router.head("/docs")
@router.get("/docs")
async def docs() -> HTMLResponse:
    """Return the documentation of the interface."""
    return HTMLResponse(_DOCS, headers={"Content-Security-Policy": _DOCS_POLICY})


@router.get("/docs/{name}")
async def docs_file(name: str) -> Response:
    """Return a file of the documentation, which comes with a package, not from elsewhere."""
    if name == "start.js":
        return Response(_START, media_type="text/javascript")
    if name not in _FILES:
        raise RequestError(404, "there is no such page; see /docs")
    headers = {"Cache-Control": "max-age=3600"}
    return Response(_swagger_file(name), media_type=_FILES[name], headers=headers)


@router.head("/metrics")
@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """Return figures for Prometheus."""
    return Response(service_of(request).metrics.text(), media_type=CONTENT_TYPE)


@cache
def _swagger_file(name: str) -> bytes:
    spec = find_spec("fastapi_swagger")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return (Path(spec.submodule_search_locations[0]) / "resources" / name).read_bytes()


@cache
def _page() -> tuple[str, str]:
    """Return the page, and a policy that allows its own script and style and no others."""
    text = (resources.files("headstart.serving") / "page.html").read_text(encoding="utf-8")
    (script,) = re.findall(r"<script>(.*?)</script>", text, flags=re.DOTALL)
    (style,) = re.findall(r"<style>(.*?)</style>", text, flags=re.DOTALL)
    script_hash, style_hash = (
        b64encode(hashlib.sha256(part.encode()).digest()).decode() for part in (script, style)
    )
    policy = (
        f"default-src 'none'; script-src 'sha256-{script_hash}'; style-src 'sha256-{style_hash}'; "
        "img-src blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
    return text, policy
