"""Work done by threads ahead of the code that needs it."""

import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from headstart.system.machine import cores
from headstart.types import Pixels

_AHEAD = 4
"""Items per thread that are processed ahead of the consumer."""
_BYTES = 256 * 2**20
"""Limit on the bytes of results that the consumer has not taken yet; the size of the last result
stands for that of each."""
_In = TypeVar("_In")
_Out = TypeVar("_Out")


def prefetch(
    work: Callable[[_In], _Out], items: Iterable[_In], *, size: Callable[[_Out], int] | None = None
) -> Generator[tuple[_In, _Out], None, None]:
    """Yield each item with its result, in order, computed by threads ahead of the consumer.

    Only a few items per thread are submitted ahead, so results use little memory; fewer still, but
    one per thread, if results are large.

    Args:
        work: Runs in several threads at once.
        items: Its arguments.
        size: Returns the bytes of a result; None if they are few.
    """
    threads = cores()
    ahead = threads if size else threads * _AHEAD
    pending: deque[tuple[_In, Future[_Out]]] = deque()
    remaining = iter(items)
    with ThreadPoolExecutor(threads, thread_name_prefix="prefetch") as pool:
        try:
            for item in itertools.islice(remaining, ahead):
                pending.append((item, pool.submit(work, item)))
            while pending:
                item, future = pending.popleft()
                result = future.result()
                if size:
                    ahead = max(threads, min(threads * _AHEAD, _BYTES // max(1, size(result))))
                for following in itertools.islice(remaining, max(0, ahead - len(pending))):
                    pending.append((following, pool.submit(work, following)))
                yield item, result
        finally:
            for _, future in pending:
                future.cancel()


def stack_batches(images: Iterator[Pixels], size: int) -> Iterator[Pixels]:
    """Yield batches (N, ...) of at most `size` images (...)."""
    while batch := list(itertools.islice(images, size)):
        yield np.stack(batch)
