import csv
import inspect
import json
import re
import shutil
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from headstart.cli import finetune as finetune_verb
from headstart.cli.app import run
from headstart.cli.finetune import finetune
from headstart.cli.fit import CURVES, HISTORY
from headstart.cli.parameters import with_options
from headstart.exporting import check_images
from headstart.finetuning import finetune as module
from headstart.finetuning.checkpoint import Epoch, Phase, no_steps
from headstart.finetuning.decision import Decision
from headstart.finetuning.settings import TuningSettings
from tests.cli.conftest import Cli, one_sentence
from tests.conftest import write_photos
from tests.models.saved_models import contents

pytestmark = pytest.mark.slow

TINY = ("--depth", 1, "--epochs", 2, "--views", 2, "--validation", 0.5, "--precision", "f32")
WORSE = (*TINY, "--rate", 10, "--no-interpolate")


@pytest.fixture(scope="module")
def begun(model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A copy of a fitted model, and the cache that knows its images."""
    root = tmp_path_factory.mktemp("begun")
    shutil.copytree(model.parent / "cache", root / "cache")
    return Path(shutil.copytree(model, root / "model")), root / "cache"


@pytest.fixture(scope="module")
def tuned(begun: tuple[Path, Path]) -> Path:
    """A fine-tuned model, kept whatever the few images say: others check the decision."""
    model, cache = begun
    folder = cache.parent / "tuned"
    arguments = ["finetune", model, "--out", folder, "--cache", cache, *TINY, "--rate", 1e-3]
    with pytest.MonkeyPatch.context() as patch:
        decide = module.decide

        def whole(found: Decision) -> Decision:
            return replace(found, weight=1.0, result=found.tuned)

        patch.setattr(module, "decide", lambda *a, **k: whole(decide(*a, **k)))
        assert run([str(one) for one in arguments]) == 0
    assert json.loads((folder / "model.json").read_text())["tuning"] is not None
    return folder


def test_its_result_is_exported(cli: Cli, tuned: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(check_images, "_ODD", {"1 pixel high": (300, 1)})
    cache, out = tuned.parent / "cache", tmp_path / "model.onnx"
    outcome = cli("export", tuned, "--out", out, "--cache", cache, "--check", 4, "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.document["check"]["largest_difference"] < 0.01


def test_json_is_one_document(cli: Cli, begun, tmp_path: Path):
    model, cache = begun
    outcome = cli("finetune", model, "--out", tmp_path / "m", "--cache", cache, *TINY, "--json")
    assert outcome.code == 0
    said = outcome.document
    assert said.keys() == {
        "backbone", "engine", "precision", "stages", "kept", "depth", "cut", "parameters",
        "share", "temperature", "result", "probe", "validation", "augmentation", "history",
        "images", "classes", "skipped", "duplicates", "conflicts", "seconds", "verdict", "series",
        "accuracy_same_scenes", "shared_scenes", "novelty", "review", "weight", "members",
        "keep", "test", "head", "setting", "accuracy_by_stage", "compared_on", "accuracy",
        "interval", "estimate", "tested_images", "largest_class", "recalls", "cached",
        "images_per_second",
    }  # fmt: skip
    as_of_fit = {"accuracy": "accuracy", "interval": "interval", "estimate": "estimate"}
    as_of_fit["images"] = "tested_images"
    assert said["result"] == {key: said[name] for key, name in as_of_fit.items()}
    assert said["verdict"]["sentence"].startswith("Fine-tuning was ")
    assert (said["backbone"], said["depth"], said["images"]) == ("efficientnet-lite0", 1, 24)
    for one in (*said["validation"].values(), said["result"], said["probe"]):
        assert one["interval"][0] <= one["accuracy"] <= one["interval"][1]
        assert one["images"] > 0
    assert said["augmentation"]["images"] == said["validation"]["probe"]["images"]
    text = (tmp_path / "m" / HISTORY).read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    assert [int(row["epoch"]) for row in rows] == [row["epoch"] for row in said["history"]]
    assert float(rows[0]["loss"]) == pytest.approx(said["history"][0]["loss"])
    assert (tmp_path / "m" / CURVES).read_bytes().startswith(b"\x89PNG")
    # Epochs are said as they end, and nowhere but on stderr.
    said = re.findall(r"^headstart: (?:closing )?epoch (\d)( of 2)?, ", outcome.err, re.M)
    assert [number for number, _ in said] == [row["epoch"] for row in rows]
    assert [" of 2" if row["phase"] == "search" else "" for row in rows] == [of for _, of in said]


def test_a_closing_epoch_and_a_run_that_continues_are_named() -> None:
    epoch = Epoch(
        phase=Phase.CLOSING,
        epoch=4,
        rate=0.1,
        loss=0.5,
        accuracy=0.75,
        validation_loss=None,
        validation_accuracy=None,
        seconds=2.0,
    )
    text = finetune_verb._epoch_text(epoch, 4)
    assert text == "closing epoch 4, on all images: loss 0.500, accuracy 0.750; 2.0 s"
    for first, notes in ((1, []), (2, ["continues at epoch 2, after those of an earlier run"])):
        said: list[str] = []
        steps = finetune_verb._continued(no_steps, said.append)
        for number in (first, 3):
            steps(number, 3, 0, 10)
        assert said == notes


def test_the_same_seed_gives_the_same_folder_but_for_the_seconds(cli: Cli, begun, tmp_path: Path):
    model, cache = begun
    folders = []
    for name in ("one", "two"):
        own = Path(shutil.copytree(cache, tmp_path / f"cache {name}"))
        assert cli("finetune", model, "--out", tmp_path / name, "--cache", own, *TINY).code == 0
        content = contents(tmp_path / name)
        content[HISTORY] = re.sub(rb",[0-9.e-]+\r?\n", b"\n", content[HISTORY])
        folders.append(content)
    assert folders[0] == folders[1]


def test_where_the_probe_is_better_it_is_kept_and_that_is_said(cli: Cli, begun, tmp_path: Path):
    model, cache = begun
    report = tmp_path / "report"
    arguments = ("--out", tmp_path / "m", "--report", report, "--cache", cache, *WORSE)
    outcome = cli("finetune", model, *arguments)
    assert outcome.code == 0, outcome.err
    page = (report / "report.html").read_text()
    for text in ("Fine-tuning</h2>", "images that it was not trained on", f"--report {report}"):
        assert text in page
    assert "Fine-tuning was not clearly better, so the model stays as it was" in outcome.out
    kept, begun_with = (
        json.loads((folder / "model.json").read_text()) for folder in (tmp_path / "m", model)
    )
    assert kept["tuning"] is None
    assert kept["accuracy_by_stage"] == begun_with["accuracy_by_stage"]
    assert len(kept["accuracy_by_stage"]) > 1
    assert (tmp_path / "m" / CURVES).is_file()
    # Nothing is trained now: what was drawn before would be about another run.
    probe = cli("finetune", model, "--out", tmp_path / "m", "--cache", cache, "--depth", 0)
    assert probe.code == 0
    assert "Only the head was trained" in probe.out
    assert not (tmp_path / "m" / CURVES).exists()
    assert not (tmp_path / "m" / HISTORY).exists()


def test_without_held_out_images_there_is_no_report(tmp_path: Path, capsys):
    finetune_verb._write_report(SimpleNamespace(held_out=None), tmp_path / "r", tmp_path / "m")
    assert "no image was held out" in capsys.readouterr().err
    assert not (tmp_path / "r").exists()


def test_a_training_that_diverged_is_still_one_document(cli: Cli, begun, tmp_path: Path):
    model, cache = begun
    lost = (*WORSE, "--optimizer", "sgd", "--clip", 1e6, "--warm-up", 0, "--batch", 4)
    outcome = cli("finetune", model, "--out", tmp_path / "m", "--cache", cache, *lost, "--json")
    assert outcome.code == 0
    assert outcome.document["kept"] is False


def test_a_tuned_model_works_with_every_other_command(
    cli: Cli, tuned: Path, new_photos: Path, cat: Path, tmp_path: Path
):
    assert cli("info", tuned).code == 0
    outcome = cli("evaluate", tuned, new_photos, "--json")
    assert outcome.code == 0
    assert outcome.document["accuracy"] > 0.5
    assert cli("predict", tuned, cat, "--json").code == 0
    explained = cli("explain", tuned, cat, "--method", "grad-cam",
                    "--out", tmp_path / "explained")  # fmt: skip
    assert (explained.code, explained.err) == (0, "")
    attack = ("attack", cat, "--model", tuned, "--steps", 5)
    attacked = cli(*attack, "--out", tmp_path / "attacked.png")
    assert attacked.code in (0, 1), attacked.err  # an attack may fail
    seen = cli("features", cat, "--model", tuned, "--stage", "head", "--out", tmp_path / "seen")
    assert seen.code == 0
    again = cli("finetune", tuned, new_photos, "--out", tmp_path / "again")
    assert again.code == 2
    assert "already fine-tuned" in again.err


def test_a_damaged_tail_is_refused(cli: Cli, tuned: Path, cat: Path, tmp_path: Path):
    own = Path(shutil.copytree(tuned, tmp_path / "own"))
    manifest = json.loads((own / "model.json").read_text())
    manifest["tuning"]["weights"] = "0" * 32
    (own / "model.json").write_text(json.dumps(manifest))
    outcome = cli("predict", own, cat)
    assert outcome.code == 2
    assert "damaged" in outcome.err


def test_a_head_on_the_networks_outputs_fits_and_predicts(
    cli: Cli, photos: Path, cat: Path, tmp_path: Path
):
    outcome = cli("fit", photos, "--stage", "logits", "--out", tmp_path / "m", "--json")
    assert outcome.code == 0
    assert outcome.document["stages"] == ["logits"]
    assert outcome.document["accuracy"] > 0.8
    assert cli("predict", tmp_path / "m", cat).code == 0
    explained = cli("explain", tmp_path / "m", cat, "--method", "grad-cam",
                    "--out", tmp_path / "explained")  # fmt: skip
    assert explained.code == 0


def test_images_that_are_not_known_are_asked_for(cli: Cli, model: Path, tmp_path: Path):
    outcome = cli("finetune", model, "--out", tmp_path / "m")
    assert outcome.code == 2
    assert one_sentence(outcome)
    assert f"headstart finetune {model} DATA --out" in outcome.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--depth", "deep"), "--depth is 'deep'; give a number of stages, or auto"),
        (("--depth", "-1"), "--depth is '-1'"),
        (("--depth", "2", "--recipe", "full"), "give only one"),
        (("--rate", "0"), "must be at least"),
        (("--depth", "99", "--validation", "0.5"), "depth is 99, but only"),
        (("--rate", "nan"), "must be at most 10"),
        (("--balance",), "remove --balance"),
        (("--label-column", "kind"), "remove --image-column, --label-column"),
        (("--backbone", "efficientnet-lite0"), "remove --backbone"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    options, said: str, cli: Cli, begun, tmp_path: Path
):
    model, cache = begun
    outcome = cli("finetune", model, "--out", tmp_path / "m", "--cache", cache, *options)
    assert outcome.code == 2
    assert said in outcome.err
    assert not (tmp_path / "m").exists()


def test_a_folder_of_other_things_is_not_written_to(cli: Cli, begun, tmp_path: Path):
    (tmp_path / "photo.jpg").touch()
    outcome = cli("finetune", begun[0], "--out", tmp_path, "--cache", begun[1])
    assert outcome.code != 0
    assert "contains files but no model" in outcome.err


def test_the_model_to_start_from_is_not_written_over(cli: Cli, begun):
    model, cache = begun
    outcome = cli("finetune", model, "--out", model, "--cache", cache, *TINY)
    assert outcome.code == 2
    assert "choose another folder" in outcome.err
    assert json.loads((model / "model.json").read_text())["tuning"] is None


def test_a_file_on_the_way_is_found_before_the_work(cli: Cli, begun, tmp_path: Path):
    (tmp_path / "file").touch()
    outcome = cli("finetune", begun[0], "--out", tmp_path / "file" / "m", "--cache", begun[1])
    assert outcome.code == 2
    assert f"{tmp_path / 'file'} is a file" in outcome.err
    assert "epoch" not in outcome.err


def test_images_that_have_moved_are_asked_for(cli: Cli, tmp_path: Path):
    photos, cache = write_photos(tmp_path / "photos", 12), tmp_path / "cache"
    quick = ("--stage", "head", "--cache", cache)
    assert cli("fit", photos, "--out", tmp_path / "m", *quick).code == 0
    photos.rename(tmp_path / "elsewhere")
    outcome = cli("finetune", tmp_path / "m", "--out", tmp_path / "n", "--cache", cache)
    assert outcome.code == 2
    assert f"no longer at {photos}" in outcome.err


def test_a_fit_leaves_nothing_of_a_fine_tuning_before(cli: Cli, photos: Path, tmp_path: Path):
    out = tmp_path / "m"
    assert cli("fit", photos, "--out", out, "--stage", "head").code == 0
    for name in (CURVES, HISTORY):
        (out / name).touch()
    assert cli("fit", photos, "--out", out, "--stage", "head").code == 0
    assert not (out / CURVES).exists()
    assert not (out / HISTORY).exists()


def test_every_setting_is_an_option_with_the_same_default():
    options = inspect.signature(with_options(finetune)).parameters
    for setting in fields(TuningSettings):
        if setting.name not in ("depth", "seed"):
            assert options[setting.name].default == setting.default, setting.name


def test_holdout_changes_nothing_if_there_is_a_test_part(cli: Cli, tmp_path: Path):
    write_photos(tmp_path / "data" / "train", 5)
    write_photos(tmp_path / "data" / "test", 3, first=50)
    arguments = ("--recipe", "probe", "--holdout", 0.3, "--precision", "f32")
    done = cli("finetune", tmp_path / "data", "--out", tmp_path / "model", *arguments)
    assert done.code == 0
    assert "warning: data has its own test images, so --holdout has no effect" in done.err


def test_images_of_other_classes_are_not_the_models(cli: Cli, begun, tmp_path: Path):
    model, cache = begun
    others = write_photos(tmp_path / "others", 12, kinds=("checks", "noise"))
    quick = ("--cache", cache, "--validation", 0.5)
    outcome = cli("finetune", model, others, "--out", tmp_path / "m", *quick)
    assert outcome.code == 2
    assert "the images that it was trained on" in outcome.err
