"""Around every request: keys, headers for browsers, the log and the figures."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import time
from collections.abc import Sequence
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headstart.serving.metrics import Metrics
from headstart.system.text import one_line

OPEN: Final = frozenset(
    {"/", "/docs", "/openapi.json", "/v2/health/live", "/v2/health/ready"}
    | {f"/docs/{name}" for name in ("swagger-ui-bundle.js", "swagger-ui.css", "start.js")}
)
"""Paths that need no key, as they tell nothing about the models."""
_SAFE: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Headers of every answer that does not have them already."""
_log = logging.getLogger("headstart.access")
_failures = logging.getLogger(__name__)


class FailureAnswer:
    """Answers when a defect raises, so that the middleware around it can add headers to the answer.

    Args:
        app: What answers otherwise.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        started = False

        async def note(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, note)
        except Exception:
            if started or scope["type"] != "http":  # uvicorn reports it and closes the connection
                raise
            _failures.exception("a request failed")
            answer = JSONResponse({"error": "the server failed; its log says why"}, 500)
            await answer(scope, receive, send)


class Guard:
    """Adds headers to every answer, writes a line about it to the log, and counts it.

    Args:
        app: What answers.
        metrics: Where requests are counted.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0

        async def send_safely(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in _SAFE.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, send_safely)
        finally:
            self._note(scope, status or 500, time.perf_counter() - started)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = scope.get("route")
        path = getattr(route, "path", "other")  # not the path itself: strangers send any number
        method = scope["method"] if path != "other" else "any"
        self._metrics.requests.labels(method, path, status).inc()
        self._metrics.seconds.labels(path).observe(seconds)
        client = scope.get("client") or ("-", 0)
        _log.info(
            "",
            extra={
                "client": client[0],
                "method": scope["method"],
                "path": scope["path"][:300],
                "status": status,
                "ms": round(1000 * seconds, 1),
            },
        )


class KeyCheck:
    """Lets only requests with a key pass, except for open paths.

    Args:
        app: What answers.
        keys: The keys.
    """

    def __init__(self, app: ASGIApp, *, keys: Sequence[bytes]) -> None:
        self._app = app
        self._digests = [hashlib.sha256(key).digest() for key in keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http" or scope["path"] in OPEN or self._has_key(Headers(scope=scope)):
            await self._app(scope, receive, send)
            return
        answer = JSONResponse(
            {"error": "a key is needed; send 'Authorization: Bearer KEY' or 'X-API-Key: KEY'"},
            status_code=401,
            headers={"WWW-Authenticate": "Bearer"},
        )
        await answer(scope, receive, send)

    def _has_key(self, headers: Headers) -> bool:
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        given = bearer.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
        digest = hashlib.sha256(given.encode("latin-1")).digest()
        # All keys are compared, which takes the same time for every request.
        return sum(hmac.compare_digest(digest, one) for one in self._digests) > 0


class AccessFormatter(logging.Formatter):
    """Writes the lines of the log.

    Args:
        as_json: Whether each line is a JSON object.
    """

    def __init__(self, *, as_json: bool) -> None:
        super().__init__()
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
        if record.name == _log.name:
            names = ("client", "method", "path", "status", "ms")
            fields = {name: getattr(record, name) for name in names}
            text = "{client} {method} {path} {status} {ms} ms".format(**fields)
        else:
            fields = {"level": record.levelname.lower(), "message": record.getMessage()}
            text = f"{fields['level']}: {fields['message']}"
            if record.exc_info:
                fields["traceback"] = self.formatException(record.exc_info)
                text += f"\n{fields['traceback']}"
        if self._as_json:
            return json.dumps({"time": moment, **fields})
        return f"{moment} {text if record.exc_info else one_line(text)}"
