from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from headstart.errors import HeadstartError, UserError
from headstart.system.files import (
    atomic_write,
    check_not_input,
    check_writable,
    cut_stem,
    head_of,
    locked,
    read_regular,
    remove_stale_files,
)


def test_a_failed_write_leaves_the_old_file_and_no_draft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.bin"
    atomic_write(path, b"old")

    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(HeadstartError, match=r"t\.bin: No space left"):
        atomic_write(path, b"new")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("t.bin", b"old")]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HeadstartError, match="cannot write"):
        atomic_write(tmp_path / "file" / "t.csv", b"")
    with pytest.raises(HeadstartError, match="cannot write"):
        atomic_write(tmp_path, b"")


def test_a_place_for_results_is_tried_without_a_trace(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "newer")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "new", tmp_path / ("x" * 300)):
        with pytest.raises(UserError, match=r"cannot write to .*; choose another folder"):
            check_writable(place)
    with pytest.raises(UserError, match=r"cannot write .*x\.csv: .*; choose another folder"):
        check_writable(tmp_path / "file", tmp_path / "file" / "x.csv")


def test_only_old_temporary_files_of_headstart_are_swept(tmp_path: Path) -> None:
    old, new = f".{16 * 'a'}.tmp", f".{16 * 'b'}.tmp"
    others = ["mine.tmp", ".hidden.tmp", "old.txt", f"{16 * 'c'}.txt"]
    for name in (old, f"{32 * 'd'}.tmp", f"features.{16 * 'e'}.tmp", new, *others):
        (tmp_path / name).touch()
        if name != new:
            os.utime(tmp_path / name, (1, 1))
    remove_stale_files(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {new, *others}
    remove_stale_files(tmp_path / "none")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_a_folder_and_a_large_file_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_bytes(b"12345")
    assert read_regular(tmp_path / "file", limit=5) == b"12345"
    for name, said in (("pipe", "not a regular file"), (".", "directory"), ("file", "larger than")):
        with pytest.raises(OSError, match=said):
            read_regular(tmp_path / name, limit=4)


def test_a_lock_excludes_others_until_its_process_ends(tmp_path: Path) -> None:
    hold = "import sys, time; from pathlib import Path; from headstart.system.files import locked\n"
    hold += "with locked(Path(sys.argv[1])): print(1, flush=True); time.sleep(60)"
    command = [sys.executable, "-c", hold, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline().strip() == b"1"
        threading.Timer(0.3, other.kill).start()
        started = time.monotonic()
        with locked(tmp_path):
            assert other.wait() != 0
        assert time.monotonic() - started < 20
    assert not list(tmp_path.iterdir())


def test_what_results_are_made_of_is_spared(tmp_path: Path) -> None:
    photo, link, other = tmp_path / "a.jpg", tmp_path / "link.png", tmp_path / "b.png"
    photo.write_bytes(b"")
    link.symlink_to(photo)
    other.write_bytes(b"")
    check_not_input(photo, [other, tmp_path / "none.png"])
    for result in (photo, link):
        with pytest.raises(UserError, match="is the input image"):
            check_not_input(photo, [other, result])


@pytest.mark.parametrize("stem", ["a" * 248, "é" * 127, "猫" * 85, "short", "\udcff" * 250])
def test_a_name_is_cut_to_what_file_systems_take(stem, tmp_path):
    cut = cut_stem(stem, "-integrated-gradients.png")
    assert stem.startswith(cut)
    name = f"{cut}-integrated-gradients.png"
    assert len(os.fsencode(name)) <= 255
    assert cut == stem or len(os.fsencode(name)) > 252
    (tmp_path / name).touch()


def test_the_head_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    assert (head_of(tmp_path / "a", 2), head_of(tmp_path / "a")) == (b"12", b"12345")
    os.mkfifo(tmp_path / "pipe")
    assert [head_of(tmp_path / name) for name in ("none", ".", "pipe")] == [b"", b"", b""]
