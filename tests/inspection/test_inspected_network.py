"""A study says of a file what `predict` and `classify` say; options open what they name."""

from pathlib import Path

import numpy as np
import pytest

from headstart.backbones import Backbone
from headstart.cli import options
from headstart.datasets.unlabeled import find_images
from headstart.engines import make_plan
from headstart.errors import BackboneError, SavedModelError, UserError
from headstart.features.extractor import Extractor
from headstart.inspection.inspected_network import InspectedNetwork
from headstart.models.prediction import classify, predict
from headstart.models.saved_model import load_model
from headstart.types import EngineName, Precision
from tests.conftest import LITE, tiny_backbone

pytestmark = pytest.mark.slow


def extractor(backbone: Backbone) -> Extractor:
    plan = make_plan(EngineName.AUTO, Precision.AUTO)
    return Extractor(backbone=backbone, plan=plan, cache=None)


def test_a_backbone_is_read_as_classify_does(lite0: Backbone, new_photos: Path):
    study, paths = InspectedNetwork(lite0), find_images([new_photos])
    found, expected = study.read(paths), classify(extractor(lite0), paths)
    assert found.classes == expected.classes == lite0.labels
    assert np.array_equal(found.probabilities, expected.probabilities)
    assert study.subject.classes == lite0.labels
    assert study.subject is study.subject  # built once
    assert study.subject.head is None


def test_a_model_is_read_as_predict_does(lite0: Backbone, model: Path, new_photos: Path):
    trained, paths = load_model(model), find_images([new_photos])
    study = InspectedNetwork(lite0, trained)
    found, expected = study.read(paths), predict(trained, extractor(lite0), paths)
    assert found.classes == expected.classes == trained.classes
    assert np.array_equal(found.probabilities, expected.probabilities)
    assert study.subject.classes == trained.classes
    assert study.subject.graft == trained.origin.stages


def test_reading_writes_nothing(lite0: Backbone, new_photos: Path, tmp_path: Path):
    InspectedNetwork(lite0).read(find_images([new_photos])[:1])
    assert not (tmp_path / "cache").exists()


def test_unreadable_files_are_skipped(lite0: Backbone, new_photos: Path, tmp_path: Path):
    bad = tmp_path / "bad.png"
    bad.write_text("no picture")
    found = InspectedNetwork(lite0).read([bad, find_images([new_photos])[0]])
    assert [one.path for one in found.skipped] == [str(bad)]
    assert found.rows.tolist() == [1]


def test_another_backbone_than_the_models_is_refused(model: Path):
    with pytest.raises(SavedModelError):
        _ = InspectedNetwork(tiny_backbone(), load_model(model)).subject


def test_options_open_the_embedded_backbone_by_default(lite0: Backbone):
    study = options.study(None, None, None)
    assert study.model is None
    assert study.backbone.name == LITE
    assert study.backbone.weights == lite0.weights


def test_options_open_a_models_folder_with_its_backbone(lite0: Backbone, model: Path):
    for study in (options.study(None, model, None), options.study_of(str(model), None)):
        assert study.model is not None
        assert study.model.classes == load_model(model).classes
        assert study.backbone.weights == lite0.weights


def test_options_open_a_backbone_by_name():
    for study in (options.study("efficientnet-lite1", None, None),
                  options.study_of("efficientnet-lite1", None)):  # fmt: skip
        assert study.model is None
        assert study.backbone.name == "efficientnet-lite1"


def test_a_model_and_a_backbone_are_one_too_many(model: Path):
    with pytest.raises(UserError) as caught:
        options.study(LITE, model, None)
    assert caught.value.exit_code == 2
    assert str(caught.value) == (
        f"--model {model} has a backbone of its own; leave out --backbone {LITE}"
    )


def test_a_name_that_is_nothing_is_refused(tmp_path: Path):
    with pytest.raises(BackboneError, match="efficientnet-lite9"):
        options.study_of("efficientnet-lite9", None)
    with pytest.raises(SavedModelError):
        options.study_of(str(tmp_path), None)


def test_weights_of_another_kind_are_refused(model: Path, tmp_path: Path):
    with pytest.raises(UserError, match="there is no file of weights"):
        options.study(None, None, tmp_path / "missing.safetensors")
    with pytest.raises(UserError):
        options.study(None, model, tmp_path / "missing.safetensors")
