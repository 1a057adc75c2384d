"""Errors that mean that the memory is used up, which libraries report in many ways."""

import errno
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from headstart.errors import UnreadableImageError

_SIGNS: Final = re.compile(
    r"bad_alloc|can(?:'|no)t allocate memory|can't start new thread|out of memory"
    r"|not enough memory|failed to map segment|unable to (?:allocate|create thread)"
    r"|resource temporarily unavailable|cannot enable executable stack|thread constructor failed"
    r"|DefaultCPUAllocator|could not create a (?:primitive|memory object)|failed to allocate",
    re.IGNORECASE,
)
"""What NumPy, PyTorch, OpenVINO and oneDNN, Python's threads and the loader of libraries say."""
_KINDS: Final = (RuntimeError, ImportError, OSError, SystemError)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error, or one that led to it, says that there is not enough memory.

    An image that cannot be decoded says itself when it is too large for the memory.
    """
    return any(_says_so(one) for one in _causes(error))


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    following: BaseException | None = error
    while not (
        following is None or id(following) in seen or isinstance(following, UnreadableImageError)
    ):
        seen.add(id(following))
        yield following
        # `from None` is followed as well: "install torch" may hide that it could not be loaded.
        following = following.__cause__ or following.__context__


def _says_so(error: BaseException) -> bool:
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno == errno.ENOMEM
    return isinstance(error, _KINDS) and _SIGNS.search(str(error)) is not None


def check_address_space(needed: int) -> None:
    """Refuse work that would exceed a limit on this process, before a library aborts it.

    Args:
        needed: Bytes that must be left.

    Raises:
        MemoryError: Fewer are left; see `ulimit -v`.
    """
    try:
        import resource
    except ImportError:  # Windows
        return
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return
    try:
        pages = int(Path("/proc/self/statm").read_bytes().split()[0])
    except (OSError, ValueError, IndexError):  # macOS
        return
    left = limit - pages * resource.getpagesize()
    if left < needed:
        raise MemoryError(f"{left / 1e6:.0f} MB of address space are left of {limit / 1e6:.0f} MB")
