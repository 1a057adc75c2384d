"""Connections of strangers: slow, endless, and much too long."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from headstart.serving import protocol
from tests.serving.conftest import SMALL, Running

POST = b"POST /v1/models/textures/predict HTTP/1.1\r\nHost: x\r\n"


def talk(server: Running, *parts: bytes, pause: float = 0) -> bytes:
    """Send parts, and return everything that is answered until the server closes or 5 s pass."""
    with socket.create_connection((server.host, server.port), timeout=5) as connection:
        found = b""
        try:
            for part in parts:
                connection.sendall(part)
                time.sleep(pause)
            while data := connection.recv(65536):
                found += data
        except (ConnectionError, TimeoutError):
            pass
        return found


def test_a_length_that_is_too_long_is_refused_unread(run: Callable[..., Running]):
    answer = talk(run(), POST + b"Connection: close\r\nContent-Length: 2000000000\r\n\r\nabc")
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"300,000 bytes" in answer


def test_a_slow_body(run: Callable[..., Running]):
    server = run(replace(SMALL, timeout=0.3))
    started = time.perf_counter()
    answer = talk(server, POST + b"Connection: close\r\nContent-Length: 9\r\n\r\n", b"a", pause=0.1)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"0.3 s to" in answer
    assert time.perf_counter() - started < 2


def test_a_connection_that_says_nothing_is_closed(
    run: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(protocol, "_SECONDS", 0.2)
    server = run()
    started = time.perf_counter()
    assert talk(server, b"GET / HTTP/1.1\r\n", b"A: b\r\n", pause=0.05) == b""
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize(
    "content",
    [
        b"GET / HTTP/1.1\r\nA: " + b"b" * 400_000,
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 70_000,
        b"GET /" + b"a" * 400_000,
        POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n" + b"A: b\r\n" * 70_000,
    ],
    ids=["value", "headers", "path", "trailers"],
)
def test_heads_without_end(run: Callable[..., Running], content: bytes):
    server = run()
    answer = talk(server, content)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400 ")
    assert talk(server, b"GET /v2/health/live HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200 ")


def test_what_is_no_http(run: Callable[..., Running]):
    assert talk(run(), b"\x16\x03\x01\x02\x00\x01\x00").startswith(b"HTTP/1.1 400 ")


def test_requests_after_another_on_a_connection(run: Callable[..., Running]):
    live = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n"
    answer = talk(run(), live + b"\r\n" + live + b"\r\n", live + b"Connection: close\r\n\r\n")
    assert answer.count(b"HTTP/1.1 200 ") == 3


def test_chunks_of_a_byte(run: Callable[..., Running]):
    body = b"1\r\na\r\n" * 2_000 + b"0\r\n\r\n"
    head = POST + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert talk(run(), head + body).startswith(b"HTTP/1.1 422 ")


def test_what_is_sent_after_the_answer_is_dropped_slowly(
    run: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(protocol, "_REST", 0.05)
    live = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    started = time.perf_counter()
    body = POST + b"Content-Length: 4000000\r\n\r\n" + bytes(4_000_000)
    answers = talk(run(), body, live)
    assert answers.startswith(b"HTTP/1.1 413 ")
    assert b"HTTP/1.1 200 " in answers
    assert time.perf_counter() - started > 0.5
