"""A loader for HTTP servers: requests on connections that stay open, at full speed or at a rate."""

import asyncio
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field


@dataclass
class Load:
    """What a loader saw.

    Attributes:
        seconds: How long it ran.
        times: Seconds of each request, from when it was due.
        statuses: How many answers had each status.
    """

    seconds: float = 0.0
    times: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)

    def __iadd__(self, other: "Load") -> "Load":
        """Add what was seen after this."""
        self.seconds += other.seconds
        self.times += other.times
        for status, count in other.statuses.items():
            self.statuses[status] = self.statuses.get(status, 0) + count
        return self

    @property
    def rate(self) -> float:
        """Answers per second."""
        return len(self.times) / self.seconds

    def quantile(self, share: float) -> float:
        """Return the time in milliseconds that a share of the requests took at most."""
        ordered = sorted(self.times)
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def as_request(path: str, content: bytes, content_type: str) -> bytes:
    """Return a POST request on a connection that stays open."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\n"
    return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content


def as_form(path: str, field_name: str, content: bytes) -> bytes:
    """Return a POST request with a form of one file."""
    head = f'Content-Disposition: form-data; name="{field_name}"; filename="a.jpg"'
    body = b"--xyz\r\n%s\r\nContent-Type: image/jpeg\r\n\r\n%s\r\n--xyz--\r\n"
    return as_request(path, body % (head.encode(), content), "multipart/form-data; boundary=xyz")


async def answer_of(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Read an answer: its status and its body."""
    head = await reader.readuntil(b"\r\n\r\n")
    status, length = int(head[9:12]), 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line[15:])
    return status, await reader.readexactly(length)


async def run(
    port: int,
    requests: Sequence[bytes],
    *,
    clients: int,
    seconds: float,
    rate: float | None = None,
) -> Load:
    """Send requests for some seconds.

    Args:
        port: Port on this machine.
        requests: Sent in turn.
        clients: Connections, each with one request at a time.
        seconds: Time after which no request is sent.
        rate: Requests per second of all clients; None for as many as are answered. Times count
            from when a request is due, whether or not a connection is free.
    """
    load, following = Load(), itertools.cycle(requests)
    started = time.perf_counter()
    due = _due(started, rate)

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while True:
            moment = next(due) if rate else time.perf_counter()
            if moment > started + seconds:
                break
            await asyncio.sleep(max(0.0, moment - time.perf_counter()))
            writer.write(next(following))
            status, _ = await answer_of(reader)
            now = time.perf_counter()
            load.times.append(now - moment)
            load.statuses[status] = load.statuses.get(status, 0) + 1
        writer.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    load.seconds = time.perf_counter() - started
    return load


def _due(started: float, rate: float | None) -> Iterator[float]:
    for number in itertools.count():
        yield started + number / (rate or 1)
