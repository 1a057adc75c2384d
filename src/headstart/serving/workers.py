"""The processes of a server that has several."""

from __future__ import annotations

import socket

from prometheus_client.multiprocess import mark_process_dead
from uvicorn import Config
from uvicorn.supervisors import Multiprocess


class Workers(Multiprocess):
    """Starts processes, and others in place of those that have ended.

    Args:
        config: What they run.
        sockets: Where they listen.
    """

    def __init__(self, config: Config, sockets: list[socket.socket]) -> None:
        super().__init__(config, sockets)
        self._pids: set[int | None] = set()

    def keep_subprocess_alive(self) -> None:
        """Replace processes that have ended, whose images are no longer in progress."""
        super().keep_subprocess_alive()
        pids = {process.pid for process in self.processes}
        for pid in self._pids - pids:
            mark_process_dead(pid)  # type: ignore[no-untyped-call]
        self._pids = pids
