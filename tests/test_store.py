"""The store behaves like a dict that survives kills, full disks, damage and other processes."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import inspect
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from headstart import segments
from headstart.cache import cache_folder, cache_root, clear, usage
from headstart.errors import StoreError
from headstart.store import FeatureStore
from headstart.types import Floats

KEY = "5f" * 16
WIDTHS = {"stem": 3, "blocks.1": 7}


def digest(i: int) -> str:
    return hashlib.blake2b(i.to_bytes(8, "little"), digest_size=16).hexdigest()


def digests(items: Sequence[int]) -> list[str]:
    return [digest(i) for i in items]


def values(items: Sequence[int]) -> dict[str, Floats]:
    """What any process would compute for these images: (N, width) a stage."""
    base = np.array(items, np.float32).reshape(-1, 1)
    return {
        stage: (base * (k + 1) + np.arange(width, dtype=np.float32) / 8).astype(np.float32)
        for k, (stage, width) in enumerate(WIDTHS.items())
    }


def new_store(root: Path) -> FeatureStore:
    return FeatureStore(root, key=KEY, widths=WIDTHS)


def folder_of(root: Path) -> Path:
    return root / "features" / KEY


def segment_files(root: Path) -> list[Path]:
    return sorted(folder_of(root).glob("*.safetensors"))


def assert_holds(store: FeatureStore, items: Sequence[int]) -> None:
    assert store.known(digests(items)).all()
    found = store.read(digests(items))
    for stage, expected in values(items).items():
        assert found[stage].dtype == np.float32
        np.testing.assert_array_equal(found[stage], expected)


def flip(path: Path, at: int) -> None:
    raw = bytearray(path.read_bytes())
    raw[at] ^= 1
    path.write_bytes(raw)


# --- like a dict ---------------------------------------------------------------------------------


def test_reads_in_the_order_asked_with_repeats(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    store.append(digests([5, 1, 3]), values([5, 1, 3]))
    store.append(digests([2, 3]), values([2, 3]))
    assert_holds(store, [3, 2, 5, 3, 1, 1])
    assert_holds(new_store(tmp_path), [1, 2, 5])
    assert store.known(digests([9, 1])).tolist() == [False, True]
    assert list(store.read(digests([1]), ["blocks.1"])) == ["blocks.1"]
    assert store.read([])["stem"].shape == (0, 3)
    assert store.known([]).shape == (0,)


def test_nothing_is_created_by_reading(tmp_path: Path) -> None:
    store = new_store(tmp_path / "cache")
    assert not store.known(digests([1])).any()
    store.append([], values([]))
    assert store.compact() == 0
    assert not (tmp_path / "cache").exists()


def test_segments_are_safetensors(tmp_path: Path) -> None:
    new_store(tmp_path).append(digests(range(5)), values(range(5)))
    (path,) = segment_files(tmp_path)
    with safe_open(path, "numpy") as file:
        assert set(file.keys()) == {"digests", "stage:stem", "stage:blocks.1"}
        names = [row.tobytes().hex() for row in file.get_tensor("digests")]
        assert names == sorted(digests(range(5)))
        order = [digests(range(5)).index(name) for name in names]
        np.testing.assert_array_equal(file.get_tensor("stage:stem"), values(order)["stem"])


def test_blocks_smaller_than_a_segment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "_BLOCK", 100)
    store = new_store(tmp_path)
    for start in range(0, 400, 20):
        store.append(digests(range(start, start + 20)), values(range(start, start + 20)))
    assert_holds(new_store(tmp_path), np.random.default_rng(0).permutation(400).tolist())
    assert_holds(new_store(tmp_path), [399, 0, 7, 7])


def test_compaction_keeps_every_row_and_drops_repeats(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    other = new_store(tmp_path)
    for i in range(60):
        store.append(digests([i, i // 2]), values([i, i // 2]))
        assert len(segment_files(tmp_path)) <= 16
        if i == 3:
            assert_holds(other, [0, 1, 2, 3])
    assert_holds(other, range(60))  # its segments are gone: it looks again
    assert usage(tmp_path).features[0].rows == 60
    assert not list(folder_of(tmp_path).glob("*.lock"))


@pytest.mark.parametrize("moment", ["listed", "found"])
def test_rows_that_move_while_they_are_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("headstart.store._MANY", 100)
        for i in range(20):
            new_store(tmp_path).append(digests([i]), values([i]))
    names = segments.segment_names

    def move() -> None:
        monkeypatch.undo()
        assert new_store(tmp_path).compact() > 0

    def listed(folder: Path) -> frozenset[str]:
        found = names(folder)
        move()
        return found

    def found(segment: segments.Segment, stages: Sequence[str]) -> None:
        move()
        segment.verify(stages)

    if moment == "listed":
        monkeypatch.setattr("headstart.store.segment_names", listed)
    else:
        monkeypatch.setattr(segments.Segment, "verify", found)
    assert_holds(new_store(tmp_path), range(20))
    assert len(segment_files(tmp_path)) <= 16


def test_a_dead_compactor_does_not_block_for_ever(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    store.append(digests([0]), values([0]))
    lock = folder_of(tmp_path) / "compact.lock"
    lock.touch()
    for i in range(1, 20):
        store.append(digests([i]), values([i]))
    assert len(segment_files(tmp_path)) == 20
    os.utime(lock, (time.time() - 3600, time.time() - 3600))
    assert store.compact() > 0
    assert len(segment_files(tmp_path)) <= 16
    assert not lock.exists()
    assert_holds(store, range(20))


steps = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.lists(st.integers(0, 12), max_size=4)),
        st.tuples(st.just("read"), st.lists(st.integers(0, 12), max_size=6)),
        st.tuples(st.just("reopen"), st.just([])),
        st.tuples(st.just("compact"), st.just([])),
    ),
    max_size=30,
)


@settings(max_examples=150, deadline=None)
@given(steps=steps)
def test_any_history_behaves_like_a_dict(steps: list[tuple[str, list[int]]]) -> None:
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as name:
        patch.setattr("headstart.store._MANY", 3)
        patch.setattr("headstart.store._KEPT", 1)
        patch.setattr(os, "fsync", lambda _: None)
        root = Path(name)
        stores = [new_store(root), new_store(root)]
        held: set[int] = set()
        for turn, (verb, items) in enumerate(steps):
            store = stores[turn % 2]
            if verb == "append":
                store.append(digests(items), values(items))
                held |= set(items)
            elif verb == "reopen":
                stores[turn % 2] = new_store(root)
            elif verb == "compact":
                store.compact()
                assert len(segment_files(root)) <= 3
            else:
                assert store.known(digests(items)).tolist() == [i in held for i in items]
                if held.issuperset(items):
                    assert_holds(store, items)
                else:
                    with pytest.raises(StoreError, match="lacks the features"):
                        store.read(digests(items))


# --- damage --------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", [0, 0.02, 0.2, 0.4, 0.6, 0.8, 0.9, 0.999])
def test_flipped_bytes_are_never_read(tmp_path: Path, where: float) -> None:
    new_store(tmp_path).append(digests([100]), values([100]))
    (good,) = segment_files(tmp_path)
    new_store(tmp_path).append(digests(range(50)), values(range(50)))
    (bad,) = set(segment_files(tmp_path)) - {good}
    flip(bad, int(where * bad.stat().st_size))
    store = new_store(tmp_path)
    assert store.known(digests(range(50))).sum() == 0
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
    assert not new_store(tmp_path).known(digests([1])).any()
    assert not path.exists()


def test_damage_to_one_stage_shows_only_to_those_who_read_it(tmp_path: Path) -> None:
    new_store(tmp_path).append(digests(range(50)), values(range(50)))
    (path,) = segment_files(tmp_path)
    flip(path, path.stat().st_size - 1)  # the last stage
    store = new_store(tmp_path)
    assert store.known(digests([1]), ["stem"]).all()
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
    known = later.known(digests(range(40)))
    assert known.sum() == 39
    assert_holds(new_store(tmp_path), np.flatnonzero(known).tolist())


def test_segments_of_another_form_are_let_be(tmp_path: Path) -> None:
    other = FeatureStore(tmp_path, key=KEY, widths={"stem": 4})
    other.append(digests([1]), {"stem": np.ones((1, 4), np.float32)})
    store = new_store(tmp_path)
    assert not store.known(digests([1])).any()
    store.append(digests([1]), values([1]))
    assert_holds(store, [1])
    assert other.read(digests([1]))["stem"].tolist() == [[1, 1, 1, 1]]


# --- kills, other processes, full disks ----------------------------------------------------------

# What other processes need of this file. Not imported: that would take pytest along.
PRELUDE = "\n".join(
    [
        "from __future__ import annotations",
        "import hashlib, sys",
        "from pathlib import Path",
        "import numpy as np",
        "from headstart.errors import StoreError",
        "from headstart.store import FeatureStore",
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
        if store.known(last).any():
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


def test_two_processes_append_and_compact_beside_a_reader(tmp_path: Path) -> None:
    with writer(tmp_path, 0, 150) as one, writer(tmp_path, 100, 250) as two:
        store, expected = new_store(tmp_path), list(range(251))
        while one.poll() is None or two.poll() is None:
            known = np.flatnonzero(store.known(digests(expected))).tolist()
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
            StoreError, match=r"Could not keep .* 1 image.s. .* the disk|permission"
        ):
            store.append(digests([3]), values([3]))
    assert {path.suffix for path in folder_of(tmp_path).iterdir()} == {".safetensors"}
    assert store.known(digests([1, 2, 3])).tolist() == [True, True, False]
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
    assert not store.known(digests([1])).any()
    with pytest.raises(StoreError, match="HEADSTART_CACHE"):
        store.append(digests([1]), values([1]))


# --- mistakes ------------------------------------------------------------------------------------


def test_mistakes_are_explained(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    with pytest.raises(StoreError, match="must be of the form"):
        store.append(digests([1]), {"stem": values([1])["stem"]})
    with pytest.raises(StoreError, match="must be of the form"):
        store.append(digests([1, 2]), values([1]))
    with pytest.raises(StoreError, match="float64"):
        store.append(digests([1]), {k: v.astype(np.float64) for k, v in values([1]).items()})
    with pytest.raises(StoreError, match="'ab' has 2"):
        store.known(["ab"])
    for wrong in ["x" * 32, "a" * 30 + "  "]:
        with pytest.raises(StoreError, match="hex digits"):
            store.known([wrong])
    with pytest.raises(StoreError, match=r"not \['tail'\]"):
        store.read([], ["tail"])
    with pytest.raises(StoreError, match="key"):
        FeatureStore(tmp_path, key="../x", widths=WIDTHS)
    with pytest.raises(StoreError, match="at least 1 wide"):
        FeatureStore(tmp_path, key=KEY, widths={"stem": 0})
    assert not list(tmp_path.iterdir())


# --- the cache folder ----------------------------------------------------------------------------


def test_cache_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "named"))
    assert cache_root() == tmp_path / "named"
    assert cache_root(tmp_path) == tmp_path
    monkeypatch.setenv("HEADSTART_CACHE", "")
    assert cache_root().name in {"headstart", "Cache"}


def test_usage_and_clear(tmp_path: Path) -> None:
    assert usage(tmp_path / "none").total_bytes == 0
    assert clear(tmp_path / "none") == 0
    store = new_store(tmp_path)
    store.append(digests([1, 2]), values([1, 2]))
    store.append(digests([2, 3]), values([2, 3]))
    (cache_folder(tmp_path, "archives") / "photos.zip").write_bytes(b"z" * 1000)
    deep = cache_folder(tmp_path, "datasets") / "photos" / "cat"
    deep.mkdir(parents=True)
    (deep / "1.jpg").write_bytes(b"j" * 500)
    found = usage(tmp_path)
    (features,) = found.features
    assert (features.key, features.rows) == (KEY, 3)
    assert features.bytes == sum(path.stat().st_size for path in segment_files(tmp_path))
    assert features.bytes < found.bytes["features"] < features.bytes + 300  # and the mark
    assert 1000 < found.bytes["archives"] < 1300
    assert 500 < found.bytes["datasets"] < 800
    assert found.bytes["index"] == 0
    assert clear(tmp_path) == found.total_bytes
    assert not list(tmp_path.iterdir())
    assert not store.known(digests([1])).any()
    store.append(digests([1]), values([1]))
    assert_holds(store, [1])


def test_a_clearing_cut_short_leaves_no_part_of_a_data_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = cache_folder(tmp_path, "datasets")
    for name in ("cats", "dogs"):
        (datasets / name).mkdir()
        for i in range(3):
            (datasets / name / f"{i}.jpg").write_bytes(b"j")
    new_store(tmp_path).append(digests([1]), values([1]))

    def killed(folder: Path, **_options: object) -> None:
        for path in list(folder.iterdir())[:1]:
            path.unlink()
        raise KeyboardInterrupt

    for _ in range(3):
        with monkeypatch.context() as patch:
            patch.setattr(shutil, "rmtree", killed)
            with pytest.raises(KeyboardInterrupt):
                clear(tmp_path)
        for name in ("cats", "dogs"):
            found = datasets / name
            assert not found.exists() or len(list(found.iterdir())) == 3
    assert usage(tmp_path).features == ()
    clear(tmp_path)
    assert not list(tmp_path.iterdir())


def test_clear_leaves_what_headstart_did_not_make(tmp_path: Path) -> None:
    mine = tmp_path / "datasets" / "wedding.jpg"
    mine.parent.mkdir()
    mine.write_bytes(b"precious")
    linked = tmp_path / "elsewhere"
    cache_folder(linked, "archives")
    (linked / "archives" / "a.zip").write_bytes(b"z")
    with contextlib.suppress(OSError):  # Windows: not everybody may make links
        (tmp_path / "archives").symlink_to(linked / "archives", target_is_directory=True)
    (cache_folder(tmp_path, "index") / "link").symlink_to(mine)
    (tmp_path / "notes.txt").touch()
    assert usage(tmp_path).bytes["datasets"] == 0
    clear(tmp_path)
    assert mine.read_bytes() == b"precious"
    assert (linked / "archives" / "a.zip").exists()
    assert (tmp_path / "notes.txt").exists()
    assert not (tmp_path / "index").exists()


def test_usage_survives_damage(tmp_path: Path) -> None:
    new_store(tmp_path).append(digests([1]), values([1]))
    (path,) = segment_files(tmp_path)
    flip(path, 20)
    assert usage(tmp_path).features[0].rows == 0
    assert path.exists()  # to look is not to change
