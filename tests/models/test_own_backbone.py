"""The estimator on a network of the user's own."""

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn

from headstart import Classifier
from headstart.backbones.stated_preprocessing import preprocessing_from
from headstart.errors import BackboneError, SavedModelError
from headstart.models.own_backbone import stated
from tests.backbones.onnx_file import STATED, TinyNet, write_tiny
from tests.conftest import files

pytestmark = pytest.mark.slow


def labeled(photos):
    paths = files(photos)
    return paths, [path.parent.name for path in paths]


def test_a_module(photos, tmp_path):
    paths, labels = labeled(photos)
    module = TinyNet()
    classifier = clone(Classifier(backbone=module, preprocessing=STATED)).fit(paths, labels)
    assert classifier.model_.origin.backbone == "module:TinyNet"
    assert classifier.model_.origin.preprocessing == preprocessing_from(STATED, where="")
    expected = classifier.predict_proba(paths)
    again = pickle.loads(pickle.dumps(classifier))
    np.testing.assert_array_equal(again.predict_proba(paths), expected)
    classifier.save(tmp_path / "model")
    loaded = Classifier.load(tmp_path / "model", backbone=copy.deepcopy(module))
    np.testing.assert_array_equal(loaded.predict_proba(paths), expected)
    with pytest.raises(BackboneError, match="backbone=MODULE"):
        Classifier.load(tmp_path / "model")
    with pytest.raises(SavedModelError, match="give the module that it was trained on"):
        Classifier.load(tmp_path / "model", backbone=TinyNet(seed=1))


def test_a_module_without_classifier(photos, tmp_path):
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU()
    module = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    paths, labels = labeled(photos)
    classifier = Classifier(backbone=module, preprocessing=STATED).fit(paths, labels)
    expected = classifier.predict_proba(paths)
    assert (classifier.predict(paths) == labels).mean() > 0.8
    classifier.save(tmp_path / "model")
    loaded = Classifier.load(tmp_path / "model", backbone=module)
    np.testing.assert_array_equal(loaded.predict_proba(paths), expected)


def test_a_file(photos, tmp_path, monkeypatch):
    paths, labels = labeled(photos)
    file = write_tiny(tmp_path, stated=None)
    classifier = Classifier(backbone=file, preprocessing=STATED).fit(paths, labels)
    expected = classifier.predict_proba(paths)
    again = pickle.loads(pickle.dumps(classifier))
    np.testing.assert_array_equal(again.predict_proba(paths), expected)
    classifier.save(tmp_path / "model")
    (tmp_path / "other").mkdir()
    write_tiny(tmp_path / "other", seed=1)
    monkeypatch.chdir(tmp_path / "other")  # has another network of this name
    for given in (None, file):
        loaded = Classifier.load(tmp_path / "model", backbone=given)
        for one in (loaded, pickle.loads(pickle.dumps(loaded))):
            np.testing.assert_array_equal(one.predict_proba(paths), expected)
    with pytest.raises(SavedModelError, match="the right ones"):
        Classifier.load(tmp_path / "model", backbone=Path("net.onnx"))


def test_the_preprocessing_of_a_module_is_asked_for(photos):
    paths, labels = labeled(photos)
    with pytest.raises(BackboneError, match=r"TinyNet does not say .* preprocessing=dict\("):
        Classifier(backbone=TinyNet()).fit(paths, labels)


def test_forms_of_the_preprocessing():
    how = preprocessing_from(STATED, where="")
    assert stated(None) is None
    assert stated(how) is how
    assert stated(STATED) == how
