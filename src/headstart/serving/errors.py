"""What is wrong with a request: an answer of the kind 4xx or 5xx, in words."""

from __future__ import annotations

from collections.abc import Mapping


class RequestError(Exception):
    """A request that is not fulfilled.

    Args:
        status: HTTP status.
        message: A sentence for whoever sent the request; it names no file of the server.
        headers: Further headers of the answer.
    """

    def __init__(
        self, status: int, message: str, *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, dict(headers or {})


def busy() -> RequestError:
    """Return the error for more work than the server accepts."""
    return RequestError(
        429, "the server has too much to do; try again in a second", headers={"Retry-After": "1"}
    )
