"""The process: where it listens, and how it ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, cast

import pytest
import uvicorn
from uvicorn.supervisors import Multiprocess

from headstart.errors import UserError
from headstart.serving.metrics import SHARED_FOLDER
from headstart.serving.server import Server
from headstart.serving.settings import ModelSource
from headstart.serving.workers import Workers
from tests.conftest import files
from tests.serving.conftest import SMALL, Running, open_tiny


def server(host: str, port: int) -> Server:
    return Server(
        sources=[ModelSource("a", Path("a"))],
        settings=replace(SMALL, host=host, port=port),
        open_extractor=open_tiny,
        unknown=None,
    )


def test_an_address_that_cannot_be_used():
    with server("127.0.0.1", 0).listen() as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf"port {port} on 127\.0\.0\.1 is in use .* --port"):
            server("127.0.0.1", port).listen()
    with pytest.raises(UserError, match=r"cannot listen on 192\.0\.2\.1"):
        server("192.0.2.1", 0).listen()


def test_malformed_forms_leave_no_line(
    run: Callable[..., Running], caplog: pytest.LogCaptureFixture
):
    running = run()
    connection = HTTPConnection(running.host, running.port, timeout=10)
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    connection.request("POST", "/v1/models/textures/predict", b"--y\r\n", form)
    assert connection.getresponse().status == 400
    connection.close()
    assert not caplog.records


def test_a_process_that_has_ended_does_not_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    class Process:
        def __init__(self, pid: int) -> None:
            self.pid = pid

    monkeypatch.setenv(SHARED_FOLDER, str(tmp_path))
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)
    monkeypatch.setattr(Multiprocess, "keep_subprocess_alive", lambda self: None)
    for pid in (11, 12):
        (tmp_path / f"gauge_livesum_{pid}.db").touch()
    (tmp_path / "counter_11.db").touch()
    workers = Workers(uvicorn.Config("app"), [])
    for pids in ((11, 12), (12, 13)):
        workers.processes = [cast("Any", Process(pid)) for pid in pids]
        workers.keep_subprocess_alive()
    assert sorted(one.name for one in tmp_path.iterdir()) == [
        "counter_11.db",
        "gauge_livesum_12.db",
    ]


Start = Callable[..., tuple["subprocess.Popen[str]", int]]


@pytest.fixture
def start(model: Path) -> Iterator[Start]:
    """Starts `headstart serve` and returns its process and port."""
    started: list[subprocess.Popen[str]] = []

    def run(*options: str) -> tuple[subprocess.Popen[str], int]:
        command = [sys.executable, "-m", "headstart", "serve", f"m={model}", "--port", "0"]
        process = subprocess.Popen(
            [*command, *options], stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        started.append(process)
        assert process.stderr is not None
        line = process.stderr.readline()
        assert "1 model on http://127.0.0.1:" in line
        return process, int(line.partition("127.0.0.1:")[2].split(",")[0].split(";")[0])

    yield run
    for process in started:
        with suppress(ProcessLookupError):  # it ended, with all its children
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def get(port: int, path: str) -> str:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path)
    text = connection.getresponse().read().decode()
    connection.close()
    return text


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_requests_in_progress_are_answered_before_the_end(
    start: Start, new_photos: Path, number: int
):
    process, port = start()
    content = files(new_photos)[0].read_bytes()
    get(port, "/v2/health/ready")
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        head = f"POST /v1/models/m/predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(content)}"
        connection.sendall(f"{head}\r\n\r\n".encode() + content[:100])
        time.sleep(0.3)
        process.send_signal(number)
        time.sleep(0.3)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=5)
        connection.sendall(content[100:])
        assert connection.recv(100).startswith(b"HTTP/1.1 200 OK")
    assert process.wait(30) == 0


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM")
def test_several_processes(start: Start, new_photos: Path):
    process, port = start("--workers", "2", "--json")
    content = files(new_photos)[0].read_bytes()
    for _ in range(12):
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("POST", "/v1/models/m/predict", content)
        assert connection.getresponse().status == 200
        connection.close()
    line = 'headstart_requests_total{method="POST",path="/v1/models/{name}/predict",status="200"}'
    assert f"{line} 12.0" in get(port, "/metrics")  # those of both
    process.terminate()
    assert process.wait(60) == 0
