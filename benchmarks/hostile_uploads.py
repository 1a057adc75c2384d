"""Uploads that strangers may send, of 20 kinds. Each must be answered with 4xx, in words."""

import asyncio
import io
import json
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from PIL import Image

from http_load import answer_of, as_request

PATH = "/v1/models/m/predict"
_PART = 65_536
"""Bytes written at once: a loader that is busy would look like a slow server."""


@dataclass(frozen=True)
class Upload:
    """A request that a stranger sends.

    Attributes:
        content: The bytes on the connection.
        rest: What is sent slowly after that, a byte at a time; None for nothing.
    """

    content: bytes
    rest: bytes | None = None


def png(width: int, height: int, *, rows: bytes | None = None) -> bytes:
    """Return a gray PNG of any size in a few bytes for each megabyte of pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        sum_ = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", sum_)

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    if rows is None:
        squeezer = zlib.compressobj(9)
        row = bytes(width + 1)
        rows = b"".join(squeezer.compress(row) for _ in range(height)) + squeezer.flush()
    parts = (chunk(b"IHDR", head), chunk(b"IDAT", rows), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def encoded(kind: str, side: int = 400) -> bytes:
    """Return an image of noise."""
    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def form(*parts: bytes, end: bytes = b"--x--\r\n") -> Upload:
    """Return a form with files."""
    head = b'--x\r\nContent-Disposition: form-data; name="f"; filename="../../etc/passwd"\r\n\r\n'
    body = b"".join(head + part + b"\r\n" for part in parts) + end
    return Upload(as_request(PATH, body, "multipart/form-data; boundary=x"))


def body(content: bytes, kind: str = "application/octet-stream") -> Upload:
    """Return a request with this body."""
    return Upload(as_request(PATH, content, kind))


def declared(size: int) -> Upload:
    """Return a request that declares more than it sends."""
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n"
    return Upload(head.encode() + b"x" * 1000)


def chunked(size: int) -> Upload:
    """Return a long body without a stated length."""
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    part = b"%x\r\n" % 100_000 + bytes(100_000) + b"\r\n"
    return Upload(head + part * (size // 100_000) + b"0\r\n\r\n")


def slow() -> Upload:
    """Return a body that arrives a byte at a time."""
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n"
    return Upload(head.encode(), bytes(5000))


_JPEG, _PNG = encoded("JPEG"), encoded("PNG")
_BOMB = png(30_000, 30_000)
KINDS: dict[str, Callable[[], Upload]] = {
    "PNG of 900 million pixels": lambda: body(_BOMB),
    "PNG of 2 billion pixels a side": lambda: body(png(2**31 - 1, 2**31 - 1, rows=b"")),
    "PNG whose rows are missing": lambda: body(png(6_000, 6_000, rows=zlib.compress(b"0"))),
    "truncated JPEG": lambda: body(_JPEG[: len(_JPEG) // 3]),
    "JPEG without its tables": lambda: body(_JPEG[:2] + _JPEG[300:]),
    "PNG with wrong sums": lambda: body(_PNG[:60] + b"abcdef" + _PNG[66:]),
    "empty body": lambda: body(b""),
    "HTML": lambda: body(b"<html><script>alert(1)</script></html>", "image/jpeg"),
    "ZIP": lambda: body(b"PK\x03\x04" + bytes(1000)),
    "SVG with entities": lambda: body(b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><svg/>'),
    "PostScript": lambda: body(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(a) run\n"),
    "a wrong content type": lambda: body(_JPEG, "text/plain"),
    "2 GB declared": lambda: declared(2_000_000_000),
    "60 MB without a length": lambda: chunked(60_000_000),
    "a slow body": slow,
    "1,000 files in a form": lambda: form(*[b"x"] * 1000),
    "a form without its end": lambda: form(b"x", end=b""),
    "JSON in 100,000 lists": lambda: body(b"[" * 100_000, "application/json"),
    "JSON with 6 million values": lambda: body(
        b'{"images": [' + b"0," * 6_000_000 + b"0]}", "application/json"
    ),
    "base64 of a bomb's head": lambda: body(
        json.dumps({"images": ["iVBORw0KGgo" + "A" * 5_000_000]}).encode(), "application/json"
    ),
}


async def send(port: int, upload: Upload, *, wait: float) -> tuple[int, str] | None:
    """Send an upload and return the answer's status and error; None if it was not answered."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def write() -> None:
        with suppress(ConnectionError):
            for start in range(0, len(upload.content), _PART):
                writer.write(upload.content[start : start + _PART])
                await writer.drain()
                await asyncio.sleep(0)  # `drain` alone returns at once while there is room
            for byte in upload.rest or b"":
                writer.write(bytes([byte]))
                await asyncio.sleep(0.1)

    writing = asyncio.create_task(write())
    try:
        async with asyncio.timeout(wait):
            status, content = await answer_of(reader)
        return status, str(json.loads(content).get("error", ""))
    except (ConnectionError, TimeoutError, asyncio.IncompleteReadError, ValueError):
        return None
    finally:
        writing.cancel()
        writer.close()


async def attack(port: int, *, uploads: int, at_once: int, wait: float) -> dict[str, list]:
    """Send uploads of all kinds in turn, and return the answers by kind."""
    sent = {kind: make() for kind, make in KINDS.items()}
    answers: dict[str, list] = {kind: [] for kind in KINDS}
    waiting = [kind for _, kind in zip(range(uploads), _cycle(), strict=False)]

    async def stranger() -> None:
        while waiting:
            kind = waiting.pop()
            answers[kind].append(await send(port, sent[kind], wait=wait))

    await asyncio.gather(*(stranger() for _ in range(at_once)))
    return answers


def _cycle():
    while True:
        yield from KINDS
