"""headstart finetune on models of several members."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from headstart.finetuning import finetune as module
from headstart.finetuning.decision import Decision, averaged
from tests.cli.conftest import Cli

pytestmark = pytest.mark.slow

VIEWS = "efficientnet-lite0@64,efficientnet-lite0@96"
TINY = ("--depth", 1, "--epochs", 1, "--views", 2, "--validation", 0.5, "--precision", "f32")


def test_a_model_of_several_views_gains_a_fine_tuned_member(
    cli: Cli, photos: Path, new_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    model, out = tmp_path / "model", tmp_path / "tuned"
    fitted = cli("fit", photos, "--views", VIEWS, "--out", model, "--json")
    before = [one["view"] for one in fitted.document["members"]]
    assert len(before) == 2
    decide = module.decide

    def equal(*args, **options) -> Decision:
        found = decide(*args, **options)
        result = averaged(found.start, found.tuned, 0.5, args[0].examples.labels[args[3]])
        return replace(found, weight=0.5, result=result)

    monkeypatch.setattr(module, "decide", equal)
    outcome = cli("finetune", model, "--out", out, *TINY, "--json")
    assert outcome.code == 0, outcome.err
    said = outcome.document
    assert (said["kept"], said["weight"]) == (True, 0.5)
    names = [one["view"] for one in said["members"]]
    assert names == [*before, f"{before[0]}+tuned"]
    assert "counts 50%" in said["verdict"]["sentence"]
    assert said["validation"]["result"]["images"] == said["validation"]["start"]["images"]
    found = cli("predict", out, new_photos, "--json").document
    assert len(found["predictions"]) == 12
    assert (
        found["predictions"] != cli("predict", model, new_photos, "--json").document["predictions"]
    )
    assert cli("evaluate", out, new_photos, "--json").document["accuracy"] > 0.8
    assert f"{before[0]}+tuned" in cli("info", out).out
    again = cli("finetune", out, "--out", tmp_path / "again", *TINY)
    assert (again.code, "already fine-tuned" in again.err) == (2, True)
    manifest = json.loads((out / "model.json").read_text())
    manifest["tuning"] = None
    (out / "model.json").write_text(json.dumps(manifest))
    damaged = cli("predict", out, new_photos)
    assert (damaged.code, "damaged" in damaged.err) == (2, True)


def test_fine_tuned_views_are_not_for_fit(cli: Cli, photos: Path, tmp_path: Path):
    outcome = cli("fit", photos, "--views", "efficientnet-lite0+tuned", "--out", tmp_path / "m")
    assert outcome.code == 2
    assert "headstart finetune" in outcome.err
