"""What the process takes of the machine, as the operating system counts it."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from headstart.system import machine
from headstart.system.machine import cores, keep_freed_memory, slowdown

_FAULTS = """
import resource
import numpy as np
from headstart.system.machine import keep_freed_memory

def faults() -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(8):
        np.ones(64 * 1024 * 1024, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

before = faults()
with keep_freed_memory():
    np.ones(64 * 1024 * 1024, np.uint8)
    inside = faults()
print(before, inside, faults())
"""


def test_no_more_cores_than_this_process_may_use():
    assert 1 <= cores() <= (os.cpu_count() or 1)


@pytest.mark.skipif(machine._glibc() is None, reason="needs glibc")
def test_freed_memory_is_used_again():
    # In a process of its own: what others freed before would be counted as well.
    done = subprocess.run(
        [sys.executable, "-c", _FAULTS], capture_output=True, text=True, check=True
    )
    before, inside, after = map(int, done.stdout.split())
    assert inside < before / 4
    assert after > 4 * inside


def test_other_c_libraries_are_left_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machine, "_glibc", lambda: None)
    with keep_freed_memory():
        pass


def test_an_error_comes_through_and_ends_it(monkeypatch: pytest.MonkeyPatch):
    said: list[tuple[int, int]] = []
    library = SimpleNamespace(
        mallopt=lambda name, value: said.append((name, value)), malloc_trim=lambda pad: None
    )
    monkeypatch.setattr(machine, "_glibc", lambda: library)
    with pytest.raises(ValueError, match="inside"), keep_freed_memory():
        raise ValueError("inside")
    assert (machine._MMAP_MAX, machine._MMAP_MAX_DEFAULT) in said


def test_other_programs_slow_work_down(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(os, "getloadavg", lambda: (6.0, 0.0, 0.0), raising=False)
    assert slowdown() == 2.5
    monkeypatch.delattr(os, "getloadavg")
    assert slowdown() == 1
