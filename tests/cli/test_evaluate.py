import csv
import json
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from headstart import plots
from headstart.datasets import open_dataset
from headstart.plots import report_folder
from tests.cli.conftest import Cli, one_sentence
from tests.conftest import KINDS, files, write_photos

pytestmark = pytest.mark.slow
HEAD = ("--stage", "head")
"""Makes fits faster, where it does not matter on which stages."""

KEYS = {
    "accuracy",
    "interval",
    "top5",
    "balanced_accuracy",
    "nll",
    "ece",
    "per_class",
    "confusion",
    "images",
    "skipped",
    "unknown",
    "largest_class",
    "recalls",
}
PICTURES = ("accuracy_by_stage", "confusion", "reliability")


def test_json_holds_all_that_the_contract_names(cli: Cli, model: Path, new: Path):
    (new / "noise" / "broken.jpg").touch()
    outcome = cli("evaluate", model, new, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    said = outcome.document
    assert said.keys() >= KEYS
    assert said["accuracy"] >= 0.9
    assert said["interval"][0] <= said["accuracy"] <= said["interval"][1]
    assert said["top5"] is None
    assert 0 <= said["unknown"] <= 0.3
    assert said["images"] == sum(map(sum, said["confusion"])) == 12
    assert said["per_class"].keys() == set(KINDS)
    for score in said["per_class"].values():
        assert score.keys() == {"precision", "recall", "f1", "support"}
    assert said["skipped"] == [{"path": str(new / "noise" / "broken.jpg"), "reason": "empty file"}]
    assert said["largest_class"]["class"] == "checks"
    assert said["largest_class"]["accuracy"] == pytest.approx(1 / 3)
    assert said["largest_class"]["better"] is True
    assert sum(one["correct"] for one in said["recalls"]) == said["accuracy"] * 12


def test_a_person_is_told_the_same(cli: Cli, model: Path, new: Path, photos: Path):
    shutil.copy(files(photos / "noise")[0], new / "noise" / "seen.jpg")
    (new / "noise" / "broken.jpg").touch()
    (new / "checks").rename(new / "strange")
    outcome = cli("evaluate", model, new)
    assert outcome.code == 0
    for text in (
        "accuracy           0.667 (95% interval",
        "baseline           0.333 (always answering noise, 4 of 12 images)",
        "recall             1.000 for each of 2 classes",
        "unknown classes    4 images count as wrong, of 1 class that the model does not know: stra",
        "strange (4); on the others the accuracy is 1.000",
        "missing classes    1 class has no image: checks",
        "balanced accuracy",
        "calibration error",
        "excluded           1 image that the model was trained on",
        "skipped            ",
    ):
        assert text in outcome.out


def test_a_model_that_is_worse_than_one_answer_is_said_to_be(cli: Cli, model: Path, new: Path):
    for kind, other in zip(KINDS, (*KINDS[1:], KINDS[0]), strict=True):
        (new / kind).rename(new / f"was-{other}")
    for kind in KINDS:
        (new / f"was-{kind}").rename(new / kind)
    for path in files(new):  # far larger than what the network sees
        with Image.open(path) as image:
            image.resize((900, 800)).save(path)
    outcome = cli("evaluate", model, new)
    assert outcome.code == 0
    assert "warning: the model is worse than always answering checks, which" in outcome.err
    assert "the images have 900 x 800 pixels, and the network sees 224 x 224; if" in outcome.err
    assert "train again with --quality best, or the quicker --views" in outcome.err
    assert "recall             checks   0.000 (0.000 to 0.490, 0 of 4)\n" in outcome.out


def test_out_gets_the_numbers_the_predictions_and_the_pictures(
    cli: Cli, model: Path, new: Path, tmp_path: Path
):
    (new / "noise" / "broken.jpg").touch()
    outcome = cli("evaluate", model, new, "--out", tmp_path / "report", "--json")
    assert {path.name for path in files(tmp_path / "report")} == {
        "command.txt",
        "metrics.json",
        "predictions.csv",
        "report.html",
        "skipped.csv",
        *(f"{name}.png" for name in PICTURES),
    }
    assert "all 12 predictions are right, so there is no most_wrong.png" in outcome.err
    stale = tmp_path / "report" / "most_wrong.png"  # of an earlier run, in which some were wrong
    stale.touch()
    outcome = cli("evaluate", model, new, "--out", tmp_path / "report", "--json")
    assert not stale.exists()
    assert json.loads((tmp_path / "report" / "metrics.json").read_text()) == outcome.document
    with (tmp_path / "report" / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12
    for row in rows:
        assert row["truth"] == Path(row["path"]).parent.name
        assert row["correct"] == str(row["truth"] == row["predicted"])
    for name in PICTURES:
        with Image.open(tmp_path / "report" / f"{name}.png") as picture:
            assert picture.size[0] > 300


def test_the_picture_of_the_stages_marks_those_that_the_head_grows_on(
    cli: Cli, model: Path, new: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    marked: list[str] = []
    draw = plots.accuracy_by_stage

    def spy(accuracies, chosen, **more):
        marked.extend(stage for stage in accuracies if stage in chosen)
        return draw(accuracies, chosen, **more)

    monkeypatch.setattr(report_folder.plots, "accuracy_by_stage", spy)
    cli("evaluate", model, new, "--out", tmp_path / "report")
    stages = json.loads((model / "model.json").read_text())["origin"]["stages"]
    assert marked == stages


def test_coverage_of_sets_is_measured(cli: Cli, model: Path, new: Path):
    assert cli("evaluate", model, new, "--json").document["coverage"] is None
    found = cli("evaluate", model, new, "--coverage", 0.9, "--json").document["coverage"]
    assert found.keys() == {"target", "value", "interval", "images", "mean_set_size", "by_class"}
    assert (found["target"], found["images"], found["by_class"]) == (0.9, 12, {})
    assert found["interval"][0] <= found["value"] <= found["interval"][1]
    assert 1 <= found["mean_set_size"] <= 3
    options = ("--coverage", 0.8, "--coverage-by-class")
    by_class = cli("evaluate", model, new, *options, "--json").document["coverage"]["by_class"]
    assert by_class.keys() == set(KINDS)
    assert {one["images"] for one in by_class.values()} == {4}
    text = cli("evaluate", model, new, *options).out
    assert "coverage           " in text
    assert "12 images, 0.8 asked for), " in text
    assert "checks: " in text


def test_one_class_can_be_tested(cli: Cli, model: Path, new: Path, tmp_path: Path):
    for kind in ("checks", "noise"):
        shutil.rmtree(new / kind)
    outcome = cli("evaluate", model, new, "--out", tmp_path / "report", "--json")
    assert outcome.code == 0
    assert outcome.document["images"] == 4


def test_the_test_part_of_split_data_is_taken(cli: Cli, model: Path, new: Path, tmp_path: Path):
    (tmp_path / "data").mkdir()
    new.rename(tmp_path / "data" / "test")
    shutil.copytree(tmp_path / "data" / "test" / "noise", tmp_path / "data" / "train" / "checks")
    assert cli("evaluate", model, tmp_path / "data", "--json").document["images"] == 12


@pytest.mark.parametrize("what", ["seen", "no model", "no data", "unknown classes"])
def test_what_cannot_be_tested_is_refused_in_a_sentence(
    what: str, cli: Cli, model: Path, photos: Path, new: Path, tmp_path: Path
):
    if what == "unknown classes":
        for kind in KINDS:
            (new / kind).rename(new / f"other-{kind}")
    arguments = {
        "seen": (model, photos),
        "no model": (photos, new),
        "no data": (model, tmp_path / "absent"),
        "unknown classes": (model, new),
    }[what]
    outcome = cli("evaluate", *arguments)
    assert outcome.code == 2
    assert one_sentence(outcome)


def test_a_file_for_out_is_refused_before_any_work(cli: Cli, model: Path, new: Path):
    outcome = cli("evaluate", model, new, "--out", __file__)
    assert outcome.code == 2
    assert "invalid value for '--out'" in outcome.err


def test_other_weights_are_refused(cli: Cli, model: Path, new: Path, tmp_path: Path):
    changed = tmp_path / "changed"
    shutil.copytree(model, changed)
    manifest = json.loads((changed / "model.json").read_text())
    manifest["origin"]["weights"] = "f" * 32
    (changed / "model.json").write_text(json.dumps(manifest))
    outcome = cli("evaluate", changed, new)
    assert outcome.code == 2
    assert one_sentence(outcome)
    assert "--weights FILE" in outcome.err


def test_the_share_that_is_called_unknown_is_said(cli: Cli, model: Path, new: Path):
    share = cli("evaluate", model, new, "--json").document["unknown"]
    told = cli("evaluate", model, new).out
    assert f"called unknown     {share:.1%} of the images; 5.0% expected" in told
    assert cli("evaluate", model, new, "--unknown", "off", "--json").document["unknown"] is None
    assert "called unknown" not in cli("evaluate", model, new, "--unknown", "off").out


def test_tells_which_test_images_show_scenes_of_the_training_images(cli: Cli, tmp_path: Path):
    photos = tmp_path / "data"
    write_photos(photos / "train", 8)
    write_photos(photos / "test", 8, first=20)
    for part, scene in (("train", 1), ("test", 2)):
        for path in files(photos / part):
            path.rename(path.with_name(f"scene{scene}{path.stem}_{path.name}"))
    for folder in (photos / "test").iterdir():  # one photo per class is of a training scene
        first = files(folder)[0]
        first.rename(first.with_name(f"scene1000_{first.name}"))
    grouping = ("--group-by", r"name:^scene\d+")
    fitted = cli("fit", photos, "--out", tmp_path / "model", "--stage", "head", *grouping, "--json")
    assert fitted.document["tested_images"] == 21
    outcome = cli("evaluate", tmp_path / "model", photos, *grouping, "--json")
    found = outcome.document
    assert (found["images"], found["shared_scenes"]) == (24, 3)
    assert found["accuracy_new_scenes"] is not None
    assert found["interval_new_scenes"][0] <= found["accuracy_new_scenes"]
    text = cli("evaluate", tmp_path / "model", photos, *grouping).out
    assert "3 test images show the same scene as a training image; on the 21 others" in text
    other = write_photos(tmp_path / "other", 4, first=40)
    found = cli("evaluate", tmp_path / "model", other, "--json").document
    assert found["shared_scenes"] is None


def test_names_of_any_spelling_are_the_same_classes_everywhere(cli: Cli, tmp_path: Path):
    """Accents as macOS writes them, line breaks, bytes that are not text, the longest names."""
    new = os.fsdecode(b"b\xff")
    spelled = {"checks": "caf\u00e9\nx", "noise": "n" * 248, "stripes": new}
    for part, first in (("train", 0), ("test", 50)):
        write_photos(tmp_path / part, 6, first=first)
        for kind, name in spelled.items():
            (tmp_path / part / kind).rename(tmp_path / part / name)
    decomposed = "cafe\u0301\nx"
    (tmp_path / "test" / spelled["checks"]).rename(tmp_path / "test" / decomposed)
    fitted = cli("fit", tmp_path / "train", *HEAD, "--out", tmp_path / "model", "--json")
    assert fitted.document["classes"] == [r"b\udcff", "caf\u00e9\nx", "n" * 248]
    tested = cli("evaluate", tmp_path / "model", tmp_path / "test", "--out", tmp_path / "report")
    assert tested.code == 0
    assert "warning" not in tested.err
    for name in ("metrics.json", "predictions.csv", "skipped.csv"):
        (tmp_path / "report" / name).read_text(encoding="utf-8")
    with (tmp_path / "report" / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["path"] for row in rows} == {
        str(path).encode("utf-8", "backslashreplace").decode() for path in files(tmp_path / "test")
    }
    answers = cli("predict", tmp_path / "model", tmp_path / "test", "--json").document
    assert [one["image"] for one in answers["predictions"]] == list(
        map(str, open_dataset(tmp_path / "test").paths)
    )
    assert answers["skipped"] == []


def test_a_report_and_a_model_among_the_photos_are_no_classes(cli: Cli, own: Path, tmp_path: Path):
    fit = ("fit", own, *HEAD, "--out", own / "model")
    assert cli(*fit, "--report", tmp_path / "report").code == 0
    (tmp_path / "report").rename(own / "report")
    image = next((own / "checks").iterdir())
    assert cli("features", image, "--out", own / "features", "--stage", "head").code == 0
    again = cli(*fit, "--cache", own / "cache", "--json").document
    assert again["classes"] == list(KINDS)
    third = cli(*fit, "--cache", own / "cache", "--json").document
    assert third["images"] == again["images"] == 24
    assert {one["path"].removeprefix(f"{own}/") for one in third["skipped"]} >= {
        *("model", "report", "features", "cache/features"),
    }


def test_classes_that_differ_in_case_alone_are_named(cli: Cli, own: Path, tmp_path: Path):
    write_photos(tmp_path / "more", 2, first=70, kinds=("checks",))
    (tmp_path / "more" / "checks").rename(own / "Checks")
    done = cli("fit", own, *HEAD, "--out", tmp_path / "model")
    assert "differ only in upper and lower case or blanks: 'Checks' and 'checks';" in done.err
