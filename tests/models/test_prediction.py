"""Predictions for new images, and tests that leave out what a model has seen."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from headstart.backbones import Backbone
from headstart.datasets import open_dataset
from headstart.errors import DataError, SavedModelError, UserError
from headstart.features.extractor import Extractor
from headstart.models import prediction
from headstart.models.fit import fit
from headstart.models.fit_settings import FitSettings
from headstart.models.model_backbone import check_weights
from headstart.models.prediction import classify, evaluate, predict
from headstart.models.trained_model import Model
from headstart.system.text import join_names
from tests.conftest import F32, KINDS, files, tiny_backbone, write_photos

pytestmark = pytest.mark.slow

Tiny = Callable[..., Extractor]


@pytest.fixture
def model(photos: Path, tiny: Tiny) -> Model:
    return fit(open_dataset(photos), tiny(), FitSettings()).model


@pytest.fixture
def own(new_photos: Path, tmp_path: Path) -> Path:
    """A copy of the new photos that a test may change."""
    return Path(shutil.copytree(new_photos, tmp_path / "own"))


class TestPredict:
    def test_gives_the_right_class_of_new_pictures(
        self, model: Model, new_photos: Path, tiny: Tiny
    ):
        paths = files(new_photos)
        found = predict(model, tiny(), paths)
        assert found.classes == KINDS
        assert found.probabilities.shape == (12, 3)
        np.testing.assert_allclose(found.probabilities.sum(1), 1, rtol=1e-5)
        right = [found.top(row, 1)[0][0] == path.parent.name for row, path in enumerate(paths)]
        assert np.mean(right) >= 0.9

    def test_top_is_sorted_and_no_longer_than_the_classes(
        self, model: Model, new_photos: Path, tiny: Tiny
    ):
        found = predict(model, tiny(), files(new_photos)[:1])
        top = found.top(0, 10)
        assert {name for name, _ in top} == set(KINDS)
        assert [p for _, p in top] == sorted((p for _, p in top), reverse=True)
        assert found.top(0, 2) == top[:2]
        with pytest.raises(UserError, match="cannot return the -1 most probable classes"):
            found.top(0, -1)

    def test_goes_on_past_an_unreadable_image(self, model: Model, own: Path, tiny: Tiny):
        broken = own / "broken.png"
        broken.write_text("no picture")
        paths = [files(own / "checks")[0], broken, files(own / "noise")[0]]
        found = predict(model, tiny(), paths)
        assert found.rows.tolist() == [0, 2]
        assert [entry.path for entry in found.skipped] == [str(broken)]
        alone = predict(model, tiny(), [paths[0], paths[2]])
        np.testing.assert_array_equal(found.probabilities, alone.probabilities)

    def test_assesses_different_new_pictures(
        self, model: Model, photos: Path, new_photos: Path, tmp_path: Path, tiny: Tiny
    ):
        few = files(new_photos) * 3 + files(photos)  # 12 new ones, copies, and known ones
        found = predict(model, tiny(), few)
        assert (found.drift, found.estimated_accuracy) == (None, None)
        more = files(write_photos(tmp_path / "more", 4, first=300))
        found = predict(model, tiny(), few + more)
        assert found.estimated_accuracy.images == 24
        assert 0 <= found.drift.p_value <= 1

    def test_says_which_classes_a_set_contains(self, model: Model, new_photos: Path, tiny: Tiny):
        found = predict(model, tiny(), files(new_photos))
        sets = np.ones((12, 3), bool)
        assert found.members(0, sets) == tuple(name for name, _ in found.top(0, 3))
        sets[0, found.classes.index(found.top(0, 3)[1][0])] = False
        assert found.members(0, sets) == tuple(
            name for place, (name, _) in enumerate(found.top(0, 3)) if place != 1
        )

    def test_of_nothing_readable_is_empty(self, model: Model, tmp_path: Path, tiny: Tiny):
        found = predict(model, tiny(), [tmp_path / "absent.jpg"])
        assert found.probabilities.shape == (0, 3)


class TestClassify:
    def test_answers_with_the_backbones_own_classes(self, new_photos: Path, tiny: Tiny):
        paths = files(new_photos)
        found = classify(tiny(), paths)
        assert found.classes == ("a", "b", "c", "d", "e")
        np.testing.assert_allclose(found.probabilities.sum(1), 1, rtol=1e-5)

    def test_is_refused_where_the_classes_have_no_names(self, new_photos: Path):
        nameless = Extractor(backbone=replace(tiny_backbone(), labels=()), plan=F32, cache=None)
        with pytest.raises(DataError, match="has no class names of its own"):
            classify(nameless, files(new_photos))


class TestEvaluate:
    def test_says_how_new_pictures_are_predicted(self, model: Model, new_photos: Path, tiny: Tiny):
        found = evaluate(model, tiny(), open_dataset(new_photos))
        assert found.seen == 0
        assert len(found.paths) == len(found.labels) == len(found.probabilities) == 12
        assert [KINDS[label] for label in found.labels] == [p.parent.name for p in found.paths]

    def test_leaves_out_what_the_model_was_trained_on(
        self, model: Model, photos: Path, own: Path, tiny: Tiny
    ):
        for path in files(photos / "noise"):
            shutil.copy(path, own / "noise" / f"under-another-name-{path.name}")
        found = evaluate(model, tiny(), open_dataset(own))
        assert found.seen == 8
        assert len(found.paths) == 12
        assert not [path for path in found.paths if "another-name" in path.name]

    def test_is_refused_where_nothing_new_is_left(self, model: Model, photos: Path, tiny: Tiny):
        with pytest.raises(DataError, match="24 were in the model's own training data"):
            evaluate(model, tiny(), open_dataset(photos))

    def test_keeps_classes_that_the_model_does_not_know_apart(
        self, model: Model, own: Path, tiny: Tiny
    ):
        (own / "checks").rename(own / "a-new-class")
        found = evaluate(model, tiny(), open_dataset(own))
        assert len(found.paths) == 8
        assert {KINDS[label] for label in found.labels} == {"noise", "stripes"}
        assert [KINDS[label] for label in found.labels] == [p.parent.name for p in found.paths]
        assert found.skipped == ()
        assert found.others.counts() == {"a-new-class": 4}
        assert found.others.probabilities.shape == (4, 3)
        rows = found.table(model.classes)
        assert [row["truth"] for row in rows].count("a-new-class") == 4
        strange = [row for row in rows if row["truth"] == "a-new-class"]
        assert {row["correct"] for row in strange} == {False}
        assert {Path(str(row["path"])).parent.name for row in strange} == {"a-new-class"}
        assert {row["predicted"] for row in strange} <= set(KINDS)

    def test_is_refused_where_the_model_knows_no_class(self, model: Model, own: Path, tiny: Tiny):
        for kind in KINDS:
            (own / kind).rename(own / f"other-{kind}")
        with pytest.raises(DataError, match="the model knows only 'checks', 'noise', 'stripes'"):
            evaluate(model, tiny(), open_dataset(own))

    def test_of_many_strange_classes_some_are_named(
        self, model: Model, own: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(prediction, "join_names", partial(join_names, most=2))
        for kind in KINDS:
            (own / kind).rename(own / f"other-{kind}")
        with pytest.raises(
            DataError, match=r"'other-noise' and 1 more, and .* 'noise' and 1 more;"
        ):
            evaluate(model, tiny(), open_dataset(own))

    def test_works_with_one_class(self, model: Model, own: Path, tiny: Tiny):
        for kind in ("checks", "noise"):
            shutil.rmtree(own / kind)
        found = evaluate(model, tiny(), open_dataset(own, require_classes=1))
        assert set(found.labels.tolist()) == {2}
        assert found.probabilities.shape == (4, 3)

    def test_counts_copies_once_and_reports_conflicts(self, model: Model, own: Path, tiny: Tiny):
        first, second, *_ = files(own / "noise")
        shutil.copy(first, own / "noise" / "copy.jpg")
        shutil.copy(second, own / "checks" / "conflict.png")
        found = evaluate(model, tiny(), open_dataset(own))
        assert len(found.paths) == 11
        assert len(found.conflicts) == 1

    def test_lists_unreadable_files(self, model: Model, own: Path, tiny: Tiny):
        (own / "noise" / "broken.jpg").touch()
        found = evaluate(model, tiny(), open_dataset(own))
        assert [entry.reason for entry in found.skipped] == ["empty file"]
        assert len(found.paths) == 12


class TestWeights:
    def test_the_right_ones_are_taken(self, model: Model):
        check_weights(model, tiny_backbone())

    @pytest.mark.parametrize("other", ["another", "lite0"])
    def test_others_are_refused_with_both_names(
        self, other: str, model: Model, request: pytest.FixtureRequest
    ):
        backbone: Backbone = (
            tiny_backbone(digest="f" * 32)
            if other == "another"
            else request.getfixturevalue("lite0")
        )
        with pytest.raises(SavedModelError, match=f"(?s){'0' * 32}.*{backbone.weights.digest}"):
            check_weights(model, backbone)
