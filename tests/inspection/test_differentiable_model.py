import builtins
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from headstart.backbones import Backbone
from headstart.backbones.own_module import module_backbone
from headstart.backbones.stated_preprocessing import preprocessing_from
from headstart.datasets.unlabeled import find_images
from headstart.errors import DataError, MissingExtraError
from headstart.features.extractor import Extractor
from headstart.features.views import View
from headstart.heads.blend import BlendedHead
from headstart.heads.logistic import LinearHead
from headstart.images.decode import decode
from headstart.images.preprocessing import prepare
from headstart.inspection.differentiable_model import DifferentiableModel
from headstart.models.prediction import classify, predict
from headstart.models.saved_model import load_model
from headstart.models.trained_model import Member
from tests.backbones.onnx_file import STATED, TinyNet
from tests.backbones.test_any_size import transformer
from tests.conftest import F32
from tests.models.trained_models import UNKNOWN, make_model

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


@pytest.mark.parametrize(("module", "shared"), [(transformer(32), False), (TinyNet(), True)])
def test_views_share_a_network_that_does_not_depend_on_the_size(module, shared):
    backbone = module_backbone(module, preprocessing_from(STATED, where=""))
    deepest, views = backbone.stages[-1], [View(backbone.name), View(backbone.name, 64)]
    origins = [
        replace(
            make_model().origin,
            backbone=backbone.name,
            weights=backbone.weights.digest,
            view=str(view) if view.is_special else None,
            stages=(deepest.name,),
        )
        for view in views
    ]
    head = LinearHead(np.ones((3, deepest.width), np.float32), np.zeros(3, np.float32))
    members = [Member(origin=one, head="logistic", weight=0.5, accuracy=UNKNOWN) for one in origins]
    model = make_model(
        head=BlendedHead.of([head] * 2, [1.0] * 2, [0.5] * 2),
        origin=origins[0],
        members=tuple(members),
    )
    network = DifferentiableModel.of(backbone, model, {views[1]: views[1].of(backbone)})
    first, second = (view.network for view in network.views)
    assert (first is second) is shared
    assert network.logits(torch.rand(2, 3, 64, 64)).shape == (2, 3)
