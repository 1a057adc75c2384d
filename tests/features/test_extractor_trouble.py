"""Full disks, other processes and kills cost time, never a right result."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.engines import EnginePlan, choose
from headstart.engines.openvino import BATCH
from headstart.errors import StoreError
from headstart.features import buffer
from headstart.features.extraction import Features
from headstart.features.segment_file import segment_names
from headstart.features.store import FeatureStore
from headstart.types import EngineName, Precision
from tests.conftest import files, write_photos
from tests.features.test_extractor import Tiny, assert_same


class TestTrouble:
    def test_a_full_disk_costs_a_warning_and_no_result(
        self, photos: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
    ):
        expected = tiny(cache=None).extract(files(photos))

        def full(*args: Any) -> None:
            raise StoreError("the disk is full")

        monkeypatch.setattr(FeatureStore, "append", full)
        extractor = tiny()
        assert_same(extractor.extract(files(photos)), expected)
        assert len(extractor.warnings) == 1
        assert (
            extractor.warnings[0] == "the disk is full; this run continues without storing features"
        )

    def test_a_disk_that_fills_up_midway_loses_nothing(
        self, photos: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
    ):
        expected = tiny(cache=None).extract(files(photos))
        append, calls = FeatureStore.append, []

        def fills_up(self: FeatureStore, *args: Any) -> None:
            calls.append(1)
            if len(calls) == 2:
                raise StoreError("The disk is full.")
            append(self, *args)

        monkeypatch.setattr(FeatureStore, "append", fills_up)
        monkeypatch.setattr(buffer, "_FLUSH_ROWS", 1)
        extractor = tiny()
        assert_same(extractor.extract(files(photos)), expected)
        assert len(calls) == 2
        assert len(extractor.warnings) == 1
        assert tiny(cache=extractor.cache).extract(files(photos)).cached == BATCH

    def test_features_cleared_by_another_process_are_computed_again(
        self, photos: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
    ):
        expected = tiny().extract(files(photos))
        values, cleared = buffer.FeatureBuffer.values, []

        def clear_first(self: Any, *args: Any) -> Any:
            if not cleared:
                cleared.append(1)
                shutil.rmtree(extractor.cache / "features")
            return values(self, *args)

        monkeypatch.setattr(buffer.FeatureBuffer, "values", clear_first)
        extractor = tiny()
        assert_same(extractor.extract(files(photos)), expected)

    def test_another_engine_steps_in_and_the_user_is_told(self, photos: Path, tiny: Tiny):
        other = EnginePlan(EngineName.PYTORCH, Precision.FLOAT32)

        class Other:
            plan, batch = other, 4

            def queue(self) -> Any:
                return self

            def put(self, pixels: Any) -> Any:
                yield [np.ones((len(pixels), width), np.float32) for width in (48, 3, 5)]

            def finish(self) -> Any:
                return []

            def close(self) -> None:
                pass

        extractor = tiny()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(choose, "build_engine", lambda *args, **more: Other())
            found = extractor.extract(files(photos))
        assert found.plan == other
        assert (found.values["fine"] == 1).all()
        assert extractor.warnings == [
            "openvino cannot run tiny here; pytorch runs it instead",
        ]
        # Its features are never taken for OpenVINO's.
        assert tiny().extract(files(photos)).computed == 24
        assert tiny(plan=other).extract(files(photos)).computed == 0

    def test_ctrl_c_keeps_what_is_computed_and_the_next_run_goes_on(self, photos: Path, tiny: Tiny):
        def interrupt(done: int, total: int) -> None:
            if done >= 16:
                raise KeyboardInterrupt

        extractor = tiny()
        with pytest.raises(KeyboardInterrupt):
            extractor.extract(files(photos), progress=interrupt)
        assert not [one for one in threading.enumerate() if one.name.startswith("prefetch")]
        again = extractor.extract(files(photos))  # the same engine is ready for more
        assert again.computed == 8
        assert_same(again, tiny(cache=None).extract(files(photos)))

    def test_ctrl_c_without_a_cache_stops_too(self, photos: Path, tiny: Tiny):
        def interrupt(done: int, total: int) -> None:
            if done:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            tiny(cache=None).extract(files(photos), progress=interrupt)

    def test_two_passes_at_once_on_one_cache_agree(self, photos: Path, tiny: Tiny):
        extractors = [tiny() for _ in range(4)]
        found: list[Features] = []
        threads = [
            threading.Thread(target=lambda one=one: found.append(one.extract(files(photos))))
            for one in extractors
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        expected = tiny(cache=None).extract(files(photos))
        assert len(found) == 4
        for one in found:
            assert_same(one, expected)


_SLOW_FIT = """
import signal, sys, time
from headstart.features import buffer
from headstart.features import extraction
from headstart.cli.app import run

buffer._FLUSH_ROWS = 8
read, reads = extraction.read_bytes, []
def slow(path):  # slower after the first rows are stored, to be killed before the end
    reads.append(path)
    time.sleep(0.05 if len(reads) <= 16 else 0.5)
    return read(path)
extraction.read_bytes = slow
# A process that a shell starts in the background would ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.exit(run(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_fit_killed_midway_leaves_a_cache_that_the_next_run_goes_on_from(
    number: signal.Signals, tmp_path: Path
):
    photos = write_photos(tmp_path / "photos", 30)
    cache, out = tmp_path / "cache", tmp_path / "model"
    arguments = ["fit", str(photos), "--stage", "head", "--out", str(out), "--cache", str(cache)]
    command = [sys.executable, "-c", _SLOW_FIT, *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 30
        while not any(map(segment_names, cache.glob("features/*"))) and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
    if number is signal.SIGINT:
        assert process.returncode == 130
        assert "stopped; finished work is in the cache" in said
        assert "Traceback" not in said
    else:
        assert process.returncode == -number
    assert not out.exists()
    again = [sys.executable, "-m", "headstart", *arguments, "--json"]
    done = subprocess.run(again, capture_output=True, text=True, check=True, timeout=60)
    assert 0 < json.loads(done.stdout)["cached"] < 90
    assert (out / "model.json").is_file()
