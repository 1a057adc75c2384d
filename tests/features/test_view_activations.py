"""Views go through the trunk once, however often and with whatever interruptions one asks."""

import errno
import os
import shutil
from collections import namedtuple
from collections.abc import Generator, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from headstart.backbones.cut import cut
from headstart.engines import Engine, EnginePlan, build_engine
from headstart.errors import DataError, HeadstartError
from headstart.features import view_activations as module
from headstart.features.cache_usage import clear, usage
from headstart.features.view_activations import (
    KIND,
    ActivationRequest,
    Activations,
    AugmentedViews,
    activations,
)
from headstart.finetuning.trunk import trunk_backbone
from headstart.images.augmentation import Augmentation
from headstart.images.decode import decode
from headstart.images.preprocessing import prepare
from headstart.system.digests import bytes_digest
from headstart.types import Floats, Pixels
from tests.conftest import files
from tests.finetuning.networks import EAGER, PREPROCESSING, SIDE, small_backbone, write_sided

VIEWS = AugmentedViews(count=3, augmentation=Augmentation(), seed=0)


class Counting:
    """An engine that counts the views that it is given, and may magnify what it says of them."""

    def __init__(self, inner: Engine, factor: float = 1.0) -> None:
        self.inner, self.factor, self.views = inner, factor, 0
        self.batch = 2  # so that a batch ends in the middle of a picture's views

    @property
    def plan(self) -> EnginePlan:
        return self.inner.plan

    def stream(self, batches: Iterable[Pixels]) -> Generator[list[Floats], None, None]:
        def counted() -> Generator[Pixels, None, None]:
            for batch in batches:
                assert 1 <= len(batch) <= self.batch
                self.views += len(batch)
                yield batch

        for outputs in self.inner.stream(counted()):
            yield [*outputs[:-1], outputs[-1] * self.factor]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sided(tmp_path_factory.mktemp("sided") / "sided", 6)


@pytest.fixture(scope="module")
def halves():
    return cut(small_backbone().network(), "middle", SIDE, wanted=("top",))


@pytest.fixture
def engine(halves) -> Counting:
    return Counting(build_engine(trunk_backbone(small_backbone(), halves), EAGER))


def task(
    folder: Path, views: AugmentedViews = VIEWS, configuration: str = "small"
) -> ActivationRequest:
    paths = files(folder)
    return ActivationRequest(
        paths=paths,
        digests=[bytes_digest(path.read_bytes()) for path in paths],
        views=views,
        preprocessing=PREPROCESSING,
        configuration=configuration,
        widths=(8, 12),
        numbers=12 * 8 * 8,
    )


def pixels_task(folder: Path, views: AugmentedViews = VIEWS) -> ActivationRequest:
    return replace(task(folder, views), widths=(), numbers=3 * SIDE**2)


def same(one: Activations, other: Activations) -> bool:
    pairs = zip((one.maps, *one.features), (other.maps, *other.features), strict=True)
    return all(a.tobytes() == b.tobytes() for a, b in pairs)


def test_the_first_view_is_the_picture_and_the_trunk_computes_what_is_kept(
    pictures: Path, halves, engine: Counting, tmp_path: Path
):
    found = activations(task(pictures), engine, tmp_path)
    assert engine.views == 12 * 3
    assert (found.maps.shape, found.maps.dtype) == ((12, 3, 768), np.float16)
    assert [one.shape for one in found.features] == [(12, 3, 8), (12, 3, 12)]
    plain = np.stack([prepare(decode(path), PREPROCESSING) for path in files(pictures)])
    with torch.no_grad():
        *features, maps = halves.trunk(torch.tensor(plain).permute(0, 3, 1, 2) / 255)
    np.testing.assert_allclose(found.maps[:, 0], maps, rtol=2e-3, atol=1e-3)
    for ours, theirs in zip(found.features, features, strict=True):
        np.testing.assert_allclose(ours[:, 0], theirs, rtol=1e-4, atol=1e-5)
        assert not np.allclose(ours[:, 0], ours[:, 1], rtol=1e-3)


def test_without_a_trunk_the_views_themselves_are_kept(pictures: Path, tmp_path: Path):
    given = pixels_task(pictures)
    found = activations(given, None, tmp_path)
    assert (found.maps.shape, found.maps.dtype) == ((12, 3, 3 * SIDE**2), np.uint8)
    assert found.features == ()
    for row, path in enumerate(files(pictures)):
        expected = VIEWS.of(path.read_bytes(), given.digests[row], PREPROCESSING)
        np.testing.assert_array_equal(found.maps[row].reshape(expected.shape), expected)
        np.testing.assert_array_equal(expected[0], prepare(decode(path), PREPROCESSING))


def test_one_view_is_the_plain_one(pictures: Path):
    path = files(pictures)[0]
    digest = bytes_digest(path.read_bytes())
    (only,) = replace(VIEWS, count=1).of(path.read_bytes(), digest, PREPROCESSING)
    np.testing.assert_array_equal(only, prepare(decode(path), PREPROCESSING))


def test_the_same_seed_gives_the_same_bytes_and_another_other_views(pictures: Path, tmp_path: Path):
    one, two = (activations(pixels_task(pictures), None, tmp_path / name) for name in "ab")
    assert same(one, two)
    other = activations(pixels_task(pictures, replace(VIEWS, seed=1)), None, tmp_path / "a")
    np.testing.assert_array_equal(other.maps[:, 0], one.maps[:, 0])
    assert not np.array_equal(other.maps[:, 1], one.maps[:, 1])


def test_a_pictures_views_depend_on_its_bytes_and_not_on_its_neighbors(
    pictures: Path, tmp_path: Path
):
    one = activations(pixels_task(pictures), None, tmp_path)
    given = pixels_task(pictures)
    turned = replace(given, paths=given.paths[::-1], digests=given.digests[::-1])
    np.testing.assert_array_equal(activations(turned, None, tmp_path).maps, one.maps[::-1])


def test_what_is_kept_is_not_computed_again(pictures: Path, engine: Counting, tmp_path: Path):
    first = activations(task(pictures), engine, tmp_path)
    told: list[tuple[int, int]] = []
    again = activations(task(pictures), engine, tmp_path, progress=lambda *now: told.append(now))
    assert engine.views == 36
    assert same(first, again)
    assert told == [(12, 12)]
    activations(task(pictures, configuration="other"), engine, tmp_path)
    assert engine.views == 72


@pytest.mark.parametrize("trunk", [True, False])
def test_an_interrupted_pass_goes_on_where_it_stopped(
    trunk: bool, pictures: Path, engine: Counting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    given = task(pictures) if trunk else pixels_task(pictures)
    runs = engine if trunk else None
    expected = activations(given, runs, tmp_path / "whole")
    monkeypatch.setattr(module, "_SAVED_EVERY", 4)
    engine.views = 0

    def stop(done: int, total: int) -> None:
        if done >= 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        activations(given, runs, tmp_path / "cut", progress=stop)
    before, engine.views = engine.views, 0
    told: list[int] = []
    found = activations(given, runs, tmp_path / "cut", progress=lambda n, _: told.append(n))
    assert same(found, expected)
    assert told[0] == 4
    assert told[-1] == 12
    if trunk:
        assert before < 36
        assert engine.views == (12 - 4) * 3


@pytest.mark.parametrize("change", ["other bytes", "gone"])
def test_a_file_that_changed_is_named(change: str, pictures: Path, tmp_path: Path):
    own = Path(shutil.copytree(pictures, tmp_path / "own"))
    given = pixels_task(own)
    if change == "gone":
        given.paths[5].unlink()
    else:
        given.paths[5].write_bytes(given.paths[4].read_bytes())
    with pytest.raises(DataError, match=rf"{given.paths[5].name} has changed .* run the command"):
        activations(given, None, tmp_path / "cache")


_Disk = namedtuple("_Disk", "total used free")


def test_without_room_nothing_is_begun(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: _Disk(10, 10, 0))
    with pytest.raises(
        HeadstartError, match=r"cannot store activations in .*0\.0 GB free.*--cache"
    ):
        activations(pixels_task(pictures), None, tmp_path)
    assert not list((tmp_path / KIND).glob("*/*.bin"))


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="needs posix_fallocate")
def test_a_disk_that_fills_up_is_an_error_before_anything_is_mapped(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(HeadstartError, match=r"cannot store activations.*No space left"):
        activations(pixels_task(pictures), None, tmp_path)


def test_a_folder_that_cannot_be_made_is_an_error_with_a_sentence(pictures: Path, tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(HeadstartError, match="choose another folder with --cache"):
        activations(pixels_task(pictures), None, tmp_path / "file" / "cache")


def test_the_oldest_make_room(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tasks = [pixels_task(pictures, replace(VIEWS, seed=seed)) for seed in range(3)]
    size = 12 * 3 * 3 * SIDE**2
    monkeypatch.setattr(module, "ROOM", int(2.5 * size))
    for age, one in enumerate(tasks[:2]):
        activations(one, None, tmp_path)
        when = 1_000_000 + age
        os.utime(tmp_path / KIND / one.key() / "done", (when, when))
    activations(tasks[0], None, tmp_path)  # used again: now the other one is the oldest
    activations(tasks[2], None, tmp_path)
    kept = {path.parent.name for path in (tmp_path / KIND).glob("*/done")}
    assert kept == {tasks[0].key(), tasks[2].key()}


def test_a_pass_that_saved_nothing_makes_room_too(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def stop(done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    given = pixels_task(pictures, replace(VIEWS, seed=5))
    with pytest.raises(KeyboardInterrupt):
        activations(given, None, tmp_path, progress=stop)
    monkeypatch.setattr(module, "ROOM", 12 * 3 * 3 * SIDE**2)
    activations(pixels_task(pictures), None, tmp_path)
    assert not (tmp_path / KIND / given.key()).exists()


def test_numbers_beyond_float16_become_the_largest(
    pictures: Path, engine: Counting, tmp_path: Path
):
    engine.factor = -1e7
    found = activations(task(pictures), engine, tmp_path)
    assert np.isfinite(found.maps).all()
    assert found.maps.min() == np.finfo(np.float16).min


@pytest.mark.parametrize("damage", ["missing", "short"])
def test_lost_numbers_are_computed_again(damage: str, pictures: Path, tmp_path: Path):
    given = pixels_task(pictures)
    expected = np.array(activations(given, None, tmp_path).maps)
    file = tmp_path / KIND / given.key() / "0.bin"
    if damage == "missing":
        file.unlink()
    else:
        os.truncate(file, 1000)
    np.testing.assert_array_equal(activations(given, None, tmp_path).maps, expected)


def test_they_are_part_of_the_cache(pictures: Path, tmp_path: Path):
    activations(pixels_task(pictures), None, tmp_path)
    assert usage(tmp_path).bytes[KIND] >= 12 * 3 * 3 * SIDE**2
    clear(tmp_path)
    assert usage(tmp_path).bytes[KIND] == 0
