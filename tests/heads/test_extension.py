"""A head family added from outside goes the whole way: fit, predict, save, load, gradients."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

from headstart import Classifier
from headstart.datasets import open_dataset
from headstart.errors import SavedModelError, UserError
from headstart.features import extractor
from headstart.features.extractor import Extractor
from headstart.heads.families import FAMILIES
from headstart.heads.head import HeadFamily, check_tensors
from headstart.models.fit import fit
from headstart.models.fit_settings import FitSettings
from headstart.models.model_card import model_card
from headstart.models.saved_model import load_model, save_model


@dataclass(frozen=True)
class NearestMeanHead:
    """Logits are minus the scaled squared distances to the mean features of each class."""

    kind: ClassVar[str] = "nearest-mean"
    means: np.ndarray  # (K, D)
    scale: np.ndarray  # (1,)

    @property
    def width(self):
        return self.means.shape[1]

    def logits(self, X):
        squares = np.square(X[:, None] - self.means).sum(axis=2)
        return -self.scale * squares

    def torch_logits(self, X):
        squares = (X[:, None] - X.new_tensor(self.means)).square().sum(dim=2)
        return -X.new_tensor(self.scale) * squares

    def tensors(self):
        return {"means": self.means, "scale": self.scale}


class NearestMeanFamily(HeadFamily):
    description = "nearest class mean"
    symbol = "scale"
    settings = (0.1, 1.0)

    def fit(self, data, weights, setting):
        members = (data.y == np.arange(data.classes)[:, None]) * weights
        means = members @ data.X / np.maximum(members.sum(axis=1, keepdims=True), 1e-6)
        return NearestMeanHead(means.astype(np.float32), np.array([setting], np.float32))

    def load(self, tensors):
        check_tensors(tensors, {"means": "KD", "scale": "1"})
        return NearestMeanHead(**tensors)


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(FAMILIES, "nearest-mean", NearestMeanFamily())
    yield
    monkeypatch.undo()
    assert "nearest-mean" not in FAMILIES


@pytest.fixture
def model(photos: Path, tiny: Callable[..., Extractor]):
    return fit(open_dataset(photos), tiny(), FitSettings(head="nearest-mean")).model


def test_it_is_fitted_saved_and_loaded(model, tmp_path: Path):
    assert model.head.kind == "nearest-mean"
    assert model.setting in NearestMeanFamily.settings
    assert model.accuracy.value > 0.9
    assert f"nearest class mean, scale = {model.setting:g}, " in model_card(model)
    save_model(model, tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    np.testing.assert_array_equal(loaded.head.tensors()["means"], model.head.tensors()["means"])
    del FAMILIES["nearest-mean"]
    with pytest.raises(
        SavedModelError, match=r"no head 'nearest-mean' among logistic, centroid, knn"
    ):
        load_model(tmp_path / "model")


def test_the_estimator_predicts_with_it(
    photos: Path, tiny: Callable[..., Extractor], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(extractor, "load_backbone", lambda *_, **__: tiny().backbone)
    dataset = open_dataset(photos)
    classifier = Classifier(head="nearest-mean").fit(dataset)
    assert classifier.score(dataset) > 0.9


def test_gradients_flow_through_it(model):
    x = torch.randn(2, model.head.width, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(model.head.torch_logits, (x,))
    numbers = x.detach().numpy().astype(np.float32)
    found = model.head.torch_logits(torch.tensor(numbers)).numpy()
    np.testing.assert_allclose(found, model.head.logits(numbers), rtol=1e-4)


def test_its_choices_are_not_kept_because_its_code_may_change(
    photos: Path, tiny: Callable[..., Extractor], tmp_path: Path
):
    for name, kept in (("nearest-mean", 0), ("centroid", 1)):
        fit(open_dataset(photos), tiny(), FitSettings(head=name))
        assert len(list(Path(tiny().cache).glob("choices/*.choice"))) == kept


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(UserError, match=r"'forest'; choose one of logistic, .*nearest-mean"):
        FitSettings(head="forest")
