"""The stat index spares reading, and never vouches for a file that may have changed."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from headstart.errors import StoreError
from headstart.features import path_index
from headstart.features.path_index import PathIndex

ONE, TWO = "0" * 31 + "1", "ab" * 15 + "00"
LATER = 10_000_000_000  # ns: as if the file had been looked at 10 s after it was made


def make(path: Path, content: bytes = b"photo") -> Path:
    path.write_bytes(content)
    return path


def remember(index: PathIndex, path: Path, digest: str) -> None:
    index.remember(path, path.stat(), digest, taken=time.time_ns() + LATER)


def file_of(root: Path) -> Path:
    return root / "index" / "stat-index-1"


def test_remembers_over_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = make(tmp_path / "a"), make(tmp_path / "b")
    index = PathIndex(tmp_path)
    assert index.digest(a) is None
    remember(index, a, ONE)
    remember(index, b, TWO)
    assert index.digest(a) == ONE
    assert index.save()
    assert index.digest(b) == TWO
    again = PathIndex(tmp_path)
    assert (again.digest(a), again.digest(b)) == (ONE, TWO)
    monkeypatch.chdir(tmp_path)
    assert again.digest(Path("b")) == TWO
    assert again.digest(tmp_path / "c") is None


def test_nothing_is_created_before_saving(tmp_path: Path) -> None:
    index = PathIndex(tmp_path / "cache")
    assert index.digest(make(tmp_path / "a")) is None
    assert index.save()
    assert not (tmp_path / "cache").exists()


def test_any_change_is_seen(tmp_path: Path) -> None:
    path = make(tmp_path / "a")
    index = PathIndex(tmp_path)

    def forget() -> PathIndex:
        remember(index, path, ONE)
        assert index.save()
        assert PathIndex(tmp_path).digest(path) == ONE
        return PathIndex(tmp_path)

    fresh = forget()
    make(path, b"longer photo")
    assert fresh.digest(path) is None

    fresh = forget()
    make(tmp_path / "b", b"longer photo").replace(path)  # another inode
    assert fresh.digest(path) is None

    fresh = forget()
    before = path.stat()
    time.sleep(0.02)  # past a tick of the clock
    make(path, b"an evil twin")  # of equal length
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # that forges its age
    assert fresh.digest(path) is None

    fresh = forget()
    path.unlink()
    assert fresh.digest(path) is None


def test_a_file_that_has_just_changed_is_not_trusted(tmp_path: Path) -> None:
    path = make(tmp_path / "a")
    first = PathIndex(tmp_path)
    taken = time.time_ns()  # after the file was made, but perhaps in the same tick
    first.remember(path, path.stat(), ONE, taken=taken)
    assert first.digest(path) is None
    assert first.save()
    changed = path.stat().st_ctime_ns
    for taken, expected in [(changed + 1_900_000_000, None), (changed + 2_100_000_000, ONE)]:
        index = PathIndex(tmp_path)
        index.remember(path, path.stat(), ONE, taken=taken)
        assert index.save()
        assert PathIndex(tmp_path).digest(path) == expected


def test_saves_of_two_processes_are_merged(tmp_path: Path) -> None:
    a, b, c = (make(tmp_path / name) for name in "abc")
    first, second = PathIndex(tmp_path), PathIndex(tmp_path)
    remember(first, a, ONE)
    remember(first, c, ONE)
    remember(second, b, ONE)
    remember(second, c, TWO)
    assert first.save()
    assert second.save()
    last = PathIndex(tmp_path)
    assert [last.digest(path) for path in (a, b, c)] == [ONE, ONE, TWO]


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "noise", "folder"])
def test_a_damaged_index_is_thrown_away(tmp_path: Path, damage: str) -> None:
    path = make(tmp_path / "a")
    index = PathIndex(tmp_path)
    remember(index, path, ONE)
    assert index.save()
    file = file_of(tmp_path)
    raw = file.read_bytes()
    if damage == "folder":
        file.unlink()
        file.mkdir()
    else:
        flipped = raw[:-1] + bytes([raw[-1] ^ 1])
        file.write_bytes(
            {"flip": flipped, "cut": raw[:-8], "empty": b"", "noise": b"noise" * 99}[damage]
        )
    index = PathIndex(tmp_path)
    assert index.digest(path) is None
    remember(index, path, TWO)
    assert index.save() == (damage != "folder")
    assert index.digest(path) == TWO


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    path = make(tmp_path / "a")
    index = PathIndex(path)  # a file where a folder is due
    remember(index, path, ONE)
    assert not index.save()
    assert index.digest(path) == ONE


def test_a_full_disk_leaves_the_old_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = make(tmp_path / "a"), make(tmp_path / "b")
    index = PathIndex(tmp_path)
    remember(index, a, ONE)
    assert index.save()

    def refuse(*args: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", refuse)
        remember(index, b, TWO)
        assert not index.save()
    assert [p.suffix for p in (tmp_path / "index").glob("*.tmp")] == []
    assert PathIndex(tmp_path).digest(a) == ONE


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_killed_while_saving(tmp_path: Path) -> None:
    kept = make(tmp_path / "kept")
    index = PathIndex(tmp_path)
    remember(index, kept, TWO)
    assert index.save()
    code = f"""
import time
from pathlib import Path
from headstart.features.path_index import PathIndex
ONE, LATER = {ONE!r}, {LATER!r}
{inspect.getsource(make)}
{inspect.getsource(remember)}
root = Path({str(tmp_path)!r})
photos = [make(root / f"photo{{i}}") for i in range(200)]
print("ready", flush=True)
while True:
    index = PathIndex(root)
    for photo in photos:
        remember(index, photo, ONE)
    index.save()
"""
    for delay in (0, 0.01, 0.02, 0.03, 0.05):
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            time.sleep(delay)
            process.kill()
        after = PathIndex(tmp_path)
        assert after.digest(kept) == TWO
        assert {after.digest(tmp_path / f"photo{i}") for i in range(200)} <= {ONE, None}
    for path in (tmp_path / "index").glob("*.tmp"):
        os.utime(path, (1, 1))
    remember(index, kept, ONE)
    assert index.save()
    assert not list((tmp_path / "index").glob("*.tmp"))


def test_the_oldest_go_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(path_index, "_LIMIT", 3)
    paths = [make(tmp_path / str(i)) for i in range(6)]
    for path in paths:
        index = PathIndex(tmp_path)
        remember(index, path, ONE)
        assert index.save()
    last = PathIndex(tmp_path)
    assert [last.digest(path) for path in paths] == [None] * 3 + [ONE] * 3


def test_keys_that_end_in_zeros_are_not_mixed_up(tmp_path: Path) -> None:
    paths = [make(tmp_path / f"{i}") for i in range(600)]  # about two path digests end in a zero
    index = PathIndex(tmp_path)
    expected = [f"{i:032x}" for i in range(600)]
    for path, digest in zip(paths, expected, strict=True):
        remember(index, path, digest)
    assert index.save()
    start = time.perf_counter()
    last = PathIndex(tmp_path)
    assert [last.digest(path) for path in paths] == expected
    assert time.perf_counter() - start < 1  # 10 ms, but machines are shared


@pytest.mark.parametrize("wrong", ["", "ab", "x" * 32])
def test_a_wrong_digest_is_refused(tmp_path: Path, wrong: str) -> None:
    path = make(tmp_path / "a")
    with pytest.raises(StoreError, match="32 hex digits"):
        PathIndex(tmp_path).remember(path, path.stat(), wrong, taken=time.time_ns())
