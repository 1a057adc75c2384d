"""Maps of a trained network belong to it: they change with its weights, and point at the animal."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from headstart.backbones import Backbone
from headstart.backbones.staged import StagedNetwork
from headstart.errors import BackboneError, DataError, UserError
from headstart.images.decode import decode
from headstart.images.preprocessing import prepare
from headstart.inspection.attribution.grad_cam import grad_cam
from headstart.inspection.attribution.integrated_gradients import integrated_gradients, smooth
from headstart.inspection.attribution.occlusion import occlusion
from headstart.inspection.explanation import ExplainedPrediction, Explainer, predict_files
from headstart.inspection.inspected_network import InspectedNetwork
from headstart.models.saved_model import load_model

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def lite_network(lite0: Backbone) -> InspectedNetwork:
    return InspectedNetwork(lite0)


def shuffled(network: StagedNetwork, seed: int) -> StagedNetwork:
    """The same network with the weights of each layer in random order."""
    other = copy.deepcopy(network)
    generator = torch.Generator().manual_seed(seed)
    for weights in other.model.parameters():
        if weights.ndim > 1:
            order = torch.randperm(weights.numel(), generator=generator)
            weights.data = weights.data.flatten()[order].view(weights.shape)
    return other


def pixels_of(network: InspectedNetwork, path: Path) -> torch.Tensor:
    prepared = prepare(decode(path), network.backbone.preprocessing)
    return torch.tensor(prepared).permute(2, 0, 1)[None] / 255


@pytest.mark.parametrize("method", ["grad-cam", "integrated-gradients", "occlusion"])
def test_maps_of_random_weights_are_others(lite_network: InspectedNetwork, cat: Path, method: str):
    """The control of Adebayo et al. 2018: a map that stays the same shows the picture alone."""
    x, target = pixels_of(lite_network, cat), torch.tensor([282])

    def ranks(network: StagedNetwork) -> np.ndarray:
        match method:
            case "grad-cam":
                found = grad_cam(network.watch, x, target, ["head"]).values
            case "integrated-gradients":
                found = smooth(integrated_gradients(network.logits, x, target, steps=4))
            case "occlusion":
                found = occlusion(network.logits, x, target, window=56, stride=56)
        return found.numpy().ravel()

    network = lite_network.differentiable.views[0].network
    own = ranks(network)
    assert spearmanr(own, ranks(network)).statistic == pytest.approx(1)
    others = [spearmanr(own, ranks(shuffled(network, seed))).statistic for seed in range(2)]
    assert np.abs(np.mean(others)) < 0.5


def test_a_picture_is_explained(lite_network: InspectedNetwork, cat: Path):
    (prediction,), skipped = predict_files(lite_network, [cat])
    assert not skipped
    expected = lite_network.predict([cat]).top(0, 1)[0]
    assert (prediction.label, prediction.probability) == expected
    assert (prediction.explained, prediction.explained_probability) == expected
    methods = ("grad-cam", "grad-cam")
    found = Explainer(lite_network, methods).explain(prediction)
    assert [one.method for one in found.maps] == ["grad-cam"]
    assert [one.stage for one in found.maps] == ["head"]
    assert found.pixels.shape == (300, 451, 3)
    for one in found.maps:
        assert one.relevance.shape == (224, 224)
        assert one.full_size.values.shape == one.full_size.seen.shape == (300, 451)
        assert one.full_size.values.min() == 0
        assert 0.9 < one.full_size.values.max() <= 1
        assert not one.full_size.seen[:, :50].any()
        assert one.full_size.seen[150, 225]
        scores = one.faithfulness
        assert 0 <= scores.deletion <= 1
        assert 0 <= scores.random_insertion <= 1


def test_the_engine_agrees_with_the_differentiable_form(lite_network: InspectedNetwork, cat: Path):
    x = pixels_of(lite_network, cat)
    with torch.no_grad():
        expected = lite_network.differentiable.logits(x)
    explainer = Explainer(lite_network, ["grad-cam"])
    found = explainer._engine_logits(lite_network.differentiable, x.repeat(40, 1, 1, 1))
    assert found.shape == (40, 1000)
    # As far as the engine's own arithmetic goes.
    torch.testing.assert_close(found[39:], expected, rtol=0.05, atol=0.3)


def test_a_model_is_explained_in_its_own_classes(
    lite0: Backbone, model: Path, new_photos: Path, tmp_path: Path
):
    network = InspectedNetwork(lite0, load_model(model))
    broken = tmp_path / "broken.jpg"
    broken.write_text("text")
    image = new_photos / "checks" / "100.jpg"
    predictions, skipped = predict_files(network, [broken, image], explain="noise")
    assert [one.path for one in skipped] == [str(broken)]
    (prediction,) = predictions
    assert (prediction.image, prediction.label, prediction.explained) == (image, "checks", "noise")
    assert prediction.explained_probability < prediction.probability
    explainer = Explainer(network, ["grad-cam"])
    against = explainer.explain(prediction).maps[0]
    own = explainer.explain(predict_files(network, [image])[0][0]).maps[0]
    assert spearmanr(own.relevance.ravel(), against.relevance.ravel()).statistic < 0.5
    x = pixels_of(network, image)
    with torch.no_grad():
        expected = network.differentiable.logits(x)
    found = explainer._engine_logits(network.differentiable, x)
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0.1)


def test_mistakes(lite_network: InspectedNetwork, cat: Path, tmp_path: Path):
    with pytest.raises(BackboneError, match=r"no stage 'blocks.9'; its stages are blocks.0"):
        Explainer(lite_network, stage="blocks.9")
    with pytest.raises(UserError, match="add the method grad-cam"):
        Explainer(lite_network, ["occlusion"], stage="blocks.6")
    with pytest.raises(DataError, match="did you mean 'tiger cat'"):
        predict_files(lite_network, [cat], explain="tiger kat")
    (tmp_path / "a.jpg").write_text("text")
    with pytest.raises(DataError, match=r"no image among 1 file, .*not an image"):
        predict_files(lite_network, [tmp_path / "a.jpg"])


def test_damaged_weights_are_a_sentence(lite_network: InspectedNetwork, cat: Path):
    from dataclasses import replace

    explainer = Explainer(lite_network, ["grad-cam"])
    network = copy.deepcopy(lite_network.differentiable.views[0].network)
    network.model.get_submodule("classifier").weight.data[:] = float("nan")
    (view,) = lite_network.differentiable.views
    damaged = replace(view, network=network)
    explainer._model = replace(lite_network.differentiable, views=(damaged,))
    prediction = ExplainedPrediction(
        image=cat, label="tabby", probability=1, explained="tabby", explained_probability=1
    )
    with pytest.raises(DataError, match="NaN or infinity"):
        explainer.explain(prediction)
