"""How much work a server accepts at a time, and the bodies of requests within limits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from starlette.requests import ClientDisconnect, Request

from headstart.serving.errors import RequestError, busy

_BODIES: Final = 4
"""Bodies of the largest size that are in memory at the same time."""
_AT_ONCE: Final = 2**20
"""Bytes of a body that are read as fast as they arrive."""
_PAUSE: Final = 0.002
"""Seconds before each of the following parts if there are other requests: about 100 MB per second,
so that reading what is large leaves time for what is small."""


@dataclass(frozen=True, slots=True)
class Body:
    """The content of a request.

    Attributes:
        content: Its bytes.
        content_type: The header, as sent; "" if there was none.
    """

    content: bytes
    content_type: str


class Admission:
    """Counts requests, images and bytes in progress, in the thread of the server.

    Args:
        queue: Most requests, and most images.
        max_bytes: Most bytes of a request.
        timeout: Seconds that a request may take to arrive.

    Attributes:
        max_bytes: Most bytes of a request.
        timeout: Seconds that a request may take to arrive.
        requests: Requests in progress.
        images: Images in progress.
    """

    def __init__(self, *, queue: int, max_bytes: int, timeout: float) -> None:
        self.max_bytes, self.timeout = max_bytes, timeout
        self._queue = queue
        self._bytes = 0
        self.requests = self.images = 0

    @contextmanager
    def request(self) -> Iterator[None]:
        """Count a request while the block runs.

        Raises:
            RequestError: There are too many.
        """
        if self.requests >= self._queue:
            raise busy()
        self.requests += 1
        try:
            yield
        finally:
            self.requests -= 1

    @contextmanager
    def work(self, images: int) -> Iterator[None]:
        """Count images while the block runs.

        Raises:
            RequestError: There are too many.
        """
        if self.images + images > self._queue:
            raise busy()
        self.images += images
        try:
            yield
        finally:
            self.images -= images

    @contextmanager
    def body(self) -> Iterator[BodyReader]:
        """Provide a reader; what it has read counts until the end of the block."""
        reader = BodyReader(self)
        try:
            yield reader
        finally:
            self._bytes -= reader.taken

    def take(self, size: int) -> None:
        """Count bytes of a body.

        Raises:
            RequestError: All bodies together have too many.
        """
        if self._bytes + size > _BODIES * self.max_bytes:
            raise busy()
        self._bytes += size


class BodyReader:
    """Reads the body of one request."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self.taken = 0

    async def read(self, request: Request) -> Body:
        """Return the body.

        Raises:
            RequestError: It is too long, too slow, or compressed.
        """
        headers = request.headers
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise RequestError(
                415, "compressed requests are not accepted; leave Content-Encoding out"
            )
        most = self._admission.max_bytes
        if int(headers.get("content-length") or 0) > most:
            raise _too_long(most)
        try:
            async with asyncio.timeout(self._admission.timeout):
                content = await self._read(request, most)
        except TimeoutError:
            raise RequestError(
                408, f"the request took more than {self._admission.timeout:g} s to arrive"
            ) from None
        except ClientDisconnect:
            raise RequestError(400, "the connection ended within the request") from None
        return Body(content, headers.get("content-type", ""))

    async def _read(self, request: Request, most: int) -> bytes:
        chunks = []
        async for chunk in request.stream():
            if self.taken + len(chunk) > most:
                raise _too_long(most)
            self._admission.take(len(chunk))
            self.taken += len(chunk)
            chunks.append(chunk)
            if self.taken > _AT_ONCE and self._admission.requests > 1:
                await asyncio.sleep(_PAUSE)
        return b"".join(chunks)


def _too_long(most: int) -> RequestError:
    return RequestError(413, f"the request has more than {most:,} bytes; send smaller images")
