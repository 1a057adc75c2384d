"""The average of a model with its fine-tuned network, as one model."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from headstart.backbones.backbone import Backbone
from headstart.datasets import open_dataset
from headstart.datasets.unlabeled import find_images
from headstart.errors import SavedModelError, UserError
from headstart.features.extractor import Extractor
from headstart.features.views import View
from headstart.finetuning import finetune as module
from headstart.finetuning.decision import Decision, averaged
from headstart.finetuning.finetune import FineTuneResult, finetune
from headstart.finetuning.settings import BatchNorm, TuningRecipe, TuningSettings
from headstart.heads.blend import BlendedHead
from headstart.inspection.differentiable_model import DifferentiableModel
from headstart.models import members
from headstart.models.fit import fit
from headstart.models.fit_settings import FitSettings
from headstart.models.model_backbone import further_backbones, tuned_backbone
from headstart.models.model_card import model_card
from headstart.models.prediction import evaluate, predict
from headstart.models.saved_model import load_model, save_model
from tests.finetuning.networks import small_backbone, small_extractor, write_sided
from tests.inspection.test_differentiable_model import pixels

pytestmark = pytest.mark.slow

SETTINGS = TuningSettings(
    depth=1, epochs=3, views=2, batch=16, rate=2e-3, batch_norm=BatchNorm.FROZEN, closing=0
)
TUNED, LARGE = View("small", tuned=True), View("small", 48)


@pytest.fixture(scope="module")
def sided(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sided(tmp_path_factory.mktemp("sided") / "sided", 30)


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return list(
        find_images([write_sided(tmp_path_factory.mktemp("new") / "new", 6, first=900)]).paths
    )


@pytest.fixture(scope="module", autouse=True)
def both_count():
    """Whatever the few images say; others check the decision."""
    decide = module.decide

    def equal(*args, **options) -> Decision:
        found = decide(*args, **options)
        result = averaged(found.start, found.tuned, 0.4, args[0].examples.labels[args[3]])
        return replace(found, weight=0.4, result=result)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "decide", equal)
        yield


@pytest.fixture(scope="module")
def single(sided: Path, tmp_path_factory: pytest.TempPathFactory) -> FineTuneResult:
    extractor = small_extractor(tmp_path_factory.mktemp("cache"))
    return finetune(open_dataset(str(sided)), extractor, SETTINGS)


@pytest.fixture(scope="module")
def several(
    sided: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Extractor, FineTuneResult]:
    """A model of two views that is fine-tuned."""
    extractor = small_extractor(tmp_path_factory.mktemp("cache"))
    extractor = extractor.with_views({LARGE: small_backbone()})
    dataset = open_dataset(str(sided))
    start = fit(dataset, extractor, FitSettings())
    assert {one.origin.name for one in start.model.members} == {"small", str(LARGE)}
    return extractor, finetune(dataset, extractor, SETTINGS, model=start.model)


def published(backbone: Backbone) -> dict[str, Backbone]:
    return {backbone.weights.digest: backbone}


def of_model(extractor: Extractor, model) -> Extractor:
    return extractor.with_views(further_backbones(model, published(extractor.backbone)))


def weighted(model, extractor: Extractor, paths: list[Path]) -> np.ndarray:
    """The probabilities of the members, each on its own network, and their average."""
    found = of_model(extractor, model).extract(paths, stages=model.stages)
    total, place = np.zeros(1), 0
    for head, temperature, weight, member in zip(
        model.head.members, model.head.temperatures, model.head.weights, model.members, strict=True
    ):
        names = model.stages[place : place + len(member.origin.stages)]
        place += len(names)
        scaled = head.logits(np.concatenate([found.values[one] for one in names], 1)) / temperature
        total = total + weight * (scaled - np.log(np.exp(scaled).sum(1, keepdims=True)))
    odds = np.exp(total / model.temperature)
    return odds / odds.sum(1, keepdims=True)


def test_a_probe_and_its_fine_tuned_network_are_one_model(
    single: FineTuneResult, new: list[Path], tmp_path: Path
):
    model = single.model
    assert single.kept
    assert [one.origin.name for one in model.members] == ["small", str(TUNED)]
    assert [one.weight for one in model.members] == pytest.approx([0.6, 0.4])
    assert model.members[1].accuracy == single.attempt.tuned.estimate
    assert model.novelty is single.probe.model.novelty
    assert model.accuracy == single.attempt.result.estimate
    assert model.lowest_recalls == ()  # those of the probe are of other predictions
    assert single.probe.model.lowest_recalls
    assert (single.fitted.model, single.fitted.recalls) == (model, ())
    assert len(model.calibration.labels) == model.accuracy.images
    save_model(model, tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert loaded.members == model.members
    assert str(TUNED) in model_card(loaded)
    extractor = small_extractor(tmp_path / "cache")
    found = predict(loaded, of_model(extractor, loaded), new)
    np.testing.assert_allclose(found.probabilities, weighted(loaded, extractor, new), atol=1e-5)
    # The first network is the frozen one, the second is another.
    assert tuned_backbone(loaded, extractor.backbone) is extractor.backbone
    (other,) = further_backbones(loaded, published(extractor.backbone)).values()
    assert other.weights.digest == loaded.tuning.weights != loaded.origin.weights


def test_gradients_lead_through_both_networks(
    single: FineTuneResult, new: list[Path], tmp_path: Path
):
    model, views = single.model, of_model(small_extractor(tmp_path), single.model)
    others = {view: one.backbone for view, one in views.others.items()}
    network = DifferentiableModel.of(views.backbone, model, others)
    shown = pixels(network, new).to(network.device)
    with torch.no_grad():
        found = network.logits(shown).softmax(1).cpu()
    expected = predict(model, views, new).probabilities
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-4)


def test_damaged_weights_of_a_tuned_member_are_refused(single: FineTuneResult):
    model = single.model
    untold = replace(model, tuning=None)
    for damaged in (untold, replace(model, tail={})):
        with pytest.raises(SavedModelError, match="damaged"):
            further_backbones(damaged, published(small_backbone()))


def test_the_first_of_several_members_is_tuned_and_joins_them(
    several: tuple[Extractor, FineTuneResult], new: list[Path], tmp_path: Path
):
    extractor, found = several
    model = found.model
    assert model.members[-1].origin.name == str(TUNED)
    assert [one.origin for one in model.members[:-1]] == [
        one.origin for one in found.probe.model.members
    ]
    before = np.array([one.weight for one in found.probe.model.members])
    after = np.array([one.weight for one in model.members])
    assert after.sum() == pytest.approx(1)
    np.testing.assert_allclose(after[:-1] / after[:-1].sum(), before, rtol=1e-5)
    save_model(model, tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    tested = predict(loaded, of_model(extractor, loaded), new)
    np.testing.assert_allclose(tested.probabilities, weighted(loaded, extractor, new), atol=1e-5)
    # As the whole model before and the tuned network: 0.6 and 0.4 of calibrated log-probabilities.
    whole = predict(found.probe.model, extractor, new).probabilities
    features = of_model(extractor, loaded).extract(new, stages=loaded.stages)
    stages = [f"{TUNED} > {stage}" for stage in model.members[-1].origin.stages]
    assert isinstance(model.head, BlendedHead)
    logits = model.head.members[-1].logits(np.hstack([features.values[one] for one in stages]))
    alone = logits / model.head.temperatures[-1]
    alone = alone - np.log(np.exp(alone).sum(1, keepdims=True))
    odds = np.exp((0.6 * np.log(whole) + 0.4 * alone) / found.attempt.result.temperature)
    np.testing.assert_allclose(
        tested.probabilities, odds / odds.sum(1, keepdims=True), rtol=1e-3, atol=1e-5
    )
    scored = evaluate(loaded, of_model(extractor, loaded), open_dataset(str(new[0].parents[1])))
    assert len(scored.labels) == len(new)


def test_of_several_views_the_first_that_is_kept_is_tuned(
    sided: Path, new: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(members, "select_weights", lambda found, *_: np.eye(len(found))[1])
    extractor = small_extractor(tmp_path).with_views({LARGE: small_backbone()})
    model = finetune(open_dataset(str(sided)), extractor, SETTINGS).model
    assert [one.origin.name for one in model.members] == [str(LARGE), f"{LARGE}+tuned"]
    larger = small_extractor(tmp_path).as_view(LARGE)
    found = predict(model, of_model(larger, model), new)
    np.testing.assert_allclose(found.probabilities, weighted(model, larger, new), atol=1e-5)


def test_recipes_that_replace_the_stages_need_one_view(
    several: tuple[Extractor, FineTuneResult], sided: Path
):
    extractor, found = several
    settings = replace(SETTINGS, depth=None, recipe=TuningRecipe.CLASSIFIER)
    with pytest.raises(UserError, match="--quality fast"):
        finetune(open_dataset(str(sided)), extractor, settings, model=found.probe.model)
