"""Work done by threads ahead of the code that needs it."""

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from headstart.system.machine import cores
from headstart.types import Pixels

_AHEAD = 4
"""Items per thread that are processed ahead of the consumer."""
_In = TypeVar("_In")
_Out = TypeVar("_Out")


def prefetch(work: Callable[[_In], _Out], items: Sequence[_In]) -> Iterator[tuple[_In, _Out]]:
    """Yield each item with its result, in order, computed by threads ahead of the consumer.

    `work` runs in several threads at once. Only a few items per thread are submitted ahead, so
    results use little memory.
    """
    threads = cores()
    pending: deque[tuple[_In, Future[_Out]]] = deque()
    remaining = iter(items)
    with ThreadPoolExecutor(threads, thread_name_prefix="prefetch") as pool:
        try:
            for item in itertools.islice(remaining, threads * _AHEAD):
                pending.append((item, pool.submit(work, item)))
            while pending:
                item, future = pending.popleft()
                result = future.result()
                for following in itertools.islice(remaining, 1):
                    pending.append((following, pool.submit(work, following)))
                yield item, result
        finally:
            for _, future in pending:
                future.cancel()


def stack_batches(images: Iterator[Pixels], size: int) -> Iterator[Pixels]:
    """Yield batches (N, ...) of at most `size` images (...)."""
    while batch := list(itertools.islice(images, size)):
        yield np.stack(batch)
