"""What running a backbone costs, in a process of its own."""

import os
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from headstart.backbones import Backbone
from headstart.comparison import cost
from headstart.comparison.cost import measure_cost, peak_memory, time_engine
from headstart.engines import EnginePlan, make_plan
from headstart.errors import BackboneError
from headstart.types import EngineName, Precision

pytestmark = pytest.mark.slow


class Dozing:
    """An engine that takes a known time and no processor."""

    batch = 4

    def __init__(self, device: str) -> None:
        self.plan = EnginePlan(EngineName.PYTORCH, Precision.FLOAT32, device)

    def stream(self, batches: Iterable[np.ndarray]):
        for pixels in batches:
            assert pixels.shape == (4, 8, 8, 3)
            assert pixels.dtype == np.uint8
            time.sleep(0.02)
            yield [np.zeros((4, 1), np.float32)]


def test_speed_is_of_the_clock_and_cost_of_the_processor(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cost, "_SECONDS", 0.1)
    monkeypatch.setattr(cost, "_CHUNK", 0.1)
    speed, milliseconds = time_engine(Dozing("cpu"), 8)
    assert 60 < speed <= 200
    assert milliseconds < 3
    speed, milliseconds = time_engine(Dozing("cuda"), 8)
    assert milliseconds == pytest.approx(1000 / speed)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="Linux tells")
def test_peak_memory_is_that_of_the_process_alone():
    hold = np.ones(40_000_000)  # 320 MB here must not count there
    code = (
        "import numpy as np; from headstart.comparison.cost import peak_memory;"
        "before = peak_memory(); x = np.ones(10_000_000); print(before, peak_memory())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    before, after = map(int, done.stdout.split())
    assert before < hold.nbytes < (peak_memory() or 0)
    assert 70e6 < after - before < 100e6


def test_the_embedded_backbone_is_measured(lite0: Backbone):
    found = measure_cost(lite0, make_plan())
    assert found.images_per_second > 1
    assert 0.5 < found.milliseconds < 1000
    assert found.memory_bytes is None or 50e6 < found.memory_bytes < 2e9


def test_what_cannot_be_loaded_there_is_said(lite0: Backbone):
    with pytest.raises(BackboneError, match="there is no backbone 'nonet'"):
        measure_cost(replace(lite0, name="nonet"), make_plan())


def test_a_process_that_breaks_down_is_said(lite0: Backbone, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cost.sys, "executable", "/bin/false" if os.name == "posix" else "where")
    with pytest.raises(BackboneError, match=r"efficientnet-lite0 crashed \(exit code 1\)"):
        measure_cost(lite0, make_plan())
    monkeypatch.setattr(cost, "_TIMEOUT", 0.01)
    monkeypatch.setattr(cost.sys, "executable", sys._base_executable)  # type: ignore[attr-defined]
    with pytest.raises(BackboneError, match="was not ready after 0 s"):
        measure_cost(lite0, make_plan())
