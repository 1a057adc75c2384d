"""The estimator takes images in memory wherever it takes paths, with the same answers."""

import copy
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import Pipeline

from headstart import Classifier
from headstart.errors import DataError, HeadstartWarning, StoreError
from headstart.features import extractor
from headstart.system.machine import cores
from tests.conftest import KINDS, files, tiny_backbone

pytestmark = pytest.mark.usefixtures("tiny_everywhere")


@pytest.fixture
def labels(photos: Path) -> list[str]:
    return [path.parent.name for path in files(photos)]


@pytest.fixture(scope="module")
def fitted(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    """A classifier with a cache of its own; not to be changed."""
    paths = files(photos)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extractor, "load_backbone", lambda name, **options: tiny_backbone())
        found = Classifier(cache=tmp_path_factory.mktemp("cache"))
        return found.fit(paths, [path.parent.name for path in paths])


@pytest.fixture(scope="module")
def new_photos(new_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The photos without loss; of large JPEGs, files are decoded at a reduced size."""
    folder = tmp_path_factory.mktemp("lossless")
    for path, pixels in zip(files(new_photos), arrays(new_photos), strict=True):
        (folder / path.parent.name).mkdir(exist_ok=True)
        Image.fromarray(pixels).save(folder / path.parent.name / f"{path.stem}.png")
    return folder


def arrays(folder: Path) -> list[np.ndarray]:
    found = []
    for path in files(folder):
        with Image.open(path) as image:
            found.append(np.asarray(image))
    return found


def kept(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache" / "images").glob("[!C]*"))


class TestPredict:
    @pytest.mark.parametrize("how", ["arrays", "floats", "pillow", "bytes", "open", "generator"])
    def test_answers_are_those_of_the_files(self, how: str, fitted: Classifier, new_photos: Path):
        pixels, contents = arrays(new_photos), [path.read_bytes() for path in files(new_photos)]
        X: Any = {
            "arrays": pixels,
            "floats": [one / 255 for one in pixels],
            "pillow": [Image.fromarray(one) for one in pixels],
            "bytes": contents,
            "open": [io.BytesIO(one) for one in contents],
            "generator": iter(pixels),
        }[how]
        expected = fitted.predictions(files(new_photos))
        found = fitted.predictions(X)
        np.testing.assert_array_equal(found.probabilities, expected.probabilities)
        np.testing.assert_array_equal(found.novelty, expected.novelty)

    def test_every_method_takes_them(self, fitted: Classifier, new_photos: Path):
        paths, pixels = files(new_photos), arrays(new_photos)
        truth = [path.parent.name for path in paths]
        for method in (
            *(fitted.predict, fitted.predict_proba, fitted.predict_log_proba, fitted.novelty),
            *(fitted.predict_set, fitted.transform),
        ):
            np.testing.assert_array_equal(method(pixels), method(paths))
        assert fitted.score(iter(pixels), truth) == fitted.score(paths, truth)
        with pytest.raises(DataError, match="12 images and 11 labels"):
            fitted.score(iter(pixels), truth[:-1])

    def test_a_batch_of_gray_images_is_an_array(self, fitted: Classifier):
        gray = np.random.default_rng(0).integers(0, 256, (2, 40, 40), dtype=np.uint8)
        colored = np.repeat(gray[..., None], 3, axis=3)
        np.testing.assert_array_equal(fitted.predict_proba(gray), fitted.predict_proba(colored))

    def test_what_cannot_be_read_is_named_by_its_position(self, fitted: Classifier):
        given = [np.zeros((40, 40), np.uint8), b"\0no image", np.ones((40, 40), np.uint8)]
        found = fitted.predictions(given)
        assert found.rows.tolist() == [0, 2]
        assert [one.path for one in found.skipped] == ["image 1"]
        with pytest.raises(DataError, match=r"1 of 3 images cannot be read .*first is image 1"):
            fitted.predict(given)

    def test_features_are_stored_for_memory_and_file_alike(
        self, photos: Path, labels: list[str], new_photos: Path
    ):
        fitted = Classifier().fit(files(photos), labels)
        contents = [path.read_bytes() for path in files(new_photos)]
        assert fitted.predictions(contents).computed == len(contents)
        assert fitted.predictions(files(new_photos)).computed == 0
        assert fitted.predictions(arrays(new_photos)).computed == len(contents)
        assert fitted.predictions(arrays(new_photos)).computed == 0


class TestFit:
    def test_the_model_is_that_of_the_files(
        self, fitted: Classifier, photos: Path, labels: list[str], new_photos: Path, tmp_path: Path
    ):
        other = Classifier().fit([path.read_bytes() for path in files(photos)], labels)
        new = files(new_photos)
        np.testing.assert_array_equal(other.predict_proba(new), fitted.predict_proba(new))
        assert other.model_.data.name == "images"
        assert {path.suffix for path in kept(tmp_path)} == {".jpg", ".png"}

    def test_each_image_is_kept_once_and_known_when_it_is_predicted(
        self, photos: Path, labels: list[str], tmp_path: Path
    ):
        pixels = arrays(photos)
        first = Classifier().fit(iter(pixels), labels)
        before = [path.stat().st_mtime_ns for path in kept(tmp_path)]
        assert len(before) == len(pixels)
        assert {path.suffix for path in kept(tmp_path)} == {".ppm"}
        kept(tmp_path)[0].write_bytes(b"cut off")
        second = Classifier().fit(pixels[::-1], labels[::-1])
        after = [path.stat().st_mtime_ns for path in kept(tmp_path)]
        assert after[1:] == before[1:]
        assert kept(tmp_path)[0].stat().st_size > 100
        assert first.predictions(pixels).computed == 0
        np.testing.assert_array_equal(
            first.predict_proba(pixels[:1]), second.predict_proba(pixels[:1])
        )

    def test_cross_validation_takes_lists_and_arrays(self, photos: Path, labels: list[str]):
        assert cross_val_score(Classifier(), arrays(photos), labels, cv=3).mean() >= 0.9
        stacked = np.stack([one[:64, :64] for one in arrays(photos)])
        assert cross_val_score(Classifier(), stacked, np.array(labels), cv=3).mean() >= 0.9

    def test_unreadable_and_contradictory_images_are_called_by_their_positions(
        self, photos: Path, labels: list[str], tmp_path: Path
    ):
        given: list[Any] = list(arrays(photos))
        given[3], given[5] = b"\0no image", io.BytesIO()
        given += [given[0], given[-1]]
        y = [*labels, labels[-1], labels[-1]]
        with pytest.warns(HeadstartWarning) as warned:
            found = Classifier().fit(given, y).fit_result_
        assert {one.path for one in found.skipped} == {"image 3", "image 5"}
        (conflict,) = found.conflicts
        assert conflict.labels == (labels[0], labels[-1])
        assert conflict.paths == ("image 0", "image 24")
        assert any("the first is image" in str(one.message) for one in warned)

    def test_images_of_weight_0_are_left_out(self, photos: Path, labels: list[str]):
        weights = [1] * 20 + [0] * 4
        found = Classifier().fit(arrays(photos), labels, sample_weight=weights)
        assert found.fit_result_.images == 20

    def test_the_numbers_of_images_and_labels_must_agree(self, photos: Path, labels: list[str]):
        with pytest.raises(DataError, match="24 images and 23 labels"):
            Classifier().fit(arrays(photos), labels[:-1])
        with pytest.raises(DataError, match="23 images and 24 labels"):
            Classifier().fit(iter(arrays(photos)[:-1]), labels)
        with pytest.raises(DataError, match="24 images and 23 labels"):
            Classifier().fit(iter(arrays(photos)), labels[:-1])

    def test_without_a_cache_it_says_what_to_do(self, labels: list[str], tmp_path: Path):
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(StoreError, match=r"HEADSTART_CACHE; or save the images to files"):
            Classifier(cache=tmp_path / "file").fit(np.zeros((24, 8, 8)), labels)


class TestTransform:
    def test_gives_the_features_that_the_head_uses(self, fitted: Classifier, new_photos: Path):
        features = fitted.transform(files(new_photos))
        assert features.dtype == np.float32
        names = fitted.get_feature_names_out()
        assert features.shape == (12, len(names))
        assert set(fitted.model_.stages) == {name.rpartition("_")[0] for name in names}
        values = fitted.extractor.extract(files(new_photos)).values
        width = values[fitted.model_.stages[0]].shape[1]
        np.testing.assert_array_equal(features[:, :width], values[fitted.model_.stages[0]])

    def test_stages_of_several_members_count_once(self, photos: Path, labels: list[str]):
        fitted = Classifier(views=["tiny", "tiny@32-whole"]).fit(files(photos), labels)
        names = fitted.get_feature_names_out().tolist()
        assert len(names) == len(set(names)) == fitted.transform(files(photos)[:2]).shape[1]

    def test_a_fitted_classifier_is_a_step_of_a_pipeline(
        self, photos: Path, labels: list[str], new_photos: Path
    ):
        pipeline = Pipeline([("features", Classifier()), ("head", LogisticRegression())])
        pipeline.fit(arrays(photos), labels)
        truth = [path.parent.name for path in files(new_photos)]
        assert pipeline.score(arrays(new_photos), truth) >= 0.9
        assert pipeline.predict(files(new_photos)[:1]).tolist()[0] in KINDS

    def test_gives_a_table_with_the_names(self, fitted: Classifier, new_photos: Path):
        table = copy.copy(fitted).set_output(transform="pandas").transform(files(new_photos))
        assert list(table.columns) == fitted.get_feature_names_out().tolist()
        assert len(table) == 12


class TestPredictIter:
    @pytest.mark.parametrize("batch", [1, 5, 16])
    def test_answers_are_those_of_predict(self, batch: int, fitted: Classifier, new_photos: Path):
        expected = fitted.predictions(files(new_photos))
        found = list(fitted.predict_iter(arrays(new_photos), batch=batch))
        np.testing.assert_allclose(
            [one.probabilities for one in found], expected.probabilities, rtol=1e-5
        )
        np.testing.assert_allclose([one.novelty for one in found], expected.novelty, rtol=1e-5)
        assert [one.label for one in found] == fitted.predict(files(new_photos)).tolist()
        assert [one.image for one in found] == [f"image {n}" for n in range(12)]
        best = found[0].top(2)
        assert best[0] == (found[0].label, found[0].probability)
        assert found[0].top(9)[2].probability == found[0].probabilities.min()

    @pytest.mark.parametrize("batch", [1, 2, 16])
    def test_what_cannot_be_used_has_a_reason_and_the_rest_goes_on(
        self, batch: int, fitted: Classifier, new_photos: Path
    ):
        good = files(new_photos)[0]
        given = [good, "absent.jpg", None, np.zeros((3, 8, 8)), b"\0", "https://a/b.jpg", good]
        found = list(fitted.predict_iter(given, batch=batch))
        errors = [one.error for one in found]
        assert errors[:2] == [None, "no such file"]
        assert errors[-1] is None
        assert "missing" in errors[2]
        assert "channels come last" in errors[3]
        assert errors[4]
        assert "URL" in errors[5]
        bad = found[1]
        assert (bad.label, bad.probability, bad.novelty, bad.top(2)) == (None, None, None, [])
        assert (bad.image, found[0].image, found[4].image) == ("absent.jpg", str(good), "image 4")
        assert list(fitted.predict_iter(["absent.jpg"] * 3, batch=batch))[2].error

    @pytest.mark.parametrize("batch", [1, 16])
    def test_a_camera_may_reuse_its_buffer(self, batch: int, fitted: Classifier):
        def camera(buffer: np.ndarray | None) -> Iterator[np.ndarray]:
            for level in range(0, 240, 10):
                frame = np.empty((40, 40, 3), np.uint8) if buffer is None else buffer
                frame[:] = [level, 255 - level, level // 2]
                yield frame

        fresh = list(fitted.predict_iter(camera(None), batch=batch))
        found = list(fitted.predict_iter(camera(np.empty((40, 40, 3), np.uint8)), batch=batch))
        np.testing.assert_array_equal(
            [one.probabilities for one in found], [one.probabilities for one in fresh]
        )

    def test_one_frame_in_is_one_prediction_out(self, fitted: Classifier):
        taken = 0

        def camera() -> Iterator[np.ndarray]:
            nonlocal taken
            while True:
                taken += 1
                yield np.full((40, 40, 3), taken, np.uint8)

        stream = fitted.predict_iter(camera(), batch=1)
        for count in range(1, 4):
            next(stream)
            assert taken == count

    def test_only_a_few_images_are_taken_ahead(self, fitted: Classifier):
        taken = 0

        def endless() -> Iterator[np.ndarray]:
            nonlocal taken
            while True:
                taken += 1
                yield np.full((40, 40, 3), taken % 255, np.uint8)

        stream = fitted.predict_iter(endless(), batch=4)
        most = 0
        for count in range(200):
            next(stream)
            most = max(most, taken - count)
        assert most <= 4 + 5 * cores()
        stream.close()

    @pytest.mark.parametrize("batch", [1, 4])
    def test_a_failure_comes_after_what_came_before(self, batch: int, fitted: Classifier):
        def unplugged() -> Iterator[np.ndarray]:
            for level in range(6):
                yield np.full((40, 40), level, np.uint8)
            raise OSError("no camera")

        stream = fitted.predict_iter(unplugged(), batch=batch)
        assert [next(stream).image for _ in range(6)][-1] == "image 5"
        with pytest.raises(OSError, match="no camera"):
            next(stream)

    def test_labels_come_back_as_they_were_given(self, photos: Path, labels: list[str]):
        y = [KINDS.index(label) + 10 for label in labels]
        fitted = Classifier().fit(files(photos), y)
        (found,) = fitted.predict_iter(files(photos)[:1])
        assert found.label == y[0]
        assert found.top(1)[0].label == y[0]
        assert type(found.label) is int

    def test_it_is_shown_in_a_line(self, fitted: Classifier):
        good, bad = fitted.predict_iter([np.full((40, 40), 9, np.uint8), "absent.jpg"])
        assert repr(good).startswith(f"ImagePrediction(image='image 0', label={good.label!r}, prob")
        assert repr(good).endswith(f", known={good.known})")
        assert good.known == (good.novelty > 0.05)
        assert bad.known is None
        assert repr(bad) == "ImagePrediction(image='absent.jpg', error='no such file')"

    @pytest.mark.parametrize("batch", [0, -1, 2.5])
    def test_an_impossible_batch_is_refused_at_once(self, batch: Any, fitted: Classifier):
        with pytest.raises(ValueError, match="give the number of images, 1 or more"):
            fitted.predict_iter([], batch=batch)

    def test_a_single_image_is_refused_at_once(self, fitted: Classifier):
        with pytest.raises(DataError, match="give a list"):
            fitted.predict_iter(b"\0")
        assert list(fitted.predict_iter([])) == []
