"""Processor cores, threads and memory of this process."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

# Parameters of glibc's mallopt(3).
_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_MMAP_MAX: Final = -4
_MMAP_MAX_DEFAULT: Final = 65_536
_LARGEST_MMAP: Final = 32 * 1024**2
_LARGEST_TRIM: Final = 64 * 1024**2
"""The largest values that glibc itself sets for these two in programs that free large blocks."""
_NEVER: Final = -1


def cores() -> int:
    """Return the number of cores available to this process, which containers may limit."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def slowdown() -> float:
    """Return about how many times as long work on all cores takes because of other programs.

    It is 1 plus the processes per core that ran or waited in the last minute, and 1 where the
    system does not tell.
    """
    try:
        running, *_ = os.getloadavg()
    except (AttributeError, OSError):  # Windows
        return 1.0
    return 1 + running / (os.cpu_count() or 1)


def one_blas_thread() -> AbstractContextManager[Any]:
    """Return a context in which each product of matrices runs on one thread.

    The last bits of a product depend on its number of threads, and what is computed from it must
    not. One thread is also faster for small matrices, on a busy machine, and where several products
    run in parallel.
    """
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[Any] = threadpool_limits(1, user_api="blas")
    return limits


@contextmanager
def keep_freed_memory() -> Iterator[None]:
    """Keep freed memory in the process for reuse while the block runs.

    Each step of training frees and allocates the same hundreds of megabytes. By default glibc
    returns them to the system, which has to provide fresh zeroed pages: this takes a quarter of
    the training time on a CPU. Other C libraries are left unchanged.

    The setting affects the whole process. At the end, free memory is returned to the system, and
    the thresholds stay at the largest values that glibc would choose.
    """
    library = _glibc()
    if library is None:
        yield
        return
    library.mallopt(_MMAP_MAX, 0)
    library.mallopt(_TRIM_THRESHOLD, _NEVER)
    try:
        yield
    finally:
        library.mallopt(_MMAP_MAX, _MMAP_MAX_DEFAULT)
        library.mallopt(_TRIM_THRESHOLD, _LARGEST_TRIM)
        library.mallopt(_MMAP_THRESHOLD, _LARGEST_MMAP)
        library.malloc_trim(0)


def return_memory() -> None:
    """Give freed memory back to the system, of which glibc may keep as much for each thread."""
    if (library := _glibc()) is not None:
        library.malloc_trim(0)


def _glibc() -> Any:
    """Return the C library of this process if it is glibc, else None."""
    try:
        library = ctypes.CDLL(None)
        _ = library.gnu_get_libc_version
    except (AttributeError, OSError, TypeError):
        return None
    return library
