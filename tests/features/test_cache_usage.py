"""The cache folder is measured and cleared without a loss of what is not ours."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import pytest

from headstart.features.cache_usage import clear, usage
from headstart.system.cache_folder import cache_folder, cache_root
from tests.features.stores import (
    KEY,
    assert_holds,
    digests,
    flip,
    new_store,
    segment_files,
    values,
)


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
    assert not store.contains(digests([1])).any()
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
