"""Labels, weights and options of the estimator in Python."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import cross_val_score

from headstart import Classifier, open_dataset
from headstart.errors import DataError, HeadstartWarning, UserError
from tests.conftest import KINDS, files

pytestmark = pytest.mark.usefixtures("tiny_everywhere")


@pytest.fixture
def paths(photos: Path) -> list[Path]:
    return files(photos)


@pytest.fixture
def labels(paths: list[Path]) -> list[str]:
    return [path.parent.name for path in paths]


@pytest.fixture
def fitted(paths: list[Path], labels: list[str]) -> Classifier:
    return Classifier().fit(paths, labels)


LABELS = [
    [10, 9, 100],
    [-3, 11, 2],
    [10.5, 9.0, -0.0],
    [True, False, True],
    ["b", "a", "c"],
    [b"b", b"a", b"c"],
]


class TestLabels:
    """Labels are the same before and after saving, whatever their type."""

    @pytest.mark.parametrize("values", LABELS)
    @pytest.mark.parametrize("form", [list, np.array, pd.Series])
    def test_come_back_from_a_saved_model(
        self, values: list[Any], form: Any, paths: list[Path], labels: list[str], tmp_path: Path
    ):
        y = [values[KINDS.index(label)] for label in labels]
        fitted = Classifier().fit(pd.Series([str(path) for path in paths]), form(y))
        fitted.save(tmp_path / "model")
        loaded = Classifier.load(tmp_path / "model")
        assert loaded.classes_.dtype == fitted.classes_.dtype
        assert loaded.classes_.tolist() == fitted.classes_.tolist() == sorted(fitted.classes_)
        np.testing.assert_array_equal(loaded.predict_proba(paths), fitted.predict_proba(paths))
        np.testing.assert_array_equal(loaded.predict_set(paths), fitted.predict_set(paths))
        np.testing.assert_array_equal(loaded.predict(paths), fitted.predict(paths))
        assert loaded.score(paths, y) == fitted.score(paths, form(y)) >= 0.9
        assert loaded.predictions(paths).classes == fitted.model_.classes

    def test_score_by_value_whatever_their_type(self, paths: list[Path], labels: list[str]):
        numbers = [KINDS.index(label) for label in labels]
        fitted = Classifier().fit(paths, numbers)
        truth = fitted.score(paths, numbers)
        assert truth >= 0.9
        for other in (float, str, np.int8, np.float32, lambda n: f"{n}.0", lambda n: b"%d" % n):
            assert fitted.score(paths, [other(number) for number in numbers]) == truth
        named = Classifier().fit(paths, [str(number) for number in numbers])
        assert named.score(paths, numbers) == truth

    def test_of_text_are_read_from_hdf5_and_pandas(self, paths: list[Path], labels: list[str]):
        fitted = Classifier().fit(paths, np.array([label.encode() for label in labels]))
        assert fitted.classes_.tolist() == list(KINDS)
        assert fitted.score(paths, labels) == fitted.score(paths, pd.Categorical(labels)) >= 0.9

    def test_in_score_must_be_as_many_as_images(self, fitted: Classifier, paths: list[Path]):
        with pytest.raises(DataError, match="24 images and 1 label: give one label for each"):
            fitted.score(paths, ["noise"])
        with pytest.raises(DataError, match="1 of 24 labels is missing"):
            fitted.score(paths, ["noise"] * 23 + [None])
        with pytest.raises(DataError, match="there is no image to score"):
            fitted.score([], [])

    def test_beside_those_of_a_data_set_are_refused(self, fitted: Classifier, photos: Path):
        dataset = open_dataset(photos)
        for method in (Classifier().fit, fitted.score):
            with pytest.raises(DataError, match="has labels of its own"):
                method(dataset, ["noise"] * 24)


class TestWeights:
    def test_of_zero_leave_images_out(self, paths: list[Path], labels: list[str]):
        wrong = ["noise", *labels[1:]]
        some = Classifier().fit(paths, wrong, sample_weight=[0] + [2] * 23)
        without = Classifier().fit(paths[1:], labels[1:])
        np.testing.assert_array_equal(some.predict_proba(paths), without.predict_proba(paths))

    @pytest.mark.parametrize("balance", [False, True])
    def test_make_images_count_more(self, paths: list[Path], labels: list[str], balance: bool):
        # The heavy image is wrong about its class, and the other seven of its class are not.
        wrong, options = ["noise", *labels[1:]], {"head": "knn", "balance": balance}
        light = Classifier(**options).fit(paths, wrong, sample_weight=[0.01] + [1] * 23)
        heavy = Classifier(**options).fit(paths, wrong, sample_weight=[50] + [1] * 23)
        noise = KINDS.index("noise")
        assert heavy.predict_proba(paths[:1])[0, noise] > light.predict_proba(paths[:1])[0, noise]

    def test_that_are_equal_change_nothing(
        self, fitted: Classifier, paths: list[Path], labels: list[str]
    ):
        other = Classifier().fit(paths, labels, sample_weight=[7] * 24)
        np.testing.assert_array_equal(other.predict_proba(paths), fitted.predict_proba(paths))

    def test_count_in_the_score(self, fitted: Classifier, paths: list[Path]):
        correct = fitted.predict(paths) == "noise"
        weights = np.where(correct, 3, 1)
        expected = np.average(correct, weights=weights)
        assert fitted.score(paths, ["noise"] * 24, sample_weight=weights) == pytest.approx(expected)
        with pytest.raises(DataError, match="24 images and 2 weights"):
            fitted.score(paths, ["noise"] * 24, sample_weight=[1, 2])


def test_a_table_of_one_column_is_a_list_of_paths(
    fitted: Classifier, paths: list[Path], labels: list[str]
):
    table = pd.DataFrame({"file": [str(path) for path in paths], "kind": labels})
    other = Classifier().fit(table[["file"]], table[["kind"]])
    np.testing.assert_array_equal(other.predict(table["file"]), fitted.predict(paths))
    with pytest.raises(DataError, match="the table has the columns 'file', 'kind'"):
        other.predict(table)


def test_logarithms_of_probabilities_are_finite(fitted: Classifier, paths: list[Path]):
    expected = np.log(fitted.predict_proba(paths).astype(np.float64).clip(1e-38))
    np.testing.assert_allclose(fitted.predict_log_proba(paths), expected, rtol=1e-4)
    assert np.isfinite(fitted.predict_log_proba(paths)).all()


def test_paths_may_be_searched_in_pandas(paths: list[Path], labels: list[str]):
    table = pd.DataFrame({"file": [str(path) for path in paths]})
    scores = cross_val_score(Classifier(), table, pd.Series(labels, dtype="category"), cv=3)
    assert scores.mean() >= 0.9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": -1}, "seed is -1; give 0 or more"),
        ({"seed": 1.5}, "seed is 1.5; give a whole number"),
        ({"seed": "a"}, "seed is 'a'"),
        ({"balance": "no"}, "balance is 'no'; give True or False"),
        ({"stage": 3}, "stage is 3; give a name"),
    ],
)
def test_options_of_the_wrong_kind_are_refused(options: dict[str, Any], message: str, photos: Path):
    with pytest.raises(UserError, match=re.escape(message)):
        Classifier(**options).fit(open_dataset(photos))


def test_images_with_two_labels_are_a_warning(paths: list[Path], labels: list[str]):
    with pytest.warns(HeadstartWarning, match="1 image with conflicting labels excluded"):
        found = Classifier(stage="fine").fit([*paths, paths[0]], [*labels, labels[-1]])
    assert len(found.fit_result_.conflicts) == 1
