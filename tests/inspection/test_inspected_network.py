"""A network predicts for a file what `predict` and `classify` say; options open what they name."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from headstart.api.networks import open_network
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
    network, paths = InspectedNetwork(lite0), find_images([new_photos]).paths
    found, expected = network.predict(paths), classify(extractor(lite0), paths)
    assert found.classes == expected.classes == lite0.labels
    assert np.array_equal(found.probabilities, expected.probabilities)
    assert network.differentiable.classes == lite0.labels
    assert network.differentiable is network.differentiable  # built once
    assert network.differentiable.head is None


def test_a_model_is_read_as_predict_does(lite0: Backbone, model: Path, new_photos: Path):
    trained, paths = load_model(model), find_images([new_photos]).paths
    network = InspectedNetwork(lite0, trained)
    found, expected = network.predict(paths), predict(trained, extractor(lite0), paths)
    assert found.classes == expected.classes == trained.classes
    assert np.array_equal(found.probabilities, expected.probabilities)
    assert network.differentiable.classes == trained.classes
    assert network.differentiable.views[0].head_stages == trained.origin.stages


def test_reading_writes_nothing(lite0: Backbone, new_photos: Path, tmp_path: Path):
    InspectedNetwork(lite0).predict(find_images([new_photos]).paths[:1])
    assert not (tmp_path / "cache").exists()


def test_unreadable_files_are_skipped(lite0: Backbone, new_photos: Path, tmp_path: Path):
    bad = tmp_path / "bad.png"
    bad.write_text("no picture")
    found = InspectedNetwork(lite0).predict([bad, find_images([new_photos]).paths[0]])
    assert [one.path for one in found.skipped] == [str(bad)]
    assert found.rows.tolist() == [1]


def test_another_backbone_than_the_models_is_refused(model: Path):
    with pytest.raises(SavedModelError):
        _ = InspectedNetwork(tiny_backbone(), load_model(model)).differentiable


def test_options_open_the_embedded_backbone_by_default(lite0: Backbone):
    network = options.NetworkOptions().inspected()
    assert network.model is None
    assert network.backbone.name == LITE
    assert network.backbone.weights == lite0.weights


def test_options_open_a_models_folder_with_its_backbone(lite0: Backbone, model: Path):
    for network in (
        options.NetworkOptions(model=model).inspected(),
        options.inspected_by_name(str(model), None, allow_download=False),
    ):
        assert network.model is not None
        assert network.model.classes == load_model(model).classes
        assert network.backbone.weights == lite0.weights


def test_options_open_a_backbone_by_name():
    name = "efficientnet-lite1"
    for network in (
        options.NetworkOptions(backbone=name).inspected(),
        options.inspected_by_name(name, None, allow_download=False),
    ):
        assert network.model is None
        assert network.backbone.name == name


def test_a_model_and_a_backbone_are_one_too_many(model: Path):
    with pytest.raises(UserError) as caught:
        options.NetworkOptions(backbone=LITE, model=model).inspected()
    assert caught.value.exit_code == 2
    assert str(caught.value) == (f"--model {model} includes its backbone; remove --backbone {LITE}")


def test_a_name_that_is_nothing_is_refused(tmp_path: Path):
    with pytest.raises(BackboneError, match="efficientnet-lite9"):
        options.inspected_by_name("efficientnet-lite9", None, allow_download=False)
    neither = "there is no folder 'modell', and there is no backbone 'modell'; `headstart backb"
    for opened in (partial(options.inspected_by_name, weights=None), open_network):
        with pytest.raises(BackboneError, match=neither):
            opened("modell", allow_download=False)
    with pytest.raises(BackboneError, match=r"^there is no backbone 'modell'"):
        options.NetworkOptions(backbone="modell").inspected()
    with pytest.raises(SavedModelError):
        options.inspected_by_name(str(tmp_path), None, allow_download=False)


def test_weights_of_another_kind_are_refused(model: Path, tmp_path: Path):
    with pytest.raises(UserError, match="there is no weights file"):
        options.NetworkOptions(weights=tmp_path / "missing.safetensors").inspected()
    with pytest.raises(UserError):
        options.NetworkOptions(model=model, weights=tmp_path / "missing.safetensors").inspected()
