"""fit --quality and --views: models that see each image in several ways."""

import pytest

from tests.cli.conftest import one_sentence
from tests.conftest import files

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
    for one in said["members"]:
        assert one["layers"]
        assert 0 <= one["accuracy"] <= 1
        assert one["cost"] > 0
    found = cli("predict", tmp_path / "model", new_photos, "--json").document
    assert len(found["predictions"]) == 12
    found = cli("evaluate", tmp_path / "model", new_photos, "--json").document
    assert found["accuracy"] > 0.8
    assert cli("info", tmp_path / "model").code == 0


def test_named_views(cli, photos, tmp_path):
    views = "efficientnet-lite0@64,efficientnet-lite0@64-whole,efficientnet-lite0@96"
    outcome = cli("fit", photos, "--views", views, "--out", tmp_path / "model")
    assert outcome.code == 0
    assert "efficientnet-lite0@64-whole" in outcome.out
    outcome = cli(
        *("explain", tmp_path / "model", files(photos)[0]),
        *("--method", "grad-cam", "--out", tmp_path / "why"),
    )
    assert (outcome.code, one_sentence(outcome)) == (2, True)
    assert "--quality fast" in outcome.err


def test_a_single_view_of_another_size(cli, photos, new_photos, tmp_path):
    model = tmp_path / "model"
    said = cli("fit", photos, "--views", "efficientnet-lite0@64", "--out", model, "--json").document
    assert [one["view"] for one in said["members"]] == ["efficientnet-lite0@64"]
    first = cli("predict", model, new_photos, "--json").document
    said = cli("fit", photos, "--out", tmp_path / "other", "--json").document
    other = cli("predict", tmp_path / "other", new_photos, "--json").document
    assert first != other


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--quality", "best", "--views", "efficientnet-lite0"), "remove one of them"),
        (("--views", "efficientnet-lite0@7"), "give 32 to 1024 pixels"),
        (("--views", "efficientnet-lite0,efficientnet-lite9"), "efficientnet-lite9"),
        (("--quality", "balanced", "--stage", "head"), "are of one view"),
        (("--quality", "great"), "great"),
    ],
)
def test_options_that_do_not_fit(cli, photos, tmp_path, options, words):
    outcome = cli("fit", photos, *options, "--out", tmp_path / "model")
    assert outcome.code == 2
    assert words in outcome.err
    assert not (tmp_path / "model").exists()
