"""Work that threads do a little ahead of whoever needs it."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from headstart.system.machine import cores
from headstart.types import Pixels

_AHEAD = 4
"""Items a thread works on ahead."""
_In = TypeVar("_In")
_Out = TypeVar("_Out")


def prefetched(work: Callable[[_In], _Out], items: Sequence[_In]) -> Iterator[tuple[_In, _Out]]:
    """Items with their results, in order, computed by threads a little ahead of the consumer."""
    threads = cores()
    waiting: deque[tuple[_In, Future[_Out]]] = deque()
    remaining = iter(items)
    with ThreadPoolExecutor(threads, thread_name_prefix="decode") as pool:
        try:
            for item in itertools.islice(remaining, threads * _AHEAD):
                waiting.append((item, pool.submit(work, item)))
            while waiting:
                item, future = waiting.popleft()
                result = future.result()
                for following in itertools.islice(remaining, 1):
                    waiting.append((following, pool.submit(work, following)))
                yield item, result
        finally:
            for _, future in waiting:
                future.cancel()


def stacked(pictures: Iterator[Pixels], size: int) -> Iterator[Pixels]:
    """Batches (N, ...) of at most `size` pictures (...), as they come."""
    while batch := list(itertools.islice(pictures, size)):
        yield np.stack(batch)
