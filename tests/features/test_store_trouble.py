"""The store survives kills, full disks, damage and other processes."""

from __future__ import annotations

import errno
import inspect
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from headstart.errors import StoreError
from headstart.features.store import FeatureStore
from tests.features.stores import (
    KEY,
    WIDTHS,
    assert_holds,
    digest,
    digests,
    flip,
    folder_of,
    new_store,
    segment_files,
    values,
)

# --- damage --------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", [0, 0.02, 0.2, 0.4, 0.6, 0.8, 0.9, 0.999])
def test_flipped_bytes_are_never_read(tmp_path: Path, where: float) -> None:
    new_store(tmp_path).append(digests([100]), values([100]))
    (good,) = segment_files(tmp_path)
    new_store(tmp_path).append(digests(range(50)), values(range(50)))
    (bad,) = set(segment_files(tmp_path)) - {good}
    flip(bad, int(where * bad.stat().st_size))
    store = new_store(tmp_path)
    assert store.contains(digests(range(50))).sum() == 0
    assert not bad.exists()
    assert_holds(store, [100])
    store.append(digests(range(50)), values(range(50)))
    assert_holds(store, range(50))


@pytest.mark.parametrize("keep", [0, 7, 8, 100, 700, -1])
def test_truncated_and_lengthened_segments_are_never_read(tmp_path: Path, keep: int) -> None:
    new_store(tmp_path).append(digests(range(50)), values(range(50)))
    (path,) = segment_files(tmp_path)
    raw = path.read_bytes()
    path.write_bytes(raw[:keep] if keep >= 0 else raw + b"\0")
    assert not new_store(tmp_path).contains(digests([1])).any()
    assert not path.exists()


def test_damage_to_one_stage_shows_only_to_those_who_read_it(tmp_path: Path) -> None:
    new_store(tmp_path).append(digests(range(50)), values(range(50)))
    (path,) = segment_files(tmp_path)
    flip(path, path.stat().st_size - 1)  # the last stage
    store = new_store(tmp_path)
    assert store.contains(digests([1]), ["stem"]).all()
    np.testing.assert_array_equal(store.read(digests([1]), ["stem"])["stem"], values([1])["stem"])
    with pytest.raises(StoreError, match="lacks the features"):
        store.read(digests([1]), ["blocks.1"])
    assert not path.exists()


def test_damage_while_the_store_is_open(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    store.append(digests(range(50)), values(range(50)))
    assert_holds(store, range(50))
    (path,) = segment_files(tmp_path)
    flip(path, path.stat().st_size - 1)
    with pytest.raises(StoreError, match="lacks the features"):
        store.read(digests([1]))


def test_compaction_does_not_launder_damage(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    for i in range(16):
        store.append(digests([i]), values([i]))
    bad = segment_files(tmp_path)[0]
    flip(bad, bad.stat().st_size - 1)
    later = new_store(tmp_path)
    for i in range(16, 40):
        later.append(digests([i]), values([i]))
    known = later.contains(digests(range(40)))
    assert known.sum() == 39
    assert_holds(new_store(tmp_path), np.flatnonzero(known).tolist())


def test_segments_of_another_form_are_let_be(tmp_path: Path) -> None:
    other = FeatureStore(tmp_path, key=KEY, widths={"stem": 4})
    other.append(digests([1]), {"stem": np.ones((1, 4), np.float32)})
    store = new_store(tmp_path)
    assert not store.contains(digests([1])).any()
    store.append(digests([1]), values([1]))
    assert_holds(store, [1])
    assert other.read(digests([1]))["stem"].tolist() == [[1, 1, 1, 1]]


# --- kills, other processes, full disks ----------------------------------------------------------

# What other processes need of `stores`, as text: they know nothing of the tests.
PRELUDE = "\n".join(
    [
        "from __future__ import annotations",
        "import hashlib, sys",
        "from pathlib import Path",
        "import numpy as np",
        "from headstart.errors import StoreError",
        "from headstart.features.store import FeatureStore",
        f"KEY, WIDTHS = {KEY!r}, {WIDTHS!r}",
        inspect.getsource(digest),
        inspect.getsource(digests),
        inspect.getsource(values),
        inspect.getsource(new_store),
        inspect.getsource(folder_of),
        inspect.getsource(assert_holds),
    ]
)
WRITER = """
store = new_store(Path({root!r}))
for i in range({start}, {stop}):
    items = [i, i + 1]
    store.append(digests(items), values(items))
    print(i, flush=True)
"""


def writer(root: Path, start: int, stop: int) -> subprocess.Popen[str]:
    code = PRELUDE + WRITER.format(root=str(root), start=start, stop=stop)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_killed_writers_lose_nothing_committed(tmp_path: Path) -> None:
    chance = random.Random(0)
    committed: set[int] = set()
    for attempt in range(15):
        start = 100_000 * attempt
        with writer(tmp_path, start, start + 100_000) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline()]  # it runs: now at any moment
            time.sleep(chance.uniform(0, 0.12))
            process.send_signal(signal.SIGKILL)
            lines += process.stdout.readlines()
        for lock in folder_of(tmp_path).glob("*.lock"):  # killed at a merge: let the next one merge
            os.utime(lock, (1, 1))
        done = [int(line) for line in lines if line.endswith("\n")]
        committed |= {i + k for i in done for k in (0, 1)}
        store = new_store(tmp_path)
        assert_holds(store, sorted(committed))
        # The one it was killed at is there whole or not at all.
        last = digests([done[-1] + 2])
        if store.contains(last).any():
            assert_holds(store, [done[-1] + 2])
    assert len(committed) >= 30
    for path in [*folder_of(tmp_path).glob("*.tmp"), *folder_of(tmp_path).glob("*.lock")]:
        os.utime(path, (1, 1))
    store = new_store(tmp_path)
    store.append(digests([1]), values([1]))
    # A dead lock goes when the next merge is due, not before.
    left = {path.suffix for path in folder_of(tmp_path).iterdir()}
    assert ".tmp" not in left
    assert_holds(store, sorted(committed))


@pytest.mark.slow
def test_two_processes_append_and_compact_beside_a_reader(tmp_path: Path) -> None:
    with writer(tmp_path, 0, 150) as one, writer(tmp_path, 100, 250) as two:
        store, expected = new_store(tmp_path), list(range(251))
        while one.poll() is None or two.poll() is None:
            known = np.flatnonzero(store.contains(digests(expected))).tolist()
            assert_holds(store, known)  # what is held once is held for good
    assert one.returncode == two.returncode == 0
    assert_holds(new_store(tmp_path), expected)
    assert len(segment_files(tmp_path)) <= 20  # a lock may have stood in the way of the last merge


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, call: str
) -> None:
    store = new_store(tmp_path)
    store.append(digests([1, 2]), values([1, 2]))

    def refuse(*args: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse)
        with pytest.raises(
            StoreError, match=r"cache folder .* cannot be written \((the disk|permission)"
        ) as refused:
            store.append(digests([3]), values([3]))
    assert ("free some space" in str(refused.value)) is (code in (errno.ENOSPC, errno.EDQUOT))
    assert {path.suffix for path in folder_of(tmp_path).iterdir()} == {".safetensors"}
    assert store.contains(digests([1, 2, 3])).tolist() == [True, True, False]
    assert_holds(store, [1, 2])
    store.append(digests([3]), values([3]))
    assert_holds(store, [3, 1])


@pytest.mark.skipif(sys.platform != "linux", reason="needs RLIMIT_FSIZE and no signal for it")
def test_a_write_that_fails_midway(tmp_path: Path) -> None:
    import resource

    store = new_store(tmp_path)
    store.append(digests([1]), values([1]))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(StoreError, match="File too large"):
            store.append(digests(range(2000)), values(range(2000)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(list(folder_of(tmp_path).iterdir())) == 1
    assert_holds(store, [1])


FULL = """
root, held = Path({root!r}), []
store = new_store(root)
try:
    for i in range(0, 10**6, 100):
        store.append(digests(range(i, i + 100)), values(range(i, i + 100)))
        held += range(i, i + 100)
except StoreError as error:
    assert "the disk is full" in str(error), error
assert held and not list(folder_of(root).glob("*.tmp"))
assert_holds(store, held)
assert_holds(new_store(root), held)
print("passed")
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare to mount a tiny disk")
def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    code = PRELUDE + FULL.format(root=str(tmp_path))
    mount = f'mount -t tmpfs -o size=400k none "{tmp_path}" || exit 77; exec "$0" -c "$1"'
    done = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", mount, sys.executable, code],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("mounting is not allowed here")
    assert done.stdout == "passed\n", done.stderr


def test_a_cache_that_cannot_be_created(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = new_store(tmp_path / "file")
    assert not store.contains(digests([1])).any()
    with pytest.raises(StoreError, match="HEADSTART_CACHE"):
        store.append(digests([1]), values([1]))


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX permissions")
def test_features_that_another_user_may_have_written_are_not_used(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    store.append(digests([1, 2]), values([1, 2]))
    (segment,) = segment_files(tmp_path)
    assert segment.stat().st_mode & 0o777 == 0o644
    segment.chmod(0o666)
    assert not new_store(tmp_path).contains(digests([1, 2])).any()
    assert not store.contains(digests([1, 2])).any()  # also where it was open before
    segment.chmod(0o644)
    assert new_store(tmp_path).contains(digests([1, 2])).all()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_named_as_a_segment_is_not_waited_for(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    store.append(digests([1]), values([1]))
    (segment,) = segment_files(tmp_path)
    segment.unlink()
    os.mkfifo(segment)
    assert not new_store(tmp_path).contains(digests([1])).any()
    assert not store.contains(digests([1])).any()
