"""A model, and an accuracy that is worth its name."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.datasets import ImageDataset, open_dataset
from headstart.errors import BackboneError, DataError
from headstart.features.extractor import Extractor
from headstart.heads.families import FAMILIES
from headstart.models import fit as fit_module
from headstart.models import selection_cache
from headstart.models.fit import fit
from headstart.models.fit_result import FitResult
from headstart.models.fit_settings import FitSettings
from headstart.models.saved_model import save_model
from headstart.types import EstimateMethod, Split
from tests.conftest import KINDS, files, picture, write_photos

Tiny = Callable[..., Extractor]


@pytest.fixture
def own(photos: Path, tmp_path: Path) -> Path:
    """A copy of the photos that a test may change."""
    return Path(shutil.copytree(photos, tmp_path / "own"))


def split_folder(root: Path, **counts: int) -> Path:
    """Folders train/, val/, test/ with different pictures."""
    for place, (part, count) in enumerate(counts.items()):
        write_photos(root / part, count, first=1000 * place)
    return root


def digests(trained: FitResult) -> set[bytes]:
    return {row.tobytes() for row in trained.model.data.digests}


def bytes_of(trained: FitResult, folder: Path) -> dict[str, bytes]:
    save_model(trained.model, folder)
    return {path.name: path.read_bytes() for path in files(folder)}


class TestEstimate:
    def test_is_cross_validated_where_the_data_has_one_part(self, photos: Path, tiny: Tiny):
        trained = fit(open_dataset(photos), tiny(), FitSettings())
        measured = trained.model.accuracy
        assert measured.method is EstimateMethod.CROSS_VALIDATION
        assert measured.images == trained.images == 24
        assert measured.value is not None
        assert measured.interval is not None
        assert measured.value >= 0.9
        assert measured.interval.low <= measured.value <= measured.interval.high
        assert list(trained.model.accuracy_by_stage) == ["fine", "coarse"]

    def test_of_many_images_a_sample_chooses_and_all_train(
        self, photos: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
    ):
        whole = fit(open_dataset(photos), tiny(), FitSettings())
        monkeypatch.setattr(fit_module, "_SAMPLE", 15)
        monkeypatch.setattr(fit_module, "_SAMPLE_PER_CLASS", 1)
        trained = fit(open_dataset(photos), tiny(), FitSettings())
        assert (whole.compared_on, trained.compared_on) == (24, 15)
        assert trained.images == sum(trained.model.data.images) == 24
        assert trained.model.accuracy.images == 15
        assert trained.held_out is not None
        assert len(trained.held_out.paths) == len(trained.held_out.labels) == 15
        right = trained.held_out.probabilities.argmax(1) == trained.held_out.labels
        assert trained.model.accuracy.value == right.mean()
        assert all(
            name.parent.name == trained.model.classes[label]
            for name, label in zip(trained.held_out.paths, trained.held_out.labels, strict=True)
        )
        again = fit(open_dataset(photos), tiny(), FitSettings())
        assert again.held_out is not None
        assert again.held_out.paths == trained.held_out.paths

    @pytest.mark.parametrize("part", ["test", "val", "valid", "validation"])
    def test_is_held_out_where_the_data_has_a_test_or_validation_part(
        self, part: str, tmp_path: Path, tiny: Tiny
    ):
        dataset = open_dataset(split_folder(tmp_path / "data", train=6, **{part: 4}))
        trained = fit(dataset, tiny(), FitSettings())
        assert trained.model.accuracy.method is EstimateMethod.HELD_OUT
        assert (trained.images, trained.model.accuracy.images) == (18, 12)
        assert trained.held_out is not None
        assert {path.parts[-3] for path in trained.held_out.paths} == {part}

    def test_rests_on_the_test_part_and_learns_from_validation_where_there_are_three(
        self, tmp_path: Path, tiny: Tiny
    ):
        dataset = open_dataset(split_folder(tmp_path / "data", train=5, valid=3, test=4))
        trained = fit(dataset, tiny(), FitSettings())
        assert (trained.images, trained.model.accuracy.images) == (24, 12)
        assert trained.held_out is not None
        assert {path.parts[-3] for path in trained.held_out.paths} == {"test"}

    def test_is_held_out_on_the_share_asked_for(self, photos: Path, tiny: Tiny):
        trained = fit(open_dataset(photos), tiny(), FitSettings(hold_out=0.4))
        measured = trained.model.accuracy
        assert measured.method is EstimateMethod.HELD_OUT
        assert trained.images + measured.images == 24
        assert 3 <= measured.images <= 15
        assert trained.held_out is not None
        assert set(trained.held_out.labels.tolist()) == {0, 1, 2}

    def test_counts_what_the_tested_predictions_say(self, tmp_path: Path, tiny: Tiny):
        dataset = open_dataset(split_folder(tmp_path / "data", train=4, test=6))
        trained = fit(dataset, tiny(), FitSettings())
        assert trained.held_out is not None
        right = trained.held_out.probabilities.argmax(1) == trained.held_out.labels
        assert trained.model.accuracy.value == right.mean()
        assert trained.model.lowest_recalls == trained.recalls[:3] != ()
        named = [trained.model.classes[label] for label in trained.held_out.labels]
        assert named == [path.parent.name for path in trained.held_out.paths]

    def test_new_images_are_compared_with_cross_validated_training_images(
        self, tmp_path: Path, tiny: Tiny
    ):
        whole = fit(open_dataset(write_photos(tmp_path / "whole", 8)), tiny(), FitSettings())
        calibration = whole.model.calibration
        assert calibration.correct.mean() == whole.model.accuracy.value
        assert np.bincount(calibration.labels).tolist() == [8, 8, 8]
        assert np.isfinite(calibration.novelty).all()
        data = open_dataset(split_folder(tmp_path / "split", train=8, test=4))
        tested = fit(data, tiny(), FitSettings())
        assert tested.model.accuracy.images == 12
        assert len(tested.model.calibration.labels) == 24  # the test part is for testing

    def test_is_unknown_with_one_image_a_class(self, tmp_path: Path, tiny: Tiny):
        extractor = tiny()
        trained = fit(open_dataset(write_photos(tmp_path / "one", 1)), extractor, FitSettings())
        measured = trained.model.accuracy
        assert measured.method is EstimateMethod.UNKNOWN
        assert (measured.value, measured.interval, measured.images) == (None, None, 0)
        assert trained.held_out is None
        assert extractor.warnings == []
        assert len(bytes_of(trained, tmp_path / "model")) == 3

    @pytest.mark.parametrize("count", [2, 3, 5])
    @pytest.mark.parametrize("head", list(FAMILIES))
    def test_few_images_train_without_a_warning(
        self, count: int, head: str, tmp_path: Path, tiny: Tiny
    ):
        dataset = open_dataset(write_photos(tmp_path / "few", count))
        trained = fit(dataset, tiny(), FitSettings(head=head))
        assert trained.model.accuracy.method is EstimateMethod.CROSS_VALIDATION
        assert trained.model.accuracy.images == 3 * count


class TestCopiesAndConflicts:
    def test_no_picture_stands_on_both_sides_of_a_split(self, tmp_path: Path, tiny: Tiny):
        root = split_folder(tmp_path / "data", train=6, test=4)
        for path in files(root / "test" / "checks")[:3]:
            shutil.copy(path, root / "train" / "checks" / f"copy-of-{path.name}")
        trained = fit(open_dataset(root), tiny(), FitSettings())
        assert (trained.images, trained.model.accuracy.images) == (18, 12)
        assert trained.model.data.duplicates == 3
        assert trained.held_out is not None
        held_out = {path.read_bytes() for path in trained.held_out.paths}
        learned = {path.read_bytes() for path in files(root / "train")}
        assert len(held_out & learned) == 3  # they are in both folders,
        assert len(digests(trained)) == 18  # and were not learned from

    def test_copies_within_a_class_count_once(self, own: Path, tiny: Tiny):
        for path in files(own / "noise"):
            shutil.copy(path, path.with_stem(f"{path.stem}-copy"))
        trained = fit(open_dataset(own), tiny(), FitSettings())
        assert trained.images == trained.model.accuracy.images == 24
        assert trained.model.data.duplicates == 8

    def test_a_picture_with_two_labels_is_reported_and_not_used(self, own: Path, tiny: Tiny):
        twice = files(own / "noise")[0]
        shutil.copy(twice, own / "checks" / "also-noise.jpg")
        trained = fit(open_dataset(own), tiny(), FitSettings())
        (conflict,) = trained.conflicts
        assert sorted(conflict.labels) == ["checks", "noise"]
        assert sorted(Path(path).name for path in conflict.paths) == [twice.name, "also-noise.jpg"]
        assert trained.model.data.images == (8, 7, 8)
        assert trained.model.data.conflicts == 1

    def test_a_picture_with_another_label_in_the_test_part_is_a_conflict(
        self, tmp_path: Path, tiny: Tiny
    ):
        root = split_folder(tmp_path / "data", train=4, test=4)
        shutil.copy(files(root / "test" / "noise")[0], root / "train" / "checks" / "x.jpg")
        trained = fit(open_dataset(root), tiny(), FitSettings())
        assert len(trained.conflicts) == 1
        assert (trained.images, trained.model.accuracy.images) == (12, 11)


def test_images_alike_in_the_middle_only_are_no_copies(tmp_path: Path, tiny: Tiny):
    rng = np.random.default_rng(0)
    middle = rng.integers(0, 256, (50, 60, 3), dtype=np.uint8)
    for number, name in enumerate("aabb"):
        strip = rng.integers(0, 256, (50, 600, 3), dtype=np.uint8)
        strip[:, 270:330] = middle
        (tmp_path / "data" / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(strip).save(tmp_path / "data" / name / f"{number}.png")
    found = fit(open_dataset(tmp_path / "data"), tiny(), FitSettings())
    assert found.conflicts == ()
    assert found.model.data.duplicates == 0
    assert found.images == 4


class TestRefusal:
    def test_of_one_class(self, own: Path, tiny: Tiny):
        dataset = open_dataset(own)
        one = dataset.subset(dataset.labels == 1)
        with pytest.raises(DataError, match="only the class 'noise' has a training image"):
            fit(one, tiny(), FitSettings())

    def test_of_no_class(self, own: Path, tiny: Tiny):
        dataset = open_dataset(own)
        with pytest.raises(DataError, match="no training images"):
            fit(dataset.subset(np.zeros(len(dataset), bool)), tiny(), FitSettings())

    def test_of_a_training_part_that_is_the_test_part(self, tmp_path: Path, tiny: Tiny):
        root = split_folder(tmp_path / "data", train=4, test=4)
        shutil.rmtree(root / "test")
        shutil.copytree(root / "train", root / "test")
        with pytest.raises(DataError, match=r"; \d+ test images are also in the training part"):
            fit(open_dataset(root), tiny(), FitSettings())

    def test_of_classes_whose_files_cannot_be_read(self, own: Path, tiny: Tiny):
        dataset = open_dataset(own)
        for path in files(own):
            path.write_bytes(b"\xff\xd8\xff no picture")
        with pytest.raises(DataError, match=r"24 of 24 files could not be used \(24 damaged JPEG"):
            fit(dataset, tiny(), FitSettings())

    def test_of_data_without_a_training_part(self, own: Path, tiny: Tiny):
        dataset = open_dataset(own)
        dataset = replace(dataset, splits=(Split.TEST,) * len(dataset))
        with pytest.raises(DataError, match="no training part"):
            fit(dataset, tiny(), FitSettings())

    def test_of_an_unknown_stage_lists_the_stages(self, photos: Path, tiny: Tiny):
        with pytest.raises(BackboneError, match="no stage 'deep'; its stages are fine, coarse"):
            fit(open_dataset(photos), tiny(), FitSettings(stages=("deep",)))

    @pytest.mark.parametrize("share", [-0.1, 1.0])
    def test_of_an_impossible_share_to_hold_out(self, share: float, photos: Path, tiny: Tiny):
        with pytest.raises(DataError, match="hold out"):
            fit(open_dataset(photos), tiny(), FitSettings(hold_out=share))


def test_an_unreadable_file_is_skipped_and_the_rest_is_used(own: Path, tiny: Tiny):
    broken = own / "noise" / "broken.jpg"
    broken.write_bytes(b"")
    trained = fit(open_dataset(own), tiny(), FitSettings())
    assert [(entry.path, entry.reason) for entry in trained.skipped] == [
        (str(broken), "empty file")
    ]
    assert trained.images == 24
    assert trained.model.data.skipped == 1


def test_a_class_that_only_the_test_part_has_is_left_out_with_a_reason(tmp_path: Path, tiny: Tiny):
    root = split_folder(tmp_path / "data", train=4, test=2)
    (root / "test" / "dots").mkdir()
    picture("noise", 777).save(root / "test" / "dots" / "0.png")
    trained = fit(open_dataset(root), tiny(), FitSettings())
    assert trained.model.classes == KINDS
    assert trained.model.accuracy.images == 6
    (skipped,) = trained.skipped
    assert skipped.reason == "no training image of its class (dots)"


class TestStages:
    def test_named_ones_are_taken_shallow_to_deep_and_once(self, photos: Path, tiny: Tiny):
        recipe = FitSettings(stages=("coarse", "fine", "coarse"))
        trained = fit(open_dataset(photos), tiny(), recipe)
        assert trained.model.origin.stages == ("fine", "coarse")

    def test_the_choice_is_among_the_backbones(self, photos: Path, tiny: Tiny):
        seen: list[tuple[int, int]] = []
        trained = fit(
            open_dataset(photos),
            tiny(),
            FitSettings(),
            on_candidates=lambda done, total: seen.append((done, total)),
        )
        assert set(trained.model.origin.stages) <= {"fine", "coarse"}
        assert seen[-1][0] == seen[-1][1]


def test_balance_gives_small_classes_more_weight(tmp_path: Path, tiny: Tiny):
    # The rare class differs from the common one in nothing: without weights it is never predicted.
    root = tmp_path / "data"
    write_photos(root, 30, kinds=("checks",))
    write_photos(tmp_path / "more", 5, kinds=("checks",), first=500)
    (tmp_path / "more" / "checks").rename(root / "rare")
    dataset = open_dataset(root)
    recipe = FitSettings(stages=("coarse",))

    def share_of_rare(trained: FitResult) -> float:
        assert trained.held_out is not None
        return float(trained.held_out.probabilities[:, 1].mean())

    plain = fit(dataset, tiny(), recipe)
    balanced = fit(dataset, tiny(), replace(recipe, balance=True))
    assert share_of_rare(plain) < 0.3
    assert share_of_rare(balanced) > share_of_rare(plain) + 0.1
    assert balanced.model.balanced
    assert not plain.model.balanced


class TestReproducibility:
    @pytest.mark.parametrize("head", list(FAMILIES))
    def test_the_same_seed_gives_the_same_bytes(
        self, head: str, photos: Path, tiny: Tiny, tmp_path: Path
    ):
        dataset = open_dataset(photos)
        first = fit(dataset, tiny(), FitSettings(head=head, seed=3))
        second = fit(dataset, tiny(cache=None), FitSettings(head=head, seed=3))
        assert bytes_of(first, tmp_path / "first") == bytes_of(second, tmp_path / "second")

    def test_the_order_of_the_images_changes_nothing(
        self, photos: Path, tiny: Tiny, tmp_path: Path
    ):
        dataset = open_dataset(photos)
        mixed = dataset.subset(np.random.default_rng(0).permutation(len(dataset)))
        first, second = (fit(one, tiny(), FitSettings(hold_out=0.2)) for one in (dataset, mixed))
        assert bytes_of(first, tmp_path / "first") == bytes_of(second, tmp_path / "second")

    def test_the_names_of_the_files_change_nothing(self, own: Path, tiny: Tiny, tmp_path: Path):
        first = fit(open_dataset(own), tiny(), FitSettings())
        for place, path in enumerate(reversed(files(own))):
            path.rename(path.with_stem(f"renamed-{place:03}"))
        second = fit(open_dataset(own), tiny(), FitSettings())
        assert bytes_of(first, tmp_path / "first") == bytes_of(second, tmp_path / "second")

    def test_another_seed_is_recorded(self, photos: Path, tiny: Tiny):
        assert fit(open_dataset(photos), tiny(), FitSettings(seed=5)).model.seed == 5


def test_the_second_training_computes_no_feature(photos: Path, tiny: Tiny):
    dataset = open_dataset(photos)
    first, second = (fit(dataset, tiny(), FitSettings()) for _ in range(2))
    assert (first.cached, first.computed) == (0, 24)
    assert (second.cached, second.computed) == (24, 0)
    assert first.feature_seconds <= first.seconds


def test_the_second_training_chooses_nothing_anew(
    photos: Path, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    first = fit(open_dataset(photos), tiny(), FitSettings())
    asked: list[int] = []
    select = selection_cache.select
    monkeypatch.setattr(
        selection_cache,
        "select",
        lambda *a, **k: asked.append(1) or select(*a, **k),  # type: ignore[func-returns-value]
    )
    second = fit(open_dataset(photos), tiny(), FitSettings())
    assert asked == []
    assert bytes_of(first, tmp_path / "first") == bytes_of(second, tmp_path / "second")
    for other in (
        FitSettings(seed=1),
        FitSettings(balance=True, head="knn"),
        FitSettings(hold_out=0.3),
    ):
        fit(open_dataset(photos), tiny(), other)
    assert len(asked) == 3


def test_the_model_says_where_it_comes_from(photos: Path, tiny: Tiny):
    dataset = replace(open_dataset(photos), license="CC0-1.0")
    model = fit(dataset, tiny(), FitSettings()).model
    assert model.classes == KINDS
    assert (model.origin.backbone, model.origin.weights) == ("tiny", "0" * 32)
    assert (model.origin.engine, model.origin.precision) == ("openvino", "f32")
    assert (model.data.name, model.data.license) == ("photos", "CC0-1.0")
    assert model.data.images == (8, 8, 8)


def test_an_image_dataset_made_by_hand_trains(photos: Path, tiny: Tiny):
    paths = files(photos)
    dataset = ImageDataset(
        name="mine",
        paths=tuple(paths),
        labels=np.array([KINDS.index(path.parent.name) for path in paths]),
        classes=KINDS,
    )
    assert fit(dataset, tiny(), FitSettings()).images == 24
