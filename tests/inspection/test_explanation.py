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
from headstart.inspection.attribution.gradcam import grad_cam
from headstart.inspection.attribution.integrated import integrated_gradients
from headstart.inspection.attribution.method import AttributionMethod
from headstart.inspection.attribution.occlusion import occlusion
from headstart.inspection.explanation import SMOOTHING, ExplainedPrediction, Explainer, read
from headstart.inspection.inspected_network import InspectedNetwork
from headstart.models.saved_model import load_model

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def lite_study(lite0: Backbone) -> InspectedNetwork:
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


def pixels_of(study: InspectedNetwork, path: Path) -> torch.Tensor:
    prepared = prepare(decode(path), study.backbone.preprocessing)
    return torch.tensor(prepared).permute(2, 0, 1)[None] / 255


@pytest.mark.parametrize("method", AttributionMethod)
def test_maps_of_random_weights_are_others(
    lite_study: InspectedNetwork, cat: Path, method: AttributionMethod
):
    """The control of Adebayo et al. 2018: a map that stays the same shows the picture alone."""
    x, target = pixels_of(lite_study, cat), torch.tensor([282])

    def ranks(network: StagedNetwork) -> np.ndarray:
        match method:
            case AttributionMethod.GRAD_CAM:
                found = grad_cam(network.watch, x, target, ["head"]).relevance
            case AttributionMethod.INTEGRATED_GRADIENTS:
                found = integrated_gradients(network.logits, x, target, steps=4).relevance(
                    SMOOTHING
                )
            case AttributionMethod.OCCLUSION:
                found = occlusion(network.logits, x, target, window=56, stride=56)
        return found.numpy().ravel()

    network = lite_study.subject.network
    own = ranks(network)
    assert spearmanr(own, ranks(network)).statistic == pytest.approx(1)
    others = [spearmanr(own, ranks(shuffled(network, seed))).statistic for seed in range(2)]
    assert np.abs(np.mean(others)) < 0.5


def test_a_picture_is_explained(lite_study: InspectedNetwork, cat: Path):
    (reading,), skipped = read(lite_study, [cat])
    assert not skipped
    expected = lite_study.read([cat]).top(0, 1)[0]
    assert (reading.label, reading.probability) == expected
    assert (reading.explained, reading.explained_probability) == expected
    methods = (AttributionMethod.GRAD_CAM, AttributionMethod.GRAD_CAM)
    found = Explainer(lite_study, methods).explain(reading)
    assert [one.method for one in found.maps] == [AttributionMethod.GRAD_CAM]
    assert [one.stage for one in found.maps] == ["head"]
    assert found.pixels.shape == (300, 451, 3)
    for one in found.maps:
        assert one.relevance.shape == (224, 224)
        assert one.placed.values.shape == one.placed.seen.shape == (300, 451)
        assert one.placed.values.min() == 0
        assert 0.9 < one.placed.values.max() <= 1
        assert not one.placed.seen[:, :50].any()
        assert one.placed.seen[150, 225]
        scores = one.faithfulness
        assert 0 <= scores.deletion <= 1
        assert 0 <= scores.random_insertion <= 1


def test_the_engine_says_what_the_subject_says(lite_study: InspectedNetwork, cat: Path):
    x = pixels_of(lite_study, cat)
    with torch.no_grad():
        expected = lite_study.subject.logits(x)
    found = Explainer(lite_study, [AttributionMethod.GRAD_CAM])._fast_logits(x.repeat(40, 1, 1, 1))
    assert found.shape == (40, 1000)
    # As far as the engine's own arithmetic goes.
    torch.testing.assert_close(found[39:], expected, rtol=0.05, atol=0.3)


def test_a_model_is_explained_in_its_own_classes(
    lite0: Backbone, model: Path, new_photos: Path, tmp_path: Path
):
    study = InspectedNetwork(lite0, load_model(model))
    broken = tmp_path / "broken.jpg"
    broken.write_text("text")
    image = new_photos / "checks" / "100.jpg"
    readings, skipped = read(study, [broken, image], name="noise")
    assert [one.path for one in skipped] == [str(broken)]
    (reading,) = readings
    assert (reading.image, reading.label, reading.explained) == (image, "checks", "noise")
    assert reading.explained_probability < reading.probability
    explainer = Explainer(study, [AttributionMethod.GRAD_CAM])
    against = explainer.explain(reading).maps[0]
    own = explainer.explain(read(study, [image])[0][0]).maps[0]
    assert spearmanr(own.relevance.ravel(), against.relevance.ravel()).statistic < 0.5
    x = pixels_of(study, image)
    with torch.no_grad():
        expected = study.subject.logits(x)
    torch.testing.assert_close(explainer._fast_logits(x), expected, rtol=0.05, atol=0.1)


def test_mistakes(lite_study: InspectedNetwork, cat: Path, tmp_path: Path):
    with pytest.raises(BackboneError, match=r"no stage 'blocks.9'; its stages are blocks.0"):
        Explainer(lite_study, stage="blocks.9")
    with pytest.raises(UserError, match="add --method grad-cam"):
        Explainer(lite_study, [AttributionMethod.OCCLUSION], stage="blocks.6")
    with pytest.raises(DataError, match="did you mean 'tiger cat'"):
        read(lite_study, [cat], name="tiger kat")
    (tmp_path / "a.jpg").write_text("text")
    with pytest.raises(DataError, match=r"no picture among 1 files .*not an image"):
        read(lite_study, [tmp_path / "a.jpg"])


def test_damaged_weights_are_a_sentence(lite_study: InspectedNetwork, cat: Path):
    from dataclasses import replace

    explainer = Explainer(lite_study, [AttributionMethod.GRAD_CAM])
    network = copy.deepcopy(lite_study.subject.network)
    network.model.get_submodule("classifier").weight.data[:] = float("nan")
    explainer._subject = replace(lite_study.subject, network=network)
    reading = ExplainedPrediction(
        image=cat, label="tabby", probability=1, explained="tabby", explained_probability=1
    )
    with pytest.raises(DataError, match="not finite"):
        explainer.explain(reading)
