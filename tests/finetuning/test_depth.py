from dataclasses import replace

import pytest
from torch import nn

from headstart.backbones.cut import PIXELS
from headstart.backbones.stages import LOGITS
from headstart.errors import UserError
from headstart.finetuning.depth import MIN_DEPTH, automatic_depth, choose_cut
from headstart.finetuning.preparation import resolve_settings
from headstart.finetuning.settings import BatchNorm, TuningRecipe, TuningSettings
from headstart.models.trained_model import Model
from tests.finetuning.networks import STAGES, small_backbone, small_network
from tests.models.trained_models import estimate, make_model


def model(*stages: str) -> Model:
    made = make_model(accuracy_by_stage={"stem": estimate(20, 30), "top": estimate(25, 30)})
    return replace(made, origin=replace(made.origin, stages=stages))


def cut_point(settings: TuningSettings, *stages: str):
    found = choose_cut(small_network(), small_backbone(), stages or ("top",), settings)
    return found.stages, found.last_frozen, found.depth


@pytest.mark.parametrize(
    ("settings", "cut", "depth"),
    [
        (TuningSettings(depth=1), "middle", 1),
        (TuningSettings(depth=2), "stem", 2),
        (TuningSettings(depth=3), PIXELS, 3),
        (TuningSettings(recipe=TuningRecipe.LAST_STAGE), "middle", 1),
        (TuningSettings(recipe=TuningRecipe.FULL), PIXELS, 3),
    ],
)
def test_depths_and_recipes_say_where_to_cut(settings: TuningSettings, cut: str, depth: int):
    assert cut_point(settings) == (STAGES, cut, depth)


def test_a_depth_beyond_all_stages_is_refused():
    with pytest.raises(UserError, match="99, but only 3 stages come before the head; give 0 to 3"):
        cut_point(TuningSettings(depth=99))


def test_names_may_be_text():
    asked = TuningSettings(recipe="last-stage", batch_norm="frozen")  # type: ignore[arg-type]
    assert asked == TuningSettings(recipe=TuningRecipe.LAST_STAGE, batch_norm=BatchNorm.FROZEN)
    assert asked.recipe is TuningRecipe.LAST_STAGE
    assert asked.batch_norm is BatchNorm.FROZEN
    with pytest.raises(UserError, match="there is no keep 'best'; choose one of better, tuned"):
        TuningSettings(keep="best")  # type: ignore[arg-type]


def test_the_probe_trains_nothing():
    for settings in (TuningSettings(depth=0), TuningSettings(recipe=TuningRecipe.PROBE)):
        assert cut_point(settings)[2] == 0


def test_depth_is_counted_from_where_the_head_grows():
    assert cut_point(TuningSettings(depth=1), "stem", "middle") == (("stem", "middle"), "stem", 1)
    assert cut_point(TuningSettings(depth=2), "middle") == (("stem", "middle"), PIXELS, 2)
    assert cut_point(TuningSettings(depth=1), LOGITS) == (STAGES, "middle", 1)


def test_without_fully_connected_stages_the_classifier_is_the_textbooks_part():
    settings = TuningSettings(recipe=TuningRecipe.CLASSIFIER)
    assert cut_point(settings, LOGITS) == (STAGES, "top", 1)


def test_an_automatic_depth_trains_what_the_head_grows_on():
    stages = tuple("abcdefgh")
    assert automatic_depth(stages, ("c", "d", "h")) == 6
    for first in stages:
        assert 1 <= automatic_depth(stages, (first,)) < len(stages)
    assert automatic_depth(stages, ()) == automatic_depth(stages, ("h",)) == MIN_DEPTH


def test_batch_normalization_and_the_rate_are_as_asked_or_as_the_probe_says():
    backbone, network = small_backbone(), nn.Sequential(nn.BatchNorm2d(3))
    for kind in (BatchNorm.FROZEN, BatchNorm.UPDATED):
        asked = TuningSettings(batch_norm=kind, rate=0.25, mixed_precision=True)
        assert resolve_settings(asked, network, backbone, model("stem"), device="cpu") == asked
    fits = resolve_settings(TuningSettings(), network, backbone, model("top"), device="cpu")
    unlike = resolve_settings(
        TuningSettings(), network, backbone, model("stem", "middle"), device="cpu"
    )
    plain = resolve_settings(
        TuningSettings(), nn.Linear(2, 2), backbone, model("stem", "middle"), device="cpu"
    )
    assert plain == fits
    assert fits.batch_norm is BatchNorm.FROZEN
    assert unlike.batch_norm is BatchNorm.UPDATED
    assert fits.rate is not None
    assert unlike.rate is not None
    assert fits.rate < unlike.rate


@pytest.mark.parametrize(
    ("name", "value"),
    [("epochs", 0), ("views", 0), ("rate", float("nan")), ("rate", 0), ("dropout", 1),
     ("validation", 0), ("validation", 0.9), ("mixup", -1), ("batch", 1), ("crop", 0),
     ("depth", -1), ("warm_up", 1), ("closing", 2), ("color", 1)],
)  # fmt: skip
def test_impossible_settings_are_refused_with_their_name_and_range(name: str, value: float):
    with pytest.raises(
        UserError, match=rf"{name.replace('_', '-')} is {value}; give a number from"
    ):
        TuningSettings(**{name: value})


def test_a_recipe_and_a_depth_are_one_too_many():
    with pytest.raises(UserError, match=r"recipe full .* depth 2; give only one"):
        TuningSettings(recipe=TuningRecipe.FULL, depth=2)
