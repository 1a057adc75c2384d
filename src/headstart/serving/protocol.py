"""HTTP on a connection, with limits on what uvicorn waits for and keeps before an app sees it."""

from __future__ import annotations

import asyncio
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_HEAD: Final = 64 * 1024
"""Bytes of headers, and of what is sent between the chunks of a body, beyond those of the body."""
_SECONDS: Final = 10.0
"""Time for a connection to send the head of a request."""
_REST: Final = 0.01
"""Time between two reads of what is sent after the answer, and dropped: about 25 MB per second."""


class LimitedProtocol(HttpToolsProtocol):
    """Closes connections that send endless headers, or send nothing and wait."""

    _timer: asyncio.TimerHandle | None = None
    _overhead = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See `asyncio.BaseProtocol`."""
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.BaseProtocol`."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._overhead += len(data)
        super().data_received(data)
        if self._overhead > _HEAD and not self.transport.is_closing():
            self.send_400_response("The head of the request is too long.")

    def on_headers_complete(self) -> None:
        """Start a request."""
        self._stop_timer()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Receive a part of a body."""
        # Chunks of a byte each have six others around them.
        self._overhead = max(0, self._overhead - 2 * len(body))
        super().on_body(body)
        if self.cycle.response_complete and not self.flow.read_paused:
            self.flow.pause_reading()
            self.loop.call_later(_REST, self._read_on)

    def on_message_complete(self) -> None:
        """End a request."""
        self._overhead = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """End an answer, perhaps before the whole request was read."""
        super().on_response_complete()
        if self.cycle.response_complete:  # else the next request has been read already
            self._expect_head()

    def _read_on(self) -> None:
        if not self.transport.is_closing():
            self.flow.resume_reading()

    def _expect_head(self) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(_SECONDS, self._close)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _close(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()
