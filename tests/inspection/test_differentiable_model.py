import builtins
import sys

import numpy as np
import pytest
import torch

from headstart.backbones import Backbone
from headstart.datasets.unlabeled import find_images
from headstart.errors import DataError, MissingExtraError
from headstart.features.extractor import Extractor
from headstart.images.decode import decode
from headstart.images.preprocessing import prepare
from headstart.inspection.differentiable_model import DifferentiableModel
from headstart.models.prediction import classify, predict
from headstart.models.saved_model import load_model
from tests.conftest import F32

pytestmark = pytest.mark.slow


def pixels(network: DifferentiableModel, paths) -> torch.Tensor:
    prepared = [prepare(decode(path), network.preprocessing) for path in paths]
    return torch.tensor(np.stack(prepared)).permute(0, 3, 1, 2) / 255


def test_a_backbone_says_what_classify_says(lite0: Backbone, new_photos):
    network, paths = DifferentiableModel.of(lite0), find_images([new_photos]).paths
    assert network.classes == lite0.labels
    expected = classify(Extractor(backbone=lite0, plan=F32, cache=None), paths).probabilities
    with torch.no_grad():
        found = network.logits(pixels(network, paths)).softmax(1).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_model_says_what_predict_says(lite0: Backbone, model, new_photos):
    trained, paths = load_model(model), find_images([new_photos]).paths
    network = DifferentiableModel.of(lite0, trained)
    assert network.classes == trained.classes
    assert network.views[0].head_stages == trained.origin.stages
    extractor = Extractor(backbone=lite0, plan=F32, cache=None)
    expected = predict(trained, extractor, paths).probabilities
    x = pixels(network, paths).requires_grad_()
    logits = network.logits(x)
    np.testing.assert_allclose(logits.detach().softmax(1).numpy(), expected, atol=1e-3)
    assert torch.equal(network.forward_pass(x).logits, logits)
    (gradient,) = torch.autograd.grad(logits[:, 0].sum(), x)
    assert gradient.shape == x.shape
    assert (gradient.abs().sum((1, 2, 3)) > 0).all()


def test_nameless_classes_are_refused(lite0: Backbone):
    from dataclasses import replace

    with pytest.raises(DataError, match="has no class names"):
        DifferentiableModel.of(replace(lite0, labels=()))


def test_without_pytorch_the_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    plain = builtins.__import__

    def refuse(name, *rest):
        if name == "torch":
            raise ImportError(name)
        return plain(name, *rest)

    monkeypatch.delitem(sys.modules, "headstart.inspection.differentiable_model")
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingExtraError, match=r"\.\[torch\]"):
        import headstart.inspection.differentiable_model  # noqa: F401
