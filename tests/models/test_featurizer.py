"""The frozen network keeps the contract of a scikit-learn transformer."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils import get_tags

from headstart import Featurizer
from headstart.errors import BackboneError, DataError
from tests.conftest import KINDS, files

pytestmark = pytest.mark.usefixtures("tiny_everywhere")


def test_features_are_those_of_the_last_stage_or_of_those_named(photos: Path):
    paths = files(photos)
    last = Featurizer("tiny").fit(paths).transform(paths)
    assert (last.shape, last.dtype) == ((24, 3), np.float32)
    both = Featurizer(stage=["fine", "coarse"]).fit_transform(paths)
    np.testing.assert_array_equal(both[:, 48:], last)
    np.testing.assert_array_equal(both[:, :48], Featurizer(stage="fine").transform(paths))
    assert Featurizer(stage="logits").transform(paths[:1]).shape == (1, 5)


def test_names_of_features():
    names = Featurizer(stage=["fine", "coarse"]).fit().get_feature_names_out()
    assert names[[0, 47, 48, 50]].tolist() == ["fine_0", "fine_47", "coarse_0", "coarse_2"]


def test_it_is_the_first_step_of_a_pipeline(photos: Path, new_photos: Path):
    paths, labels = files(photos), [path.parent.name for path in files(photos)]
    pipeline = Pipeline([("features", Featurizer("tiny")), ("head", LogisticRegression())])
    pipeline.fit(paths, labels)
    assert pipeline.score(files(new_photos), [p.parent.name for p in files(new_photos)]) >= 0.9
    search = GridSearchCV(pipeline, {"features__stage": ["fine", "coarse"]}, cv=2)
    assert search.fit(paths, labels).best_params_["features__stage"] in ("fine", "coarse")
    assert set(search.predict([p.read_bytes() for p in paths])) == set(KINDS)


def test_it_needs_no_fit_and_an_unfitted_copy_is_equal(photos: Path):
    paths = files(photos)[:3]
    featurizer = Featurizer(stage="fine")
    expected = featurizer.transform(paths)
    assert not get_tags(featurizer).requires_fit
    for other in (clone(featurizer), pickle.loads(pickle.dumps(featurizer))):
        np.testing.assert_array_equal(other.transform(paths), expected)


def test_options_that_are_set_later_count_after_fit(photos: Path):
    featurizer = Featurizer(stage="fine").fit()
    assert featurizer.set_params(stage="coarse").fit().transform(files(photos)[:1]).shape == (1, 3)


def test_it_gives_tables_with_names(photos: Path):
    pytest.importorskip("pandas")
    pipeline = make_pipeline(Featurizer(stage="coarse")).set_output(transform="pandas")
    table = pipeline.fit_transform(files(photos))
    assert table.columns.tolist() == ["coarse_0", "coarse_1", "coarse_2"]


@pytest.mark.parametrize("options", [{"engine": "steam"}, {"precision": "f7"}, {"stage": "deep"}])
def test_unknown_options_are_refused_in_fit(options: dict[str, str]):
    with pytest.raises(BackboneError, match=r"choose one of|its stages are"):
        Featurizer(**options).fit()


def test_an_unreadable_image_is_an_error(photos: Path):
    with pytest.raises(
        DataError, match=r"1 of 2 images cannot be read .*absent\.jpg; remove them$"
    ):
        Featurizer().transform([files(photos)[0], "absent.jpg"])
