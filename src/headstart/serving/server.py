"""Run the application: sockets, processes, signals and the log."""

from __future__ import annotations

import errno
import gc
import logging
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import uvicorn
from fastapi import FastAPI

from headstart.errors import UserError
from headstart.models.saved_model import load_model
from headstart.serving.app import build_app
from headstart.serving.guard import AccessFormatter
from headstart.serving.metrics import SHARED_FOLDER
from headstart.serving.protocol import LimitedProtocol
from headstart.serving.replica import OpenExtractor
from headstart.serving.service import Service
from headstart.serving.settings import ModelSource, ServingSettings
from headstart.system.machine import one_blas_thread

_WORKER_SECONDS: Final = 60
"""Time in which a process must react; loading models holds it up."""
_TURN: Final = 0.001
"""Seconds for which a thread may keep Python's lock while others wait for it; 0.005 by default. A
request changes threads several times."""
_GRACE: Final = 5
"""Seconds beyond the timeout of requests that the end waits for them."""


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server that is not running yet; it can be sent to other processes.

    Attributes:
        sources: The models.
        settings: How they are served.
        open_extractor: Loads the networks of a model.
        unknown: Rate at which images of known classes are called unknown; None for never.
        json_log: Whether the lines of the log are JSON.
    """

    sources: Sequence[ModelSource]
    settings: ServingSettings
    open_extractor: OpenExtractor
    unknown: float | None
    json_log: bool = False

    def listen(self) -> socket.socket:
        """Return a socket that listens, but is not answered yet.

        Raises:
            UserError: The address cannot be used.
        """
        host, port = self.settings.host, self.settings.port
        try:
            family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
            opened = socket.create_server((host, port), family=family, backlog=2048)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise UserError(
                    f"port {port} on {host} is in use by another program; choose another --port, "
                    "or --port 0 for a free one"
                ) from error
            reason = (error.strerror or str(error)).lower()
            raise UserError(
                f"cannot listen on {host}, port {port}: {reason}; choose another --port or --host"
            ) from error
        opened.set_inheritable(True)
        return opened

    def check(self) -> None:
        """Check what the processes would fail on, without loading the networks.

        Raises:
            HeadstartError: A model cannot be read.
        """
        for source in self.sources:
            load_model(source.folder)

    def app(self) -> FastAPI:
        """Load the models and return the application.

        Raises:
            HeadstartError: A model cannot be loaded, or the file with keys cannot be used.
        """
        set_up_log(as_json=self.json_log)
        one_blas_thread()  # for good: the lanes use all cores already
        sys.setswitchinterval(_TURN)
        service = Service(
            self.sources,
            self.settings,
            open_extractor=self.open_extractor,
            unknown=self.unknown,
        )
        app = build_app(service)
        # Else garbage collection goes through all models and modules: 0.1 s without an answer.
        gc.freeze()
        return app

    def run(self, listening: socket.socket, app: FastAPI) -> None:
        """Serve in this process until SIGTERM or Ctrl-C; requests in progress are answered."""
        # uvicorn raises the signal again when it has ended, which would be the exit code.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _ignore)
        uvicorn.Server(self._config(app)).run(sockets=[listening])

    def run_workers(self, listening: socket.socket) -> None:
        """Serve in several processes until SIGTERM or Ctrl-C."""
        from headstart.serving.workers import Workers

        with tempfile.TemporaryDirectory(prefix="headstart-metrics-") as folder:
            os.environ[SHARED_FOLDER] = folder
            config = self._config(self.app, factory=True)
            Workers(config, sockets=[listening]).run()

    def _config(self, app: Any, **options: Any) -> uvicorn.Config:
        return uvicorn.Config(
            app,
            http=LimitedProtocol,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            workers=self.settings.workers,
            timeout_graceful_shutdown=round(2 * self.settings.timeout) + _GRACE,
            timeout_worker_healthcheck=_WORKER_SECONDS,
            **options,
        )


def _ignore(number: int, frame: object) -> None:
    del number, frame


def set_up_log(*, as_json: bool) -> None:
    """Write a line about each request, and warnings, to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(AccessFormatter(as_json=as_json))
    for name, level in (
        ("headstart.access", logging.INFO),
        ("headstart.serving", logging.INFO),
        ("uvicorn.error", logging.ERROR),
        ("python_multipart", logging.ERROR),  # it warns of each malformed form
    ):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)
