"""Which head fine-tuning starts from, and what it refuses."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from headstart.datasets import open_dataset
from headstart.errors import DataError, UserError
from headstart.features.views import Frame, View
from headstart.finetuning import finetune as module
from headstart.finetuning.assembly import averaged_model
from headstart.finetuning.finetune import finetune
from headstart.finetuning.probe import cross_validated, probe_stages, start_of
from headstart.finetuning.settings import BatchNorm, TuningSettings
from headstart.heads.blend import BlendedHead
from headstart.heads.logistic import LogisticFamily
from headstart.models.fit_result import FitResult
from headstart.models.trained_model import Member
from tests.finetuning.networks import small_extractor, write_sided
from tests.models.trained_models import UNKNOWN, make_model

OTHER = View("tiny", 48)
DEFAULT_C = LogisticFamily.settings[LogisticFamily.default]


def probe_of(*heads: tuple[View | None, str, float]) -> FitResult:
    """A probe whose members are (view, family, weight), with settings 0, 1, 2 and so on."""
    models = [make_model(kind, seed=seed) for seed, (_, kind, _) in enumerate(heads)]
    whole = models[0]
    if len(heads) > 1:
        members = [
            Member(
                origin=replace(whole.origin, view=view and str(view), stages=(f"stage {place}",)),
                head=kind,
                weight=weight,
                accuracy=UNKNOWN,
            )
            for place, (view, kind, weight) in enumerate(heads)
        ]
        blended = BlendedHead.of(
            [one.head for one in models],
            [1.5 + place for place in range(len(heads))],
            [weight for *_, weight in heads],
        )
        whole = replace(
            whole, head=blended, origin=members[0].origin, members=tuple(members), setting=0.0
        )
    return FitResult(
        model=whole,
        images=30,
        compared_on=30,
        skipped=(),
        conflicts=(),
        held_out=None,
        seconds=0,
        feature_seconds=0,
        cached=0,
        computed=30,
        views=tuple(view for view, *_ in heads),
        settings=tuple(map(float, range(len(heads)))),
        sample=np.arange(30),
        cross_validated=None,
    )


def test_the_heaviest_logistic_head_of_the_first_view_is_trained_further():
    probe = probe_of(
        (None, "discriminant", 0.4), (None, "logistic", 0.1), (None, "logistic", 0.2),
        (OTHER, "logistic", 0.3),
    )  # fmt: skip
    start = start_of(probe)
    assert start.members == ()
    assert isinstance(probe.model.head, BlendedHead)
    assert start.head is probe.model.head.members[2]
    assert (start.setting, start.temperature) == (2.0, 3.5)
    assert start.origin.stages == ("stage 2",)


@pytest.mark.parametrize(
    "heads", [[(None, "discriminant", 0.4), (OTHER, "logistic", 0.6)], [(None, "discriminant", 1)]]
)
def test_shrinkage_is_never_taken_for_regularization(heads):
    start = start_of(probe_of(*heads))
    assert (start.setting, start.temperature) == (DEFAULT_C, 1.0)
    assert start.head.kind == "discriminant"  # whose stages are used


def test_a_single_probe_is_its_own_start():
    probe = probe_of((None, "logistic", 1.0))
    found = start_of(probe)
    assert (found.head, found.temperature) == (probe.model.head, probe.model.temperature)


@pytest.mark.parametrize("kind", ["discriminant", "knn"])
def test_models_without_a_logistic_head_are_no_start(kind):
    with pytest.raises(UserError, match=rf"{kind} head.*--head logistic"):
        probe_stages(make_model(kind), (), None)


@pytest.mark.parametrize("kind", ["discriminant", "logistic"])
def test_members_that_fit_chooses_by_default_are_a_start(kind):
    model = probe_of((None, "discriminant", 0.5), (OTHER, kind, 0.5)).model
    assert probe_stages(model, (), None) == ()
    other = probe_of((None, "knn", 0.5), (OTHER, "knn", 0.5)).model
    with pytest.raises(UserError, match="knn head"):
        probe_stages(other, (), None)


def test_one_series_a_class_is_a_mistake_that_is_named():
    with pytest.raises(DataError, match="give images of more series"):
        cross_validated(probe_of((None, "logistic", 1.0)), 30)


@pytest.fixture(scope="module")
def sided(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sided(tmp_path_factory.mktemp("sided") / "sided", 20)


@pytest.mark.parametrize("frame", [Frame.TILES, Frame.MIRRORED])
def test_views_in_parts_are_not_tuned(frame: Frame, sided: Path, tmp_path: Path):
    view = View("small", None, frame)
    plain, dataset = small_extractor(tmp_path), open_dataset(str(sided))
    with pytest.raises(UserError, match=rf"first view of the model, {view}, .*--quality fast"):
        finetune(dataset, plain.as_view(view), TuningSettings(depth=1, epochs=1))


def test_of_several_views_the_first_that_is_kept_must_be_one_input(
    sided: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    view = View("small", None, Frame.MIRRORED)
    train = module.train_probe

    def without_first(*args, **options):
        probe, images = train(*args, **options)
        return replace(probe, views=(view,)), images

    monkeypatch.setattr(module, "train_probe", without_first)
    plain, dataset = small_extractor(tmp_path), open_dataset(str(sided))
    several = plain.with_views({view: plain.backbone})
    with pytest.raises(UserError, match="small@mirrored, shows them in parts"):
        finetune(dataset, several, TuningSettings(depth=1, epochs=1))


def test_the_tuned_network_sees_images_as_the_probe_did(
    sided: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    view, seen = View("small", 48, Frame.WHOLE), []
    decide, test = module.decide, module.with_test
    monkeypatch.setattr(module, "decide", lambda *a, **o: replace(decide(*a, **o), weight=1.0))

    def noted(model, own, images):
        seen.append(own)
        return test(model, own, images)

    monkeypatch.setattr(module, "with_test", noted)
    settings = TuningSettings(
        depth=1, epochs=1, views=1, rate=1e-3, batch_norm=BatchNorm.FROZEN, validation=0.5
    )
    extractor = small_extractor(tmp_path).as_view(view)
    found = finetune(open_dataset(str(sided)), extractor, settings, stages=("top",))
    assert found.kept
    assert found.model.origin.view == str(view)
    assert [one.view for one in seen] == [view]
    assert seen[0].backbone.weights.digest == found.model.tuning.weights


def test_an_average_says_of_its_first_member_what_the_model_said():
    model = probe_of((None, "discriminant", 0.4), (None, "logistic", 0.6)).model
    tuned = replace(start_of(probe_of((None, "logistic", 1.0))), tail={}, setting=7.0)
    tuned = replace(tuned, origin=replace(model.origin, stages=("stage 1",)))
    estimated: Any = SimpleNamespace(estimate=UNKNOWN, temperature=1.0)
    decision: Any = SimpleNamespace(weight=0.5, tuned=estimated, result=estimated)
    found = averaged_model(model, tuned, decision)
    assert (found.origin, found.setting) == (model.origin, model.setting)
    assert found.members[-1].origin.stages == ("stage 1",)
    assert found.stages == ("stage 0", "stage 1", "tiny+tuned > stage 1")
