"""What the functions of the package take; docstrings and docs/python.md run all of them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.exceptions import NotFittedError

import headstart
from headstart.api import inputs
from headstart.backbones import Backbone
from headstart.datasets import open_dataset
from headstart.errors import BackboneError, DataError, HeadstartWarning, SavedModelError, UserError
from headstart.features.extractor import Extractor
from headstart.models import training
from headstart.models.view_trial import ViewTrial
from headstart.system.progress import ProgressBars
from tests.backbones.onnx_file import STATED, TinyNet
from tests.conftest import files, tiny_backbone

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default backbone takes no time."""
    network = replace(tiny_backbone(), name="efficientnet-lite0")
    for module in ("features.extractor", "models.model_backbone"):
        monkeypatch.setattr(f"headstart.{module}.load_backbone", lambda *_, **__: network)


@pytest.fixture
def classifier(photos: Path) -> headstart.Classifier:
    return headstart.fit(photos, verbose=False)


def test_data_are_a_data_set_or_a_path_of_either_kind(photos: Path):
    accuracies = [
        headstart.fit(data).model_.accuracy for data in (photos, str(photos), open_dataset(photos))
    ]
    assert accuracies[0] == accuracies[1] == accuracies[2]


def test_a_model_is_a_model_a_classifier_or_a_folder(
    classifier: headstart.Classifier, new_photos: Path, tmp_path: Path
):
    classifier.save(tmp_path / "model")
    models = (classifier, classifier.model_, tmp_path / "model", str(tmp_path / "model"))
    found = [headstart.evaluate(one, new_photos, coverage=0.8) for one in models]
    assert {one.accuracy for one in found} == {1.0}
    assert found[0].coverage.target == 0.8
    with pytest.raises(NotFittedError):
        headstart.evaluate(headstart.Classifier(), new_photos)
    with pytest.raises(SavedModelError):
        headstart.evaluate(tmp_path / "absent", new_photos)
    with pytest.raises(UserError, match="a model is a Model, a fitted Classifier or the folder"):
        headstart.evaluate(3, new_photos)


def test_a_network_classifies_images_of_any_kind(photos: Path):
    first = files(photos)[0]
    found = headstart.classify([first, first.read_bytes(), "absent.jpg"], verbose=False)
    assert found.probabilities[0].tolist() == found.probabilities[1].tolist()
    assert (found.rows.tolist(), found.skipped[0].reason) == ([0, 1], "no such file")
    assert found.classes == tiny_backbone().labels


def test_a_loaded_model_needs_no_folder(classifier: headstart.Classifier, new_photos: Path):
    again = headstart.Classifier.load(classifier.model_)
    paths = files(new_photos)
    np.testing.assert_array_equal(again.predict_proba(paths), classifier.predict_proba(paths))


def test_hold_out_tests_on_a_share(photos: Path, tmp_path: Path):
    found = headstart.fit(photos, hold_out=0.25, out=tmp_path / "model")
    assert [one.images for one in found.fit_result_.recalls] == [2, 2, 2]
    assert found.fit_result_.largest_class.accuracy == pytest.approx(1 / 3)
    assert found.model_.accuracy.method == "held-out"
    assert found.model_.accuracy.images in (5, 6)
    assert headstart.Classifier.load(tmp_path / "model").model_.accuracy == found.model_.accuracy


@pytest.mark.parametrize(
    "function",
    [
        headstart.fit,
        partial(headstart.finetune, recipe="probe", backbone=TinyNet(), preprocessing=STATED),
    ],
)
def test_hold_out_changes_nothing_if_there_is_a_test_part(
    function: Callable[..., Any], photos: Path, new_photos: Path, tmp_path: Path
):
    shutil.copytree(photos, tmp_path / "data" / "train")
    shutil.copytree(new_photos, tmp_path / "data" / "test")
    with pytest.warns(HeadstartWarning, match="own test images, so hold_out has no effect") as own:
        function(tmp_path / "data", hold_out=0.2)
    assert len(own) == 1
    function(tmp_path / "data")


def test_what_is_left_out_is_a_warning(own: Path):
    (own / "noise" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.warns(HeadstartWarning, match="1 image was excluded"):
        found = headstart.fit(own)
    assert len(found.fit_result_.skipped) == 1


def test_a_warning_about_the_data_is_given_where_the_function_was_called(
    photos: Path, monkeypatch: pytest.MonkeyPatch
):
    dataset = replace(open_dataset(photos), warnings=("two names are alike",))
    monkeypatch.setattr(inputs, "open_dataset", lambda *_, **__: dataset)
    with pytest.warns(HeadstartWarning, match="two names are alike") as caught:
        headstart.fit(photos)
    assert caught[0].filename == __file__


def test_an_unknown_setting_is_an_error(photos: Path):
    with pytest.raises(UserError, match=r"no setting 'qualty'; did you mean quality\?"):
        headstart.fit(photos, qualty="best")
    with pytest.raises(BackboneError, match="there is no engine 'abacus'"):
        headstart.audit(photos, engine="abacus")
    with pytest.raises(UserError, match="there is no device 'tpu'; choose one of auto, cpu"):
        headstart.audit(photos, device="tpu")
    with pytest.raises(DataError, match="there is no file, folder or known data set"):
        headstart.audit("absent/")


def test_progress_is_shown_if_it_is_wanted(
    photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("headstart.system.progress._LOG_INTERVAL", 0)
    headstart.audit(photos)
    assert capsys.readouterr().err == ""
    headstart.audit(photos, verbose=True)
    assert "headstart: images: 24 of 24\n" in capsys.readouterr().err


def test_predictions_keep_what_a_notebook_shows(classifier: headstart.Classifier, photos: Path):
    paths = files(photos)[:2]
    found = classifier.predictions([paths[0], Image.open(paths[1]), "absent.jpg"])
    assert found.rows.tolist() == [0, 1]
    assert found.images[0] == paths[0]
    assert found._repr_html_().count("<img") == 2
    assert "absent.jpg" in found._repr_html_()


def test_views_of_a_large_set_are_tried_first(
    tiny: Callable[..., Extractor], photos: Path, monkeypatch: pytest.MonkeyPatch
):
    extractor, tried = tiny(), []
    first = replace(extractor, others={})

    def try_views(*_: Any, **__: Any) -> Any:
        tried.append(True)
        return ViewTrial(first)

    monkeypatch.setattr(training, "is_large", lambda _: True)
    monkeypatch.setattr(training, "try_views", try_views)
    several = extractor.with_views({headstart_view(): extractor.backbone})
    settings = training.FitSettings()
    dataset = open_dataset(photos)
    assert training.fit_views(dataset, several, settings).views == (None,)
    assert len(training.fit_views(dataset, several, settings, named=True).views) >= 1
    assert tried == [True]


def headstart_view() -> Any:
    from headstart.features.views import View

    return View.parse("tiny@32-whole")


def test_data_that_are_downloaded_show_it(photos: Path, monkeypatch: pytest.MonkeyPatch):
    seen: list[tuple[int, int | None]] = []

    def opened(*_: Any, progress: Callable[[int, int | None], None], **__: Any) -> Any:
        progress(2_000_000, None)
        return open_dataset(photos)

    bars = ProgressBars(verbose=False)
    monkeypatch.setattr(
        bars, "bar", lambda *_, **__: lambda done, total: seen.append((done, total))
    )
    monkeypatch.setattr(inputs, "open_dataset", opened)
    assert len(inputs.open_data("textiles", bars)) == 24
    assert seen == [(2_000_000, 0)]


@pytest.fixture(scope="module")
def small() -> Backbone:
    from tests.finetuning.networks import small_backbone

    return replace(small_backbone(), name="efficientnet-lite0")


class TestNetworks:
    """Each in one form at least, on a network of a few thousand numbers."""

    @pytest.fixture(autouse=True)
    def _small(self, small: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
        for module in ("features.extractor", "models.model_backbone", "api.networks"):
            monkeypatch.setattr(f"headstart.{module}.load_backbone", lambda *_, **__: small)

    @pytest.mark.slow
    def test_a_network_is_a_name_a_model_or_a_classifier_and_images_anything(
        self, photos: Path, tmp_path: Path
    ):
        from headstart.api.networks import open_network

        classifier = headstart.fit(photos, engine="pytorch", out=tmp_path / "model")
        names = [
            open_network(one).views
            for one in (
                "efficientnet-lite0", classifier, classifier.model_, tmp_path / "model",
                str(tmp_path / "model"),
            )
        ]  # fmt: skip
        assert set(names) == {("efficientnet-lite0",)}
        pixels = np.asarray(Image.open(files(photos)[0]))
        found = headstart.feature_maps(classifier, pixels, top=2, filters=True, fields=True)
        assert found.image == "the image"
        assert [one.stage for one in found.fields] == [one.name for one in found.stages]
        assert len(found.plot(kind="fields").axes) == len(found.stages)
        assert found.filters.values.shape[1] == 3
        assert "3 stages" in repr(found)
        with pytest.raises(UserError, match="there is no stage 'x'; choose from stem"):
            found.plot(stage="x")
        with pytest.raises(UserError, match="no figure 'x'; choose from maps, filters, fields"):
            found.plot(kind="x")
        with pytest.raises(UserError, match="no filters in this result; ask for them with filt"):
            replace(found, filters=None).plot(kind="filters")

    def test_settings_that_contradict_each_other(self, photos: Path):
        image = files(photos)[0]
        for settings in ({}, {"stage": "stem"}, {"classes": "a", "stage": "stem", "channel": 0}):
            with pytest.raises(UserError, match="give either classes"):
                headstart.imagine("efficientnet-lite0", **settings)
        with pytest.raises(UserError, match="no method 'dream'; choose from best, lesson"):
            headstart.imagine("efficientnet-lite0", "a", method="dream")
        with pytest.raises(UserError, match="frames are written beside out"):
            headstart.imagine("efficientnet-lite0", "a", frames=True)
        with pytest.raises(UserError, match="no norm 'l1'; choose one of linf, l2"):
            headstart.attack("efficientnet-lite0", image, norm="l1")
        with pytest.raises(UserError, match="minimizes the l2 norm"):
            headstart.attack("efficientnet-lite0", image, method="minimum-norm")
        with pytest.raises(UserError, match=r"no setting 'epoch'; did you mean epochs\?"):
            headstart.finetune(photos, epoch=1)
        with pytest.raises(UserError, match=r"no setting 'lr'; choose from recipe, .*hold_out"):
            headstart.finetune(photos, lr=1)
        with pytest.raises(UserError, match=r"no setting 'holdout'; did you mean hold_out\?"):
            headstart.fit(photos, holdout=0.2)
        with pytest.raises(UserError, match=r"no setting 'output'; did you mean out\?"):
            headstart.fit(photos, output="model")
        with pytest.raises(UserError, match="leave out backbone, preprocessing and balance"):
            headstart.finetune(photos, model="model", balance=True)
        with pytest.raises(UserError, match="leave out backbone, preprocessing and balance"):
            headstart.finetune(photos, model="model", preprocessing=STATED)

    def test_an_attack_of_ones_own_and_a_file_to_keep(
        self, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        from headstart.api import inspecting
        from headstart.inspection.attacks import PGD

        monkeypatch.setattr(inspecting, "open_network", lambda _: "network")
        monkeypatch.setattr(inspecting, "attack_file", lambda *_, **given: given)
        mine, out, image = PGD(steps=2), tmp_path / "out.png", files(photos)[0]
        found: Any = headstart.attack("model", image, method=mine, out=out, jpeg=True)
        assert found["attack"] is mine
        assert (found["out"], found["jpeg"]) == (out, (tmp_path / "out.jpg", 90))
        assert not headstart.attack("model", image, epsilon=0.1)["out"].exists()  # type: ignore[index]


MODULE_USERS: tuple[Callable[..., Any], ...] = (
    headstart.measure_transfer,
    headstart.audit,
    headstart.classify,
    partial(headstart.finetune, depth=1, epochs=1, views=1, validation=0.4),
)


@pytest.mark.parametrize("function", MODULE_USERS)
def test_a_module_is_given_with_its_preprocessing(function: Callable[..., Any], photos: Path):
    data = files(photos) if function is headstart.classify else photos
    found = function(data, backbone=TinyNet(), preprocessing=STATED, verbose=False)
    if function is headstart.measure_transfer:
        assert "--backbone module:TinyNet" in found.advice.command
    with pytest.raises(BackboneError, match="TinyNet does not say"):
        function(data, backbone=TinyNet(), verbose=False)


def test_a_model_is_loaded_without_what_it_was_trained_with(classifier: headstart.Classifier):
    with pytest.raises(UserError, match="load takes no 'preprocessing'"):
        headstart.Classifier.load(classifier.model_, preprocessing=STATED)


def test_compare_takes_names(photos: Path):
    with pytest.raises(BackboneError, match="not TinyNet objects"):
        headstart.compare(photos, [TinyNet()])  # type: ignore[list-item]
