"""The frozen part runs once: what is computed is kept, found again by content, and never stale."""

import os
import shutil
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from headstart.backbones.stages import LOGITS
from headstart.engines import EnginePlan, LazyEngine
from headstart.errors import BackboneError
from headstart.features import extraction, extractor
from headstart.features.extraction import Features
from headstart.features.extractor import Extractor, configuration_key
from headstart.images.notes import ImageNote
from headstart.images.preprocessing import prepare
from headstart.system.digests import bytes_digest
from headstart.types import EngineName, Precision
from tests.conftest import F32, files, picture, tiny_backbone, tiny_graph, write_photos

Tiny = Callable[..., Extractor]


def assert_same(one: Features, other: Features) -> None:
    assert one.digests == other.digests
    assert one.values.keys() == other.values.keys()
    for stage, values in one.values.items():
        np.testing.assert_array_equal(values, other.values[stage])


def forbid_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path) -> bytes:
        raise AssertionError(f"{path} was read")

    monkeypatch.setattr(extraction, "read_bytes", fail)


def test_features_are_those_of_each_prepared_picture(photos: Path, tiny: Tiny):
    extractor = tiny()
    paths = files(photos)
    found = extractor.extract(paths)
    for row, path in enumerate(paths):
        preprocessing = extractor.backbone.preprocessing
        with Image.open(path) as image:
            image.draft("RGB", preprocessing.min_decode_size(*image.size))
            pixels = prepare(image.convert("RGB"), preprocessing)
        expected = pixels.mean((0, 1)) / 255
        np.testing.assert_allclose(found.values["coarse"][row], expected, rtol=1e-4)
        assert found.digests[row] == bytes_digest(path.read_bytes())
    assert found.rows.tolist() == list(range(len(paths)))
    assert found.values["fine"].shape == (len(paths), 48)
    assert found.plan == F32


@pytest.mark.usefixtures("settled")
def test_a_second_pass_computes_nothing_and_reads_no_image(
    photos: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
):
    first = tiny().extract(files(photos))
    forbid_reading(monkeypatch)
    extractor = tiny()
    monkeypatch.setattr(LazyEngine, "get", lambda self: pytest.fail("compiled"))
    second = extractor.extract(files(photos))
    assert (first.computed, first.cached) == (24, 0)
    assert (second.computed, second.cached) == (0, 24)
    assert_same(first, second)


def test_files_written_just_now_are_read_again_but_not_computed(photos: Path, tiny: Tiny):
    fresh = files(photos)
    for path in fresh:
        path.touch()
    first, second = tiny().extract(fresh), tiny().extract(fresh)
    assert second.computed == 0
    assert_same(first, second)


def test_only_added_images_are_computed(own: Path, tiny: Tiny):
    tiny().extract(files(own))
    write_photos(own, 5, kinds=("checks", "noise"), first=50)
    found = tiny().extract(files(own))
    assert (found.computed, found.cached, len(found)) == (10, 24, 34)


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("change", ["renamed", "copied", "touched", "moved"])
def test_images_are_known_by_their_bytes(change: str, own: Path, tiny: Tiny, tmp_path: Path):
    before = files(own)
    first = tiny().extract(before)
    if change == "renamed":
        after = [path.rename(path.with_name(f"new-{path.name}")) for path in before]
    elif change == "copied":
        after = [Path(shutil.copy(path, path.with_name(f"copy-{path.name}"))) for path in before]
    elif change == "touched":
        for path in before:
            os.utime(path, (1, 1))
        after = before
    else:
        shutil.move(own, tmp_path / "elsewhere")
        after = [tmp_path / "elsewhere" / path.relative_to(own) for path in before]
    second = tiny().extract(after)
    assert second.computed == 0
    assert_same(first, second)


@pytest.mark.usefixtures("settled")
def test_a_changed_file_of_the_same_name_is_computed_anew(own: Path, tiny: Tiny):
    path = files(own)[0]
    before = tiny().extract([path])
    picture("stripes", 999).save(path)
    after = tiny().extract([path])
    assert after.computed == 1
    assert not np.array_equal(before.values["fine"], after.values["fine"])
    assert_same(after, tiny(cache=None).extract([path]))


@pytest.mark.usefixtures("settled")
def test_a_change_that_keeps_size_and_time_of_the_file_is_noticed(tmp_path: Path, tiny: Tiny):
    path = tmp_path / "same.bmp"  # no compression: equal sizes
    Image.new("RGB", (40, 40), (10, 20, 30)).save(path)
    before, status = tiny().extract([path]), path.stat()
    Image.new("RGB", (40, 40), (200, 20, 30)).save(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == status.st_size
    after = tiny().extract([path])
    assert after.values["coarse"][0, 0] > before.values["coarse"][0, 0] + 0.5


def test_identical_files_are_run_once_and_each_gets_its_row(own: Path, tiny: Tiny):
    original = files(own)[0]
    copies = [Path(shutil.copy(original, own / f"copy{n}{original.suffix}")) for n in range(5)]
    found = tiny().extract([original, *copies, files(own / "noise")[0], original])
    assert found.computed == 2
    assert found.cached == 0
    assert len(found) == 8
    for row in (1, 5, 7):
        np.testing.assert_array_equal(found.values["fine"][row], found.values["fine"][0])


def test_files_that_cannot_be_read_are_skipped_with_a_reason_and_the_rest_is_right(
    own: Path, tiny: Tiny
):
    good = files(own)
    bad = {
        own / "empty.jpg": "empty file",
        own / "text.png": "not an image",
        own / "truncated.png": "truncated",
        own / "absent.jpg": "no such file",
        own / "link.jpg": "broken link",
        own / "folder.jpg": "a folder",
        Path("with\0nul.jpg"): "",
    }
    (own / "empty.jpg").touch()
    (own / "text.png").write_text("these are no pixels")
    content = (own / "checks" / "001.png").read_bytes()
    (own / "truncated.png").write_bytes(content[: len(content) // 2])
    (own / "link.jpg").symlink_to(own / "nowhere.jpg")
    (own / "folder.jpg").mkdir()
    mixed = [*good[:5], *bad, *good[5:]]
    found = tiny().extract(mixed)
    assert found.rows.tolist() == [row for row, path in enumerate(mixed) if path not in bad]
    assert [entry.path for entry in found.skipped] == [str(path) for path in bad]
    for entry, reason in zip(found.skipped, bad.values(), strict=True):
        assert reason in entry.reason
        assert "Errno" not in entry.reason
    assert_same(found, tiny(cache=None).extract(good))


def test_no_readable_image_gives_empty_features(tmp_path: Path, tiny: Tiny):
    found = tiny().extract([tmp_path / "absent.jpg"])
    assert len(found) == 0
    assert found.values["fine"].shape == (0, 48)
    assert tiny(cache=None).extract([]).values["coarse"].shape == (0, 3)


def test_the_order_of_paths_does_not_matter_to_the_values(photos: Path, tiny: Tiny):
    paths = files(photos)
    order = np.random.default_rng(0).permutation(len(paths))
    straight = tiny(cache=None).extract(paths)
    mixed = tiny(cache=None).extract([paths[place] for place in order])
    for stage, values in straight.values.items():
        np.testing.assert_array_equal(values[order], mixed.values[stage])


def test_without_a_cache_everything_is_computed_and_nothing_written(
    photos: Path, tiny: Tiny, tmp_path: Path
):
    kept = tiny().extract(files(photos))
    for _ in range(2):
        found = tiny(cache=None).extract(files(photos))
        assert found.computed == 24
        assert_same(kept, found)
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


def test_the_stages_asked_for_come_and_the_logits_only_when_named(photos: Path, tiny: Tiny):
    paths = files(photos)[:3]
    assert list(tiny().extract(paths).values) == ["fine", "coarse"]
    found = tiny().extract(paths, stages=[LOGITS, "coarse"])
    assert {name: values.shape for name, values in found.values.items()} == {
        LOGITS: (3, 5),
        "coarse": (3, 3),
    }
    assert found.computed == 0
    with pytest.raises(BackboneError, match="no stage 'deep'; its stages are fine, coarse"):
        tiny().extract(paths, stages=["deep"])


class TestKey:
    def test_is_the_same_for_the_same_configuration(self):
        assert configuration_key(tiny_backbone(), F32) == configuration_key(tiny_backbone(), F32)

    def test_differs_by_all_that_may_change_a_feature(self, monkeypatch: pytest.MonkeyPatch):
        tiny = tiny_backbone()
        keys = [
            configuration_key(tiny, F32),
            configuration_key(tiny, EnginePlan(EngineName.OPENVINO, Precision.BFLOAT16)),
            configuration_key(tiny, EnginePlan(EngineName.PYTORCH, Precision.FLOAT32)),
            configuration_key(tiny, EnginePlan(EngineName.PYTORCH, Precision.FLOAT32, "cuda")),
            configuration_key(tiny_backbone(digest="1" * 32), F32),
            configuration_key(tiny_backbone(size=40), F32),
            configuration_key(replace(tiny, stages=tiny.stages[:1]), F32),
        ]
        monkeypatch.setattr(extractor, "_version", {"pillow": "0.0"}.get)
        keys.append(configuration_key(tiny, F32))
        assert len(set(keys)) == len(keys)

    def test_another_configuration_never_sees_these_features(self, photos: Path, tiny: Tiny):
        paths = files(photos)[:4]
        tiny().extract(paths)
        for other in (tiny(digest="1" * 32), tiny(size=40)):
            assert other.extract(paths).computed == 4
        assert tiny().extract(paths).computed == 0


def test_progress_reaches_the_total_and_never_goes_back(own: Path, tiny: Tiny):
    paths = files(own)
    tiny().extract(paths[:7])
    (own / "text.png").write_text("no image")
    shutil.copy(paths[-1], own / "copy.jpg")
    seen: list[tuple[int, int]] = []
    everything = [*paths, own / "text.png", own / "copy.jpg", paths[0]]
    tiny().extract(everything, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (27, 27)
    assert {total for _, total in seen} == {27}
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_a_released_network_is_made_anew_when_needed(photos: Path, tiny: Tiny):
    extractor = tiny(cache=None)
    paths = files(photos)[:2]
    before = extractor.extract(paths)
    first = extractor.engine()
    extractor.release()
    after = extractor.extract(paths)
    assert extractor.engine() is not first
    np.testing.assert_array_equal(before.values["fine"], after.values["fine"])


def doubled_graph() -> Any:
    """The tiny network with all of its outputs doubled."""
    from openvino import opset13 as op

    graph = tiny_graph()
    for result in graph.results:
        wire = result.input(0).get_source_output()
        doubled = op.multiply(wire, op.constant(np.float32(2)))
        result.input(0).replace_source_output(doubled.output(0))
    return graph


class TestAnotherBackbone:
    """The features of one network are never returned or stored as those of another."""

    ANOTHER = replace(tiny_backbone(digest="1" * 32), graph=doubled_graph)

    @pytest.mark.parametrize("cached", [True, False])
    @pytest.mark.parametrize("derive", [Extractor.with_backbone, replace])
    def test_an_extractor_derived_from_a_used_one_computes_its_own_features(
        self, derive: Callable[..., Extractor], cached: bool, photos: Path, tiny: Tiny
    ):
        first = tiny() if cached else tiny(cache=None)
        paths = files(photos)[:6]
        of_first = first.extract(paths)
        second = (
            derive(first, backbone=self.ANOTHER)
            if derive is replace
            else derive(first, self.ANOTHER)
        )
        of_second = second.extract(paths)
        assert (of_second.computed, of_second.cached) == (6, 0)
        for stage, values in of_first.values.items():
            np.testing.assert_allclose(of_second.values[stage], 2 * values, rtol=1e-5)
        assert_same(first.extract(paths), of_first)
        for one, computed in ((first, of_first), (second, of_second)):
            store = one.store()
            assert (store is not None) == cached
            if store is not None:
                assert store.contains(computed.digests).all()
                for stage, values in store.read(computed.digests, ["fine", "coarse"]).items():
                    np.testing.assert_array_equal(values, computed.values[stage])

    def test_neither_the_backbone_nor_the_engine_can_be_exchanged(self, tiny: Tiny):
        extractor = tiny()
        with pytest.raises(FrozenInstanceError):
            extractor.backbone = self.ANOTHER  # type: ignore[misc]
        with pytest.raises(ValueError, match="_engine"):
            replace(extractor, _engine=tiny()._engine)

    def test_warnings_of_a_derived_extractor_reach_the_original(self, tiny: Tiny):
        extractor = tiny()
        assert extractor.with_backbone(self.ANOTHER).warnings is extractor.warnings


def test_what_decoding_assumed_is_said_for_all_images_in_each_run(tmp_path: Path, tiny: Tiny):
    (folder := tmp_path / "photos").mkdir()
    for name, most in (("a", 4095), ("b", 1023), ("c", 65535)):
        values = np.linspace(0, most, 400).astype(np.uint16).reshape(20, 20)
        Image.fromarray(values).save(folder / f"{name}.png")
    shutil.copy(folder / "a.png", folder / "copy.png")
    for computed in (3, 0):
        extractor = tiny()
        extractor.extract(files(folder)[:1])
        found = extractor.with_backbone(extractor.backbone).extract(files(folder))
        assert found.computed == max(0, computed - 1)
        assert found.notes == {ImageNote.REDUCED_BIT_DEPTH: set(found.digests[:2])}
        (warning,) = extractor.warnings
        assert warning.startswith("2 images have 16 bits per channel but small values only")
    first, second, *_ = found.values["coarse"]
    np.testing.assert_allclose(first, second, atol=0.01)
