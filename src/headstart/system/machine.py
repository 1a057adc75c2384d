"""What this process may use of the machine."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

# Of glibc's mallopt(3).
_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_MMAP_MAX: Final = -4
_MMAP_MAX_DEFAULT: Final = 65_536
_LARGEST_MMAP: Final = 32 * 1024**2
_LARGEST_TRIM: Final = 64 * 1024**2
"""What glibc raises these two to by itself, at most, in a program that frees large blocks."""
_NEVER: Final = -1


def cores() -> int:
    """Processors that this process may run on: fewer than there are in a container or a job."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def kept_memory() -> Iterator[None]:
    """Let the C library keep what is freed, for the next step to use.

    Training frees and takes the same hundreds of megabytes in each step. By default glibc returns
    them to the system, which hands out fresh pages filled with zeros: a quarter of the time of
    training on a CPU. Other C libraries are left as they are.

    This holds for the whole process. Afterwards all that is free goes back, and the thresholds
    stay where glibc's own rule would end.
    """
    library = _glibc()
    if library is None:
        yield
        return
    settings = library.mallopt
    settings(_MMAP_MAX, 0)
    settings(_TRIM_THRESHOLD, _NEVER)
    try:
        yield
    finally:
        settings(_MMAP_MAX, _MMAP_MAX_DEFAULT)
        settings(_TRIM_THRESHOLD, _LARGEST_TRIM)
        settings(_MMAP_THRESHOLD, _LARGEST_MMAP)
        library.malloc_trim(0)


def _glibc() -> Any:
    """The C library of this process, if it is glibc."""
    try:
        library = ctypes.CDLL(None)
        _ = library.gnu_get_libc_version
    except (AttributeError, OSError, TypeError):
        return None
    return library
