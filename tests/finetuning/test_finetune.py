"""From a probe to a network that is better, or to the probe."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from headstart.backbones.stages import LOGITS
from headstart.datasets import ImageDataset, open_dataset
from headstart.datasets.unlabeled import find_images
from headstart.errors import DataError, SavedModelError, UserError
from headstart.features.extractor import Extractor
from headstart.features.views import View
from headstart.finetuning import finetune as module
from headstart.finetuning.finetune import FineTuneResult, TuningProgress, finetune
from headstart.finetuning.settings import BatchNorm, Keep, TuningRecipe, TuningSettings
from headstart.inspection.differentiable_model import DifferentiableModel
from headstart.models.fit import fit
from headstart.models.fit_settings import FitSettings
from headstart.models.model_backbone import tuned_backbone
from headstart.models.prediction import evaluate, predict
from headstart.models.saved_model import load_model, save_model
from headstart.types import EstimateMethod
from tests.conftest import F32, files
from tests.finetuning.networks import small_backbone, small_extractor, write_sided
from tests.inspection.test_differentiable_model import pixels
from tests.models.saved_models import contents

pytestmark = pytest.mark.slow

LEARNS = TuningSettings(
    depth=2, epochs=12, views=2, batch=16, rate=5e-3, patience=12, averaging=0.5, warm_up=0.1,
    batch_norm=BatchNorm.FROZEN, closing=0.25, average=False,
)  # fmt: skip
QUICK = replace(LEARNS, epochs=2)


@pytest.fixture(scope="module")
def sided(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes that a probe on the small network confuses: what lies left, what right."""
    return write_sided(tmp_path_factory.mktemp("sided") / "sided", 60)


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sided(tmp_path_factory.mktemp("new") / "new", 25, first=1000)


def opened(folder: Path) -> ImageDataset:
    return open_dataset(str(folder), cache=folder.parent / "cache")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def tuned_on(folder: Path, cache: Path, settings: TuningSettings = QUICK, **more) -> FineTuneResult:
    more.setdefault("stages", ("top",))
    return finetune(opened(folder), small_extractor(cache), settings, **more)


@pytest.fixture(scope="module")
def tuned(sided: Path, cache: Path) -> FineTuneResult:
    return tuned_on(sided, cache, LEARNS)


def test_what_the_probe_confuses_is_learned(tuned: FineTuneResult, new: Path, cache: Path):
    assert tuned.kept
    assert tuned.attempt.tuned.accuracy > tuned.attempt.probe.accuracy
    before, after = (
        evaluate(model, Extractor(backbone=small_backbone(), plan=small_extractor(cache).plan,
                                  cache=None), opened(new))
        if model.tuning is None
        else evaluate(model, own(model, cache), opened(new))
        for model in (tuned.probe.model, tuned.model)
    )  # fmt: skip
    right = [np.mean(one.probabilities.argmax(1) == one.labels) for one in (before, after)]
    assert right[1] > right[0] + 0.05
    assert right[1] > 0.85


def own(model, cache: Path, **more) -> Extractor:
    extractor = small_extractor(cache, **more)
    return extractor.with_backbone(tuned_backbone(model, extractor.backbone))


def test_nobody_mirrors_where_left_and_right_are_the_classes(tuned: FineTuneResult):
    assert not tuned.attempt.invariance.augmentation.flip


def test_the_model_says_how_it_came_about(tuned: FineTuneResult):
    told = tuned.model.tuning
    assert (
        (told.depth, told.cut)
        == (tuned.attempt.cut.depth, tuned.attempt.cut.last_frozen)
        == (2, "stem")
    )
    assert told.epochs == len(tuned.attempt.history)
    assert told.share == tuned.attempt.interpolation
    assert (told.probe, told.tuned) == (
        tuned.attempt.probe.estimate,
        tuned.attempt.tuned.estimate,
    )
    assert tuned.model.accuracy == tuned.attempt.tuned.estimate
    assert tuned.model.accuracy.method is EstimateMethod.VALIDATION
    assert tuned.model.origin == tuned.probe.model.origin
    assert tuned.model.data == tuned.probe.model.data
    assert tuned.model.calibration.correct.mean() == told.tuned.value
    assert len(tuned.model.calibration.labels) == told.tuned.images
    assert tuned.attempt.parameters == sum(
        array.size for name, array in small_backbone().tensors().items()
        if name.startswith(("middle", "top")) and "running" not in name
    ) + 2 * 16 + 2  # fmt: skip


def test_the_tail_is_what_changed_and_nothing_else(tuned: FineTuneResult):
    given = small_backbone().tensors()
    assert tuned.model.tail
    for name, array in tuned.model.tail.items():
        assert array.shape == given[name].shape
        assert not np.array_equal(array, given[name])
        assert name.startswith(("middle", "top"))
        assert "running" not in name  # frozen


def test_saved_and_loaded_it_predicts_through_openvino_as_the_network_does(
    tuned: FineTuneResult, new: Path, cache: Path, tmp_path: Path
):
    save_model(tuned.model, tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert loaded.tuning == tuned.model.tuning
    assert loaded.tail.keys() == tuned.model.tail.keys()
    paths = find_images([new]).paths[:12]
    network = DifferentiableModel.of(small_backbone(), loaded)
    with torch.no_grad():
        expected = network.logits(pixels(network, paths).to(network.device)).softmax(1).cpu()
    extractor = own(loaded, tmp_path / "cache", plan=F32)
    found = predict(loaded, extractor, paths)
    np.testing.assert_allclose(found.probabilities, expected.numpy(), atol=1e-4)
    assert np.ptp(found.probabilities) > 0


def test_a_damaged_tail_is_refused(tuned: FineTuneResult):
    name, array = next(iter(tuned.model.tail.items()))
    changed = replace(tuned.model, tail={**tuned.model.tail, name: array + 1})
    missing = replace(tuned.model, tail={k: v for k, v in tuned.model.tail.items() if k != name})
    shape = replace(tuned.model, tail={**tuned.model.tail, name: array.ravel()[:1]})
    unknown = replace(tuned.model, tail={**tuned.model.tail, "nowhere": array})
    for damaged in (changed, missing, shape, unknown):
        with pytest.raises(SavedModelError, match="damaged"):
            tuned_backbone(damaged, small_backbone())
    other = small_backbone(seed=1)
    with pytest.raises(SavedModelError, match="trained on small with weights"):
        tuned_backbone(tuned.model, other)


def test_its_own_backbone_is_taken_as_it_is(tuned: FineTuneResult):
    mine = tuned_backbone(tuned.model, small_backbone())
    assert tuned_backbone(tuned.model, mine) is mine


def test_the_same_seed_gives_the_same_bytes(sided: Path, tmp_path: Path):
    for name in ("one", "two"):
        found = tuned_on(sided, tmp_path / f"cache {name}", LEARNS)
        save_model(found.model, tmp_path / name)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


@pytest.mark.parametrize("where", ["images", "views", "steps", "epoch", "closing"])
def test_a_run_interrupted_anywhere_ends_with_the_same_model(
    where: str, tuned: FineTuneResult, sided: Path, tmp_path: Path
):
    count = 0

    def stop(*_) -> None:
        nonlocal count
        count += 1
        if count == {"images": 3, "views": 2, "steps": 30, "epoch": 4, "closing": 13}[where]:
            raise KeyboardInterrupt

    name = "epoch" if where == "closing" else where
    with pytest.raises(KeyboardInterrupt):
        tuned_on(sided, tmp_path, LEARNS, progress=TuningProgress(**{name: stop}))
    found = tuned_on(sided, tmp_path, LEARNS)
    for one, other in ((found, tuned),):
        assert [replace(row, seconds=0) for row in one.attempt.history] == [
            replace(row, seconds=0) for row in other.attempt.history
        ]
        save_model(one.model, tmp_path / "found")
        save_model(other.model, tmp_path / "expected")
    assert contents(tmp_path / "found") == contents(tmp_path / "expected")


@pytest.mark.parametrize("how", ["rate", "labels"])
def test_the_probe_is_kept_where_training_only_harms(how: str, sided: Path, cache: Path):
    dataset = opened(sided)
    settings = replace(QUICK, rate=10.0, interpolate=False)
    if how == "labels":
        labels = np.random.default_rng(0).permutation(dataset.labels)
        dataset = replace(dataset, labels=labels)
    found = finetune(dataset, small_extractor(cache), settings, stages=("top",))
    assert not found.kept
    assert found.model is found.probe.model
    assert found.model.tuning is None
    assert not found.model.tail
    assert found.attempt.interpolation == 0
    assert found.held_out is found.probe.held_out
    assert found.attempt.history
    assert all(row.phase == "search" for row in found.attempt.history)


def test_the_deepest_setting_trains_the_first_convolution(sided: Path, cache: Path):
    settings = replace(LEARNS, depth=3, batch_norm=BatchNorm.UPDATED)
    found = tuned_on(sided, cache, settings)
    assert (found.attempt.cut.depth, found.attempt.cut.last_frozen) == (3, "")
    assert found.kept
    assert {"stem.0.weight", "top.0.weight", "stem.1.running_mean"} <= found.model.tail.keys()
    DifferentiableModel.of(small_backbone(), found.model)


def test_depth_0_and_the_recipe_probe_are_what_fit_does(sided: Path, cache: Path):
    plain = fit(opened(sided), small_extractor(cache), FitSettings(stages=("top",)))
    for changed in ({"depth": 0}, {"depth": None, "recipe": TuningRecipe.PROBE}):
        found = tuned_on(sided, cache, replace(QUICK, **changed))
        assert not found.kept
        assert found.attempt is None
        assert found.model.head.tensors().keys() == plain.model.head.tensors().keys()
        for name, array in found.model.head.tensors().items():
            np.testing.assert_array_equal(array, plain.model.head.tensors()[name])


def test_a_probe_may_be_given(sided: Path, cache: Path):
    start = fit(
        opened(sided), small_extractor(cache), FitSettings(stages=("middle",), balance=True)
    )
    found = tuned_on(sided, cache, replace(QUICK, depth=1), model=start.model)
    assert found.model.origin.stages == ("middle",)
    assert found.model.balanced
    assert (found.attempt.cut.depth, found.attempt.cut.last_frozen) == (1, "stem")


def test_the_network_s_own_outputs_may_carry_the_head(sided: Path, cache: Path):
    settings = replace(QUICK, depth=None, recipe=TuningRecipe.CLASSIFIER, epochs=6)
    found = tuned_on(sided, cache, settings)
    assert found.probe.model.origin.stages == (LOGITS,)
    assert found.attempt.cut.last_frozen == "top"
    assert found.attempt.parameters == 16 * 5 + 5 + 2 * 5 + 2
    assert found.model.tail.keys() <= {"classifier.weight", "classifier.bias"}


@pytest.mark.parametrize("kind", ["knn", "centroid"])
@pytest.mark.parametrize("recipe", [None, TuningRecipe.CLASSIFIER])
def test_a_head_without_a_gradient_is_refused(kind, recipe, sided: Path, cache: Path):
    model = fit(
        opened(sided), small_extractor(cache), FitSettings(head=kind, stages=("top",))
    ).model
    settings = replace(QUICK, recipe=recipe, depth=None)
    with pytest.raises(UserError, match=rf"{kind} head.*--head logistic"):
        tuned_on(sided, cache, settings, model=model)


@pytest.mark.parametrize("recipe", [None, TuningRecipe.CLASSIFIER])
def test_a_fine_tuned_model_is_no_start(recipe, tuned: FineTuneResult, sided: Path, cache: Path):
    settings = replace(QUICK, recipe=recipe, depth=None)
    with pytest.raises(UserError, match="already fine-tuned"):
        finetune(opened(sided), own(tuned.model, cache), settings, model=tuned.model)


def test_an_impossible_depth_is_refused_before_features_are_computed(sided: Path, cache: Path):
    extractor, asked = small_extractor(cache), replace(QUICK, depth=99)
    with pytest.raises(UserError, match=r"depth is 99, but only 3 stages .* give 0 to 3"):
        finetune(
            opened(sided), extractor, asked, progress=TuningProgress(images=_must_not_be_called)
        )


def test_of_several_views_the_first_does_not_limit_the_depth(sided: Path, cache: Path):
    several = small_extractor(cache).with_views({View("small", 48): small_backbone()})
    with pytest.raises(pytest.fail.Exception, match="features were computed"):
        finetune(
            opened(sided),
            several,
            replace(QUICK, depth=99),
            progress=TuningProgress(images=_must_not_be_called),
        )


def _must_not_be_called(done: int, total: int) -> None:
    pytest.fail(f"{done} of {total} features were computed")


def test_too_few_images_decide_nothing(tmp_path: Path):
    few = write_sided(tmp_path / "few", 8)
    message = r"of 16 training images would be for validation.* 40 .*--validation.*--recipe probe"
    with pytest.raises(DataError, match=message):
        tuned_on(few, tmp_path / "cache")
    assert not any((tmp_path / "cache").rglob("*.*"))  # known before any feature is computed


def test_without_a_cache_there_is_no_place_for_activations(sided: Path):
    extractor = replace(small_extractor(Path("unused")), cache=None)
    with pytest.raises(UserError, match="give a cache folder"):
        finetune(opened(sided), extractor, QUICK)


def test_held_out_images_train_nothing_and_decide_nothing(
    sided: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
):
    seen: dict[str, SimpleNamespace] = {}
    prepare = module.prepare_tuning

    def noted(images, *args, **kwargs):
        prepared = prepare(images, *args, **kwargs)
        seen["one"] = SimpleNamespace(images=images, prepared=prepared)
        return prepared

    monkeypatch.setattr(module, "prepare_tuning", noted)
    found = tuned_on(sided, cache, LEARNS, hold_out=0.25)
    images, prepared = seen["one"].images, seen["one"].prepared
    held = {images.dataset.paths[row] for row in images.split.test}
    assert 15 < len(held) < 45
    assert len(prepared.examples.labels) == len(files(sided)) - len(held)
    assert found.kept
    assert set(found.held_out.paths) == held
    right = found.held_out.probabilities.argmax(1) == found.held_out.labels
    assert found.model.accuracy.method is EstimateMethod.HELD_OUT
    assert found.model.accuracy.images == len(held)
    assert found.model.accuracy.value == pytest.approx(right.mean())
    trained = {row.tobytes().hex() for row in found.model.data.digests}
    assert not trained & {images.features.digests[row] for row in images.split.test}
    # The decision is that of other images.
    assert len(found.attempt.tuned.correct) == int(prepared.validation.sum())
    assert found.attempt.tested == found.model.accuracy  # the fine-tuned network alone is kept
    asked = tuned_on(sided, cache, replace(LEARNS, keep=Keep.PROBE), hold_out=0.25)
    assert not asked.kept
    assert asked.attempt.tested.images == len(held)
    # The same training, read from its checkpoint; the closing epochs are for what is kept.
    assert asked.attempt.history == found.attempt.history[: len(asked.attempt.history)]
    forced = replace(found, attempt=replace(found.attempt, keep=Keep.TUNED))
    for result, title in (
        (found, "Fine-tuning was better"),
        (forced, "The fine-tuned network is kept, as asked"),
        (asked, "The model before fine-tuning is kept, as asked"),
    ):
        assert result.plot().get_suptitle() == title


def test_novelty_is_that_of_the_tuned_network(tuned: FineTuneResult, new: Path, cache: Path):
    novelty, probe = tuned.model.novelty, tuned.probe.model.novelty
    assert novelty is not None
    assert probe is not None
    assert novelty.detector.images == tuned.model.tuning.tuned.images  # the validation images
    assert not np.array_equal(novelty.detector.gaussians.center, probe.detector.gaussians.center)
    extractor = small_extractor(cache)
    extractor = extractor.with_backbone(tuned_backbone(tuned.model, extractor.backbone))
    found = evaluate(tuned.model, extractor, opened(new))
    assert found.unknown(0.05) <= 0.25
