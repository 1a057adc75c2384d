"""The classifier keeps scikit-learn's contract, with paths of images for X."""

import copy
import pickle
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

import headstart
from headstart import Classifier, open_dataset
from headstart.errors import BackboneError, DataError, SavedModelError, UserError
from headstart.features import extractor
from headstart.heads.blend import BlendedHead
from headstart.heads.families import head_family
from headstart.models import estimator, model_backbone
from headstart.models.saved_model import save_model
from headstart.types import Split
from tests.conftest import KINDS, files, tiny_backbone

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


class TestFit:
    def test_takes_paths_and_labels(self, fitted: Classifier, new_photos: Path):
        assert fitted.classes_.tolist() == list(KINDS)
        new = files(new_photos)
        truth = [path.parent.name for path in new]
        assert fitted.score(new, truth) >= 0.9
        probabilities = fitted.predict_proba(new)
        assert probabilities.shape == (12, 3)
        np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
        assert fitted.predict(new).tolist() == [KINDS[best] for best in probabilities.argmax(1)]

    def test_takes_an_image_dataset(self, photos: Path, fitted: Classifier, new_photos: Path):
        other = Classifier().fit(open_dataset(photos))
        np.testing.assert_array_equal(
            other.predict_proba(open_dataset(new_photos)), fitted.predict_proba(files(new_photos))
        )

    def test_scores_a_dataset_or_paths_and_labels(
        self, fitted: Classifier, paths: list[Path], labels: list[str], new_photos: Path
    ):
        new = open_dataset(new_photos)
        named = [new.classes[label] for label in new.labels]
        share = float(np.mean(fitted.predict(new) == np.array(named)))
        assert fitted.score(new) == fitted.score(list(new.paths), named) == share > 0.8
        numbers = [KINDS.index(label) for label in labels]
        renamed = replace(new, classes=tuple(str(KINDS.index(name)) for name in new.classes))
        assert Classifier().fit(paths, numbers).score(renamed) == share
        strange = replace(new, classes=("checks", "noise", "zebras"))
        assert Classifier().fit(paths, numbers).score(strange) == 0
        assert fitted.score(strange) == pytest.approx(share * 2 / 3)
        parted = replace(new, splits=(Split.TRAIN,) * 11 + (Split.TEST,))
        assert fitted.score(parted) in (0, 1)
        with pytest.raises(DataError, match="images need labels"):
            fitted.score(paths)

    def test_takes_strings_and_columns(self, paths: list[Path], labels: list[str]):
        text = [str(path) for path in paths]
        for X in (text, np.array(text), np.array(text, dtype=object)[:, None]):
            assert Classifier().fit(X, np.array(labels)).predict(X[:1]).tolist() == labels[:1]

    @pytest.mark.parametrize("numbers", [[3, 10, 7], [True, False, True], [0.5, -2.0, 10.0]])
    def test_gives_labels_back_as_they_were_given(
        self, numbers: list[Any], paths: list[Path], labels: list[str]
    ):
        y = np.array([numbers[KINDS.index(label)] for label in labels])
        fitted = Classifier().fit(paths, y)
        assert fitted.classes_.tolist() == sorted(set(numbers))
        assert fitted.classes_.dtype == y.dtype
        assert fitted.predict(paths).dtype == y.dtype
        assert (fitted.predict(paths) == y).mean() >= 0.9

    def test_keeps_columns_in_the_order_of_the_classes(self, paths: list[Path], labels: list[str]):
        # As text "10" comes before "9"; scikit-learn's metrics expect numbers in their order.
        y = [{"checks": 10, "noise": 9, "stripes": 100}[label] for label in labels]
        fitted = Classifier().fit(paths, y)
        assert fitted.classes_.tolist() == [9, 10, 100]
        assert log_loss(y, fitted.predict_proba(paths)) < 0.5

    def test_sets_have_the_columns_of_the_classes(self, paths: list[Path], labels: list[str]):
        y = [{"checks": 10, "noise": 9, "stripes": 100}[label] for label in labels]
        fitted = Classifier().fit(paths, y)
        sets = fitted.predict_set(paths, coverage=0.9)
        assert sets.shape == (24, 3)
        assert sets.dtype == bool
        best = fitted.predict_proba(paths).argmax(1)
        assert sets[np.arange(24), best].all()
        assert sets[np.arange(24), np.searchsorted([9, 10, 100], y)].mean() >= 0.9
        assert fitted.predict_set(paths, coverage=0.99).all()  # 24 images promise at most 0.96
        by_class = fitted.predict_set(paths, coverage=0.8, by_class=True)
        assert (by_class.sum(1) < 3).any()

    @pytest.mark.parametrize("coverage", [0, 1, 90])
    def test_an_impossible_coverage_is_refused(
        self, coverage: float, fitted: Classifier, paths: list[Path]
    ):
        with pytest.raises(DataError, match="give one between 0 and 1"):
            fitted.predict_set(paths, coverage=coverage)

    @pytest.mark.parametrize(
        ("X", "y", "message"),
        [
            (["a.jpg"], None, "images need labels"),
            (["a.jpg", "b.jpg"], ["a"], "2 images and 1 label: give one label for each"),
            ("a.jpg", ["a"], "give a list of image files"),
            (["a.jpg", "b.jpg"], [1, "1"], "mix kinds"),
            (None, ["a"], "give a list of images, not None"),
        ],
    )
    def test_refuses_what_does_not_fit_together(self, X: Any, y: Any, message: str):
        with pytest.raises(DataError, match=message):
            Classifier().fit(X, y)

    @pytest.mark.parametrize(
        "options",
        [{"engine": "steam"}, {"precision": "f7"}, {"stage": "deep"}],
    )
    def test_refuses_unknown_options_naming_the_known(
        self, options: dict[str, str], paths: list[Path], labels: list[str]
    ):
        with pytest.raises(BackboneError, match=r"choose one of|its stages are"):
            Classifier(**options).fit(paths, labels)

    def test_refuses_an_unknown_head(self, paths: list[Path], labels: list[str]):
        with pytest.raises(UserError, match="there is no head 'svm'; choose one of") as caught:
            Classifier(head="svm").fit(paths, labels)
        assert not isinstance(caught.value, BackboneError)

    def test_runs_on_the_device_that_is_named(self, paths: list[Path], labels: list[str]):
        assert Classifier(device="cpu").fit(paths, labels).extractor.plan.device == "cpu"
        with pytest.raises(UserError, match="there is no device 'tpu'; choose one of auto, cpu"):
            Classifier(device="tpu").fit(paths, labels)

    def test_takes_one_stage_or_several(self, paths: list[Path], labels: list[str]):
        one = Classifier(stage="coarse").fit(paths, labels)
        two = Classifier(stage=["coarse", "fine"]).fit(paths, labels)
        assert one.model_.origin.stages == ("coarse",)
        assert two.model_.origin.stages == ("fine", "coarse")


class TestContract:
    def test_the_constructor_stores_and_does_nothing_else(self):
        options = Classifier(backbone="no such", head="forest", cache="/nowhere").get_params()
        assert options == {
            "backbone": "no such",
            "weights": None,
            "quality": "fast",
            "views": (),
            "budget": None,
            "preprocessing": None,
            "head": "forest",
            "stage": "auto",
            "balance": False,
            "hold_out": 0.0,
            "allow_download": False,
            "allow_code": False,
            "engine": "auto",
            "precision": "auto",
            "device": "auto",
            "cache": "/nowhere",
            "seed": 0,
            "verbose": None,
        }
        assert is_classifier(Classifier())

    def test_clones_are_unfitted_and_have_the_same_options(self, fitted: Classifier):
        other = clone(fitted.set_params(seed=4))
        assert other.get_params() == fitted.get_params()
        with pytest.raises(NotFittedError):
            other.predict(["a.jpg"])

    def test_cross_validates(self, paths: list[Path], labels: list[str]):
        scores = cross_val_score(Classifier(), paths, labels, cv=3)
        assert scores.mean() >= 0.9

    def test_scores_by_probabilities_in_cross_validation(
        self, paths: list[Path], labels: list[str]
    ):
        y = [KINDS.index(label) + 9 for label in labels]
        losses = -cross_val_score(Classifier(), paths, y, cv=3, scoring="neg_log_loss")
        assert losses.max() < 0.6

    def test_stands_at_the_end_of_a_pipeline(self, paths: list[Path], labels: list[str]):
        column = FunctionTransformer(lambda X: np.array([str(x) for x in X], dtype=object)[:, None])
        pipeline = Pipeline([("column", column), ("classify", Classifier())])
        assert pipeline.fit(paths, labels).score(paths, labels) >= 0.9

    def test_is_searched_over(self, paths: list[Path], labels: list[str]):
        search = GridSearchCV(Classifier(), {"head": ["centroid", "knn"]}, cv=2)
        assert search.fit(paths, labels).best_score_ >= 0.9

    @pytest.mark.parametrize("how", ["pickle", "joblib", "copy"])
    def test_survives_a_copy(self, how: str, fitted: Classifier, paths: list[Path], tmp_path: Path):
        if how == "pickle":
            other = pickle.loads(pickle.dumps(fitted))
        elif how == "joblib":
            joblib.dump(fitted, tmp_path / "fitted.joblib")
            other = joblib.load(tmp_path / "fitted.joblib")
        else:
            other = copy.deepcopy(fitted)
        np.testing.assert_array_equal(other.predict_proba(paths), fitted.predict_proba(paths))

    def test_a_copy_refuses_other_weights_where_it_arrives(
        self, fitted: Classifier, paths: list[Path], monkeypatch: pytest.MonkeyPatch
    ):
        content = pickle.dumps(fitted)
        for module in (extractor, model_backbone):
            monkeypatch.setattr(
                module, "load_backbone", lambda name, **options: tiny_backbone(digest="f" * 32)
            )
        with pytest.raises(SavedModelError, match="was trained on tiny with weights 000"):
            pickle.loads(content).predict(paths)


class TestUnreadable:
    @pytest.fixture
    def mixed(self, new_photos: Path, tmp_path: Path) -> list[Path]:
        own = shutil.copytree(new_photos, tmp_path / "own")
        broken = Path(own) / "noise" / "broken.jpg"
        broken.write_bytes(b"")
        return files(Path(own))

    def test_predict_names_the_file(self, fitted: Classifier, mixed: list[Path]):
        with pytest.raises(DataError, match=r"1 of 13 images .*1 empty file.*broken\.jpg"):
            fitted.predict(mixed)

    def test_predictions_go_on_without_it(self, fitted: Classifier, mixed: list[Path]):
        found = fitted.predictions(mixed)
        assert len(found.rows) == 12
        assert [Path(entry.path).name for entry in found.skipped] == ["broken.jpg"]

    def test_one_path_is_not_taken_for_a_list_of_letters(self, fitted: Classifier):
        with pytest.raises(DataError, match="give a list of image files"):
            fitted.predict("photo.jpg")


class TestSaveAndLoad:
    def test_a_loaded_model_predicts_the_same(
        self, fitted: Classifier, new_photos: Path, tmp_path: Path
    ):
        fitted.save(tmp_path / "model")
        other = Classifier.load(tmp_path / "model")
        assert repr(other) == repr(fitted) == repr(fitted.model_).replace("Model", "Classifier")
        assert repr(clone(other)).startswith("Classifier(")
        new = files(new_photos)
        np.testing.assert_array_equal(other.predict_proba(new), fitted.predict_proba(new))
        assert other.predict(new).tolist() == fitted.predict(new).tolist()
        assert other.model_.accuracy == fitted.model_.accuracy

    @pytest.mark.parametrize("views", [[], ["tiny@32-whole"]])
    def test_a_loaded_model_fits_again_with_the_same_options(
        self, paths: list[Path], labels: list[str], tmp_path: Path, views: list[str]
    ):
        options: dict[str, Any] = {"head": "knn", "stage": "coarse", "balance": True, "seed": 3}
        first = Classifier(views=views, **options).fit(paths, labels)
        first.save(tmp_path / "first")
        second = Classifier.load(tmp_path / "first").fit(paths, labels)
        second.save(tmp_path / "second")
        assert (tmp_path / "first" / "model.json").read_bytes() == (
            tmp_path / "second" / "model.json"
        ).read_bytes()

    @pytest.mark.parametrize("kind", ["logistic", "discriminant"])
    def test_a_loaded_model_of_members_tries_what_was_tried(
        self, paths: list[Path], labels: list[str], tmp_path: Path, kind: str
    ):
        views = ["tiny", "tiny@32-whole"]
        model = Classifier(views=views).fit(paths, labels).model_
        first, *others = model.members
        assert isinstance(model.head, BlendedHead)
        members = (replace(first, head=kind), *others)
        heads = (head_family(kind).load(model.head.members[0].tensors()), *model.head.members[1:])
        save_model(replace(model, members=members, head=replace(model.head, members=heads)),
                   tmp_path / "model")  # fmt: skip
        loaded = Classifier.load(tmp_path / "model")
        assert (loaded.head, loaded.views) == ("logistic", views)
        loaded.fit(paths, labels)

    def test_the_view_of_a_fine_tuned_network_is_not_tried_again(
        self, paths: list[Path], labels: list[str], monkeypatch: pytest.MonkeyPatch
    ):
        fitted = Classifier(views=["tiny", "tiny@32-whole"]).fit(paths, labels)
        *others, last = fitted.model_.members
        tuned = replace(last, origin=replace(last.origin, view="tiny+tuned"))
        model = replace(fitted.model_, members=(*others, tuned))
        monkeypatch.setattr(estimator, "load_model", lambda folder: model)
        monkeypatch.setattr(Classifier, "_open", lambda *_, **options: fitted._extractor)
        loaded = Classifier.load("folder")
        assert loaded.views == list(dict.fromkeys(one.origin.name for one in others))
        loaded.fit(paths, labels)

    def test_an_unfitted_classifier_is_not_saved(self, tmp_path: Path):
        with pytest.raises(NotFittedError):
            Classifier().save(tmp_path / "model")
        assert not (tmp_path / "model").exists()

    def test_other_weights_are_refused(
        self, fitted: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        fitted.save(tmp_path / "model")
        other = replace(tiny_backbone(), weights=replace(tiny_backbone().weights, digest="f" * 32))
        for module in (extractor, model_backbone):
            monkeypatch.setattr(module, "load_backbone", lambda name, **options: other)
        with pytest.raises(SavedModelError, match="--weights FILE"):
            Classifier.load(tmp_path / "model")

    def test_a_folder_that_is_no_model_is_refused(self, tmp_path: Path):
        with pytest.raises(SavedModelError, match=r"contains no model\.json"):
            Classifier.load(tmp_path)


def test_the_cache_may_be_named(paths: list[Path], labels: list[str], tmp_path: Path):
    Classifier(cache=tmp_path / "elsewhere").fit(paths, labels)
    assert (tmp_path / "elsewhere" / "features").is_dir()
    assert not (tmp_path / "cache").exists()


def test_every_public_name_is_there():
    for name in headstart.__all__:
        assert getattr(headstart, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        headstart.nonsense  # noqa: B018


class TestNovelty:
    def test_is_a_p_value_an_image(self, fitted: Classifier, new_photos: Path):
        found = fitted.novelty(files(new_photos))
        assert found.shape == (12,)
        assert ((found > 0) & (found <= 1)).all()
        assert (found > 0.05).mean() >= 0.7

    def test_changes_no_probability(self, fitted: Classifier, new_photos: Path):
        before = fitted.predict_proba(files(new_photos))
        fitted.model_ = replace(fitted.model_, novelty=None)
        np.testing.assert_array_equal(fitted.predict_proba(files(new_photos)), before)

    def test_is_refused_where_it_cannot_be_known(self, paths: list[Path], labels: list[str]):
        few = Classifier().fit(paths[::2], labels[::2])
        with pytest.raises(DataError, match="trained on too few images to tell what it does not"):
            few.novelty(paths)

    def test_of_an_unreadable_image_is_an_error(self, fitted: Classifier, tmp_path: Path):
        with pytest.raises(DataError, match=r"1 of 1 image cannot be read .1 no such file."):
            fitted.novelty([tmp_path / "absent.jpg"])
