"""The store behaves like a dict."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open

from headstart.errors import StoreError
from headstart.features import segment_file
from headstart.features import store as feature_store
from headstart.features.cache_usage import usage
from headstart.features.store import FeatureStore
from tests.features.stores import (
    KEY,
    WIDTHS,
    assert_holds,
    digests,
    folder_of,
    new_store,
    segment_files,
    values,
)
from tests.properties import examples


def test_reads_in_the_order_asked_with_repeats(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    store.append(digests([5, 1, 3]), values([5, 1, 3]))
    store.append(digests([2, 3]), values([2, 3]))
    assert_holds(store, [3, 2, 5, 3, 1, 1])
    assert_holds(new_store(tmp_path), [1, 2, 5])
    assert store.contains(digests([9, 1])).tolist() == [False, True]
    assert list(store.read(digests([1]), ["blocks.1"])) == ["blocks.1"]
    assert store.read([])["stem"].shape == (0, 3)
    assert store.contains([]).shape == (0,)


def test_nothing_is_created_by_reading(tmp_path: Path) -> None:
    store = new_store(tmp_path / "cache")
    assert not store.contains(digests([1])).any()
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
    monkeypatch.setattr(segment_file, "_BLOCK", 100)
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
        patch.setattr("headstart.features.store._MANY", 100)
        for i in range(20):
            new_store(tmp_path).append(digests([i]), values([i]))
    names = segment_file.segment_names

    def move() -> None:
        monkeypatch.undo()
        assert new_store(tmp_path).compact() > 0

    def listed(folder: Path) -> frozenset[str]:
        found = names(folder)
        move()
        return found

    def found(segment: segment_file.Segment, stages: Sequence[str]) -> None:
        move()
        segment.verify(stages)

    if moment == "listed":
        monkeypatch.setattr("headstart.features.store.segment_names", listed)
    else:
        monkeypatch.setattr(segment_file.Segment, "verify", found)
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


@examples(150)
@given(steps=steps)
def test_any_history_behaves_like_a_dict(steps: list[tuple[str, list[int]]]) -> None:
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as name:
        patch.setattr("headstart.features.store._MANY", 3)
        patch.setattr("headstart.features.store._KEPT", 1)
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
                assert store.contains(digests(items)).tolist() == [i in held for i in items]
                if held.issuperset(items):
                    assert_holds(store, items)
                else:
                    with pytest.raises(StoreError, match="lacks the features"):
                        store.read(digests(items))


def test_mistakes_are_explained(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    with pytest.raises(StoreError, match="must be of the form"):
        store.append(digests([1]), {"stem": values([1])["stem"]})
    with pytest.raises(StoreError, match="must be of the form"):
        store.append(digests([1, 2]), values([1]))
    with pytest.raises(StoreError, match="float64"):
        store.append(digests([1]), {k: v.astype(np.float64) for k, v in values([1]).items()})
    with pytest.raises(StoreError, match="'ab' has 2"):
        store.contains(["ab"])
    for wrong in ["x" * 32, "a" * 30 + "  "]:
        with pytest.raises(StoreError, match="hex digits"):
            store.contains([wrong])
    with pytest.raises(StoreError, match=r"not \['tail'\]"):
        store.read([], ["tail"])
    with pytest.raises(StoreError, match="key"):
        FeatureStore(tmp_path, key="../x", widths=WIDTHS)
    with pytest.raises(StoreError, match="needs stages with features"):
        FeatureStore(tmp_path, key=KEY, widths={"stem": 0})
    assert not list(tmp_path.iterdir())


def test_reads_what_memory_is_too_small_for_into_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = new_store(tmp_path)
    store.append(digests(range(5)), values(range(5)))
    monkeypatch.setattr(feature_store, "_IN_MEMORY", 0)
    assert_holds(store, [3, 2, 4, 3])
    read = store.read(digests([1, 2]))
    assert all(isinstance(array, np.memmap) for array in read.values())
    read["stem"][:] = 0  # of nobody else
    assert_holds(store, [1, 2])
    assert len(list(folder_of(tmp_path).iterdir())) == len(segment_files(tmp_path))
    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    assert_holds(store, [1, 2])


def refuse(**options: object) -> None:
    raise PermissionError(options)
