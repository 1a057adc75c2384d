import errno
import resource
from pathlib import Path

import pytest

from headstart.errors import UnreadableImageError, UserError
from headstart.system.memory import check_address_space, is_out_of_memory


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        RuntimeError("can't start new thread"),
        RuntimeError("Exception from src/core.cpp:1: std::bad_alloc"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 12 bytes"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
    ],
)
def test_libraries_say_in_many_ways_that_memory_is_used_up(error):
    assert is_out_of_memory(error)
    later = ValueError("something else")
    later.__context__ = error  # as `raise ... from None` leaves it
    assert is_out_of_memory(later)


@pytest.mark.parametrize(
    "error",
    [ValueError("std::bad_alloc"), OSError(errno.ENOSPC, "no space"), RuntimeError("a bug")],
)
def test_other_errors_are_not_about_memory(error):
    assert not is_out_of_memory(error)


def test_an_image_that_is_too_large_says_so_itself():
    error = UnreadableImageError("too large: out of memory")
    error.__cause__ = MemoryError()
    assert not is_out_of_memory(error)
    later = UserError(f"cannot use big.png: {error}; give an image file")
    later.__cause__ = error
    assert not is_out_of_memory(later)


def test_an_error_that_is_its_own_cause_ends():
    first, second = ValueError(), ValueError()
    first.__cause__, second.__cause__ = second, first
    assert not is_out_of_memory(first)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux")
def test_work_beyond_a_limit_is_refused(monkeypatch):
    check_address_space(2**60)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (2**40, 2**40))
    check_address_space(2**20)
    with pytest.raises(MemoryError, match="MB of address space are left"):
        check_address_space(2**41)
