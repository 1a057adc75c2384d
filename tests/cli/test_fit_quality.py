"""fit --quality and --views: models that see each image in several ways."""

import pytest

from headstart.cli import remarks
from headstart.features import cost
from headstart.features.cost_index import Cost
from headstart.models import view_trial
from tests.cli.conftest import one_sentence

pytestmark = pytest.mark.slow


def test_balanced_models_work_in_every_command(cli, photos, new_photos, tmp_path):
    outcome = cli("fit", photos, "--quality", "balanced", "--out", tmp_path / "model", "--json")
    said = outcome.document
    assert "2 views, about " in outcome.err
    assert said["quality"] == "balanced"
    assert {one["view"] for one in said["members"]} <= {
        "efficientnet-lite0",
        "efficientnet-lite0@352",
    }
    assert sum(one["weight"] for one in said["members"]) == pytest.approx(1)
    assert (said["head"], said["setting"], said["stages"]) == (None, None, None)
    assert {one["head"] for one in said["members"]} == {"logistic", "discriminant"}
    assert said["budget"] is None
    assert said["over_budget"] == []
    for one in said["members"]:
        assert one["layers"]
        assert 0 <= one["accuracy"] <= 1
        assert one["cost"] > 0
    found = cli("predict", tmp_path / "model", new_photos, "--json").document
    assert len(found["predictions"]) == 12
    found = cli("evaluate", tmp_path / "model", new_photos, "--json").document
    assert found["accuracy"] > 0.8
    said = cli("info", tmp_path / "model", "--json").document
    assert (said["head"], said["setting"]) == (None, None)


def test_named_views(cli, photos, tmp_path):
    views = "efficientnet-lite0@64,efficientnet-lite0@64-whole,efficientnet-lite0@96"
    outcome = cli("fit", photos, "--views", views, "--out", tmp_path / "model")
    assert outcome.code == 0
    assert "efficientnet-lite0@64-whole" in outcome.out


def test_looking_inside_a_model_of_several_views(cli, photos, new_photos, tmp_path, monkeypatch):
    monkeypatch.setattr(remarks, "_LONG", 0.0)
    views = ["efficientnet-lite0@64", "efficientnet-lite0@96"]
    model, image = tmp_path / "model", new_photos / "checks" / "101.png"
    said = cli("fit", photos, "--views", ",".join(views), "--out", model, "--json").document
    assert [one["view"] for one in said["members"]] == views
    arguments: tuple[object, ...] = (
        "explain",
        model,
        image,
        "--method",
        "grad-cam",
        "--out",
        tmp_path / "why",
    )
    outcome = cli(*arguments, "--json")
    said = outcome.document
    assert "the model has 2 views, so explaining 1 image takes about " in outcome.err
    assert said["views"] == views
    assert said["images"][0]["label"] == "checks"
    out = tmp_path / "a.png"
    arguments = ("attack", image, "--model", model, "--to", "noise", "--epsilon", "16/255")
    said = cli(*arguments, "--steps", 20, "--out", out, "--json").document
    assert said["views"] == views
    assert said["after"]["label"] == "noise"
    (found,) = cli("predict", model, out, "--json").document["predictions"]
    assert found["label"] == "noise"
    arguments = ("robustness", model, new_photos, "--images", 1, "--epsilons", "8/255")
    outcome = cli(*arguments, "--steps", 2, "--out", tmp_path / "r", "--json")
    said = outcome.document
    assert "2 views, so testing 1 image takes at most about " in outcome.err
    assert (said["views"], said["images"]) == (views, 1)
    arguments = ("features", image, "--model", model, "--stage", "blocks.0", "--top", 1, "--json")
    said = cli(*arguments, "--out", tmp_path / "f").document
    assert said["view"] == views[0]
    (stage,) = cli(*arguments, "--view", views[1], "--out", tmp_path / "f").document["stages"]
    assert (said["stages"][0]["height"], stage["height"]) == (32, 48)
    outcome = cli(*arguments, "--view", "other", "--out", tmp_path / "f")
    assert (outcome.code, one_sentence(outcome)) == (2, True)
    assert "there is no view 'other'; choose from efficientnet-lite0@64, " in outcome.err
    arguments = ("imagine", "--model", model, "--method", "lesson", "--steps", 1, "--json")
    said = cli(*arguments, "noise", "--out", tmp_path / "i.png").document
    assert said["views"] == views
    unit = ("--stage", "blocks.1", "--channel", 0, "--view", views[1])
    said = cli(*arguments, *unit, "--out", tmp_path / "i.png").document
    assert said["views"] == views[1:]
    outcome = cli(*arguments, "noise", "--view", views[1], "--out", tmp_path / "i.png")
    assert (outcome.code, one_sentence(outcome)) == (2, True)


def test_a_single_view_of_another_size(cli, photos, new_photos, tmp_path):
    model = tmp_path / "model"
    said = cli("fit", photos, "--views", "efficientnet-lite0@64", "--out", model, "--json").document
    assert [one["view"] for one in said["members"]] == ["efficientnet-lite0@64"]
    assert (said["head"], said["stages"]) == ("logistic", said["members"][0]["layers"])
    shown = cli("fit", photos, "--views", "efficientnet-lite0@64", "--out", model).out
    assert "\nview      efficientnet-lite0@64\n" in shown
    first = cli("predict", model, new_photos, "--json").document
    said = cli("fit", photos, "--stage", "head", "--out", tmp_path / "other", "--json").document
    other = cli("predict", tmp_path / "other", new_photos, "--json").document
    assert first != other


def test_a_budget_bounds_what_a_prediction_costs(cli, photos, new_photos, tmp_path, monkeypatch):
    views, model = "efficientnet-lite0@64,efficientnet-lite0@96", tmp_path / "model"
    fit = ("fit", photos, "--views", views, "--out", model, "--json")
    said = cli(*fit).document
    prices = {one["view"]: one["cost"] for one in said["members"]}
    assert said["cost"] == pytest.approx(sum(prices.values()))
    outcome = cli(*fit, "--budget", "0.01")
    assert (outcome.code, one_sentence(outcome)) == (2, True)
    assert "cheapest view (efficientnet-lite0@" in outcome.err
    # A busy machine does not measure the same twice.
    costs = {view: Cost(0.0, price) for view, price in prices.items()}
    monkeypatch.setattr(cost, "measure_costs", lambda *_: costs)
    said = cli(
        *fit, "--budget", f"{(max(prices.values()) + sum(prices.values())) / 2:.2f}"
    ).document
    assert len({one["view"] for one in said["members"]}) == 1
    assert said["cost"] == said["members"][0]["cost"]
    (other,) = prices.keys() - {said["members"][0]["view"]}
    assert said["over_budget"] == [{"view": other, "cost": prices[other]}]
    outcome = cli(*fit[:-1], "--budget", f"{said['budget']}")
    assert f"core-milliseconds per image; too little to add {other} (" in outcome.out
    assert "it left out no view" in cli(*fit[:-1], "--budget", "10000").out
    cli(*fit, "--budget", f"{said['budget']}")
    found = cli("predict", model, new_photos, "--json").document
    assert found["cost"] == pytest.approx(said["cost"], rel=0.5)
    assert cli("info", model, "--json").document["cost"] == found["cost"]
    assert "core-milliseconds per image" in cli("info", model).out
    assert "cost: " in cli("predict", model, new_photos).err
    empty = tmp_path / "empty"
    assert cli("info", model, "--json", "--cache", empty).document["cost"] is None
    assert "not measured on this machine" in cli("info", model, "--cache", empty).out


def test_no_further_view_of_a_large_data_set_whose_first_view_makes_no_error(
    cli, photos, tmp_path, monkeypatch
):
    monkeypatch.setattr(view_trial, "_LARGE", 20)
    monkeypatch.setattr(view_trial, "_NEGLIGIBLE", 0.5)
    model = tmp_path / "model"
    options = ("--quality", "balanced", "--budget", "10000")
    outcome = cli("fit", photos, *options, "--out", model, "--json")
    assert "2 views, at most about" in outcome.err
    assert "the first view errs on at most" in outcome.err
    assert [one["view"] for one in outcome.document["members"]] == ["efficientnet-lite0"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--quality", "best", "--views", "efficientnet-lite0"), "remove one of them"),
        (("--views", "efficientnet-lite0@7"), "give 32 to 1024 pixels"),
        (("--views", "efficientnet-lite0,efficientnet-lite9"), "efficientnet-lite9"),
        (("--views", "efficientnet-lite0-tiles"), "did you mean efficientnet-lite0@tiles?"),
        (("--views", "lite0-448-tiles"), "did you mean lite0@448-tiles?"),
        (("--views", "224-tiles"), "did you mean efficientnet-lite0@224-tiles?"),
        (("--quality", "balanced", "--stage", "head"), "are of one view"),
        (("--quality", "great"), "great"),
        (("--budget", "-1"), "-1"),
    ],
)
def test_options_that_do_not_fit(cli, photos, tmp_path, options, words):
    outcome = cli("fit", photos, *options, "--out", tmp_path / "model")
    assert outcome.code == 2
    assert words in outcome.err
    assert not (tmp_path / "model").exists()
