import csv
import json
import shutil
from pathlib import Path

import pytest
from jsonschema import validate
from PIL import Image
from website.json_schemas import json_schema

from headstart.heads.families import FAMILIES
from headstart.models import fit
from headstart.models.saved_model import save_model
from headstart.pages.rendering import MARK
from tests.cli.conftest import Cli, one_sentence
from tests.conftest import KINDS, files, write_photos
from tests.models.trained_models import make_model

pytestmark = pytest.mark.slow

REPORT = {
    "accuracy_by_stage.png",
    "command.txt",
    "confusion.png",
    "metrics.json",
    "predictions.csv",
    "reliability.png",
    "report.html",
}
QUICK = ("--stage", "head")


def test_json_holds_all_that_the_contract_names(cli: Cli, own: Path, tmp_path: Path):
    (own / "noise" / "broken.jpg").touch()
    outcome = cli("fit", own, "--out", tmp_path / "model", "--seed", 1, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    said = outcome.document
    assert said["backbone"] == "efficientnet-lite0"
    assert said["engine"] in ("openvino", "pytorch")
    assert said["precision"] in ("f32", "bf16")
    assert set(said["stages"]) <= set(said["accuracy_by_stage"])
    assert len(said["accuracy_by_stage"]) == 8
    for measured in said["accuracy_by_stage"].values():
        assert measured["interval"][0] <= measured["accuracy"] <= measured["interval"][1]
    assert said["images"] == 24
    assert said["skipped"] == [{"path": str(own / "noise" / "broken.jpg"), "reason": "empty file"}]
    assert said["classes"] == list(KINDS)
    assert said["interval"][0] <= said["accuracy"] <= said["interval"][1]
    assert said["accuracy"] >= 0.9
    assert said["largest_class"]["class"] == "checks"
    assert said["largest_class"]["better"] is True
    assert {one["class"] for one in said["recalls"]} == set(KINDS)
    assert said["estimate"] == "cross-validation"
    assert said["seconds"] > 0
    assert said["images_per_second"] > 0
    assert said["cached"] == 0


def test_a_person_is_told_the_same(cli: Cli, own: Path, tmp_path: Path):
    (own / "noise" / "broken.jpg").touch()
    shutil.copy(files(own / "checks")[0], own / "checks" / "copy.jpg")
    shutil.copy(files(own / "stripes")[0], own / "checks" / "conflict.jpg")
    outcome = cli("fit", own, "--out", tmp_path / "model", *QUICK)
    assert (outcome.code, outcome.err) == (0, "")
    for text in (
        "own: 23 images, 3 classes",
        "efficientnet-lite0 on ",
        "layer     head (last)",
        "cross-validated",
        "copies    1 duplicate image excluded",
        "conflicts 2 files of one image with conflicting labels excluded: ",
        "skipped   1 file; all in ",
        f"model     {tmp_path / 'model'}",
    ):
        assert text in outcome.out


def test_the_model_folder_holds_the_model_its_card_and_the_skipped_files(
    cli: Cli, own: Path, tmp_path: Path
):
    (own / "noise" / "broken.jpg").touch()
    cli("fit", own, "--out", tmp_path / "model", *QUICK)
    names = {path.name.partition("-")[0] for path in files(tmp_path / "model")}
    assert names == {
        "model.json", "README.md", "model", "skipped.csv", "training.json"
    }  # fmt: skip
    for name in ("model", "training"):
        content = (tmp_path / "model" / f"{name}.json").read_text(encoding="utf-8")
        validate(json.loads(content), json_schema(name))
    with (tmp_path / "model" / "skipped.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [
            ["path", "reason"],
            [str(own / "noise" / "broken.jpg"), "empty file"],
        ]


def test_the_same_seed_gives_the_same_files(cli: Cli, photos: Path, tmp_path: Path):
    for name in ("first", "second"):
        cli("fit", photos, "--out", tmp_path / name, "--seed", 7, *QUICK)
    first, second = (
        {path.name: path.read_bytes() for path in files(tmp_path / name)}
        for name in ("first", "second")
    )
    assert first == second


def test_a_second_fit_finds_all_features_and_replaces_the_model(
    cli: Cli, photos: Path, tmp_path: Path
):
    for cached in (0, 24):
        outcome = cli("fit", photos, "--out", tmp_path / "model", *QUICK, "--json")
        assert outcome.document["cached"] == cached
        assert (outcome.document["images_per_second"] is None) is (cached == 24)
        if not cached:
            (tmp_path / "model" / "report.html").write_text(MARK)  # about this model alone
    assert len(files(tmp_path / "model")) == 5
    assert "replaces the model of" not in outcome.err


def test_the_model_of_other_images_that_is_replaced_is_named(
    cli: Cli, photos: Path, tmp_path: Path
):
    save_model(make_model(), tmp_path / "model")
    outcome = cli("fit", photos, "--out", tmp_path / "model", *QUICK)
    assert f"replaces the model of insects (3 classes) in {tmp_path / 'model'}" in outcome.err


@pytest.mark.parametrize("head", list(FAMILIES))
def test_every_head_is_trained(head: str, cli: Cli, photos: Path, tmp_path: Path):
    outcome = cli("fit", photos, "--out", tmp_path / "model", *QUICK, "--head", head, "--json")
    assert outcome.document["head"] == head
    assert outcome.document["accuracy"] >= 0.9


def test_several_stages_stand_side_by_side(cli: Cli, photos: Path, tmp_path: Path):
    stages = ["--stage", "head", "--stage", "blocks.2", "--balance"]
    outcome = cli("fit", photos, "--out", tmp_path / "model", *stages, "--json")
    assert outcome.document["stages"] == ["blocks.2", "head"]


def test_a_report_is_written_where_asked_for(cli: Cli, photos: Path, tmp_path: Path):
    outcome = cli("fit", photos, "--out", tmp_path / "model", "--report", tmp_path / "report")
    assert outcome.code == 0
    assert "all 24 predictions are right, so there is no most_wrong.png" in outcome.err
    assert {path.name for path in files(tmp_path / "report")} == REPORT
    metrics = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert metrics["images"] == 24
    page = (tmp_path / "report" / "report.html").read_text()
    assert "of 24 images that it was not trained on" in page
    assert f"headstart fit {photos} --out {tmp_path / 'model'}" in page


def test_a_report_that_cannot_be_written_leaves_the_model(
    cli: Cli, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(*_arguments: object, **_options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("headstart.plots.report_folder.write_report", full)
    outcome = cli("fit", photos, "--out", tmp_path / "m", *QUICK, "--report", tmp_path / "report")
    assert outcome.code == 1
    assert one_sentence(outcome)
    assert f"the model is in {tmp_path / 'm'}, but its report could not be" in outcome.err
    assert (tmp_path / "m" / "model.json").exists()


def test_a_share_is_held_out_on_request(cli: Cli, photos: Path, tmp_path: Path):
    arguments = ("--out", tmp_path / "model", *QUICK, "--holdout", 0.3, "--json")
    said = cli("fit", photos, *arguments).document
    assert said["estimate"] == "held-out"
    assert said["images"] + said["tested_images"] == 24
    told = cli("fit", photos, *arguments[:-1]).out
    counts = f"{said['images']} images and {said['tested_images']} held out, 3 classes"
    assert f"photos: {counts}" in told
    assert sum(one["images"] for one in said["recalls"]) == said["tested_images"] == 6
    assert said["largest_class"]["images"] == 2
    assert "baseline  0.333 (always answering checks, 2 of 6 images)" in told


def test_classes_that_are_too_small_to_hold_out_are_said_to_be(cli: Cli, own: Path, tmp_path: Path):
    for extra in files(own / "noise")[2:]:
        extra.unlink()
    arguments = ("--out", tmp_path / "model", *QUICK, "--holdout", 0.2)
    assert "untested  noise: no test image" in cli("fit", own, *arguments).out
    shutil.rmtree(own / "stripes")
    for extra in files(own / "checks")[2:]:
        extra.unlink()
    outcome = cli("fit", own, *arguments)
    assert "--holdout 0.2 held out no image, since every class has too few; the" in outcome.err
    assert "warning: the model is not clearly better than always answering checks" in outcome.err


def test_a_split_of_the_data_is_used_and_holdout_then_changes_nothing(cli: Cli, tmp_path: Path):
    write_photos(tmp_path / "data" / "train", 5)
    write_photos(tmp_path / "data" / "test", 3, first=50)
    arguments = ("--out", tmp_path / "model", *QUICK, "--holdout", 0.3, "--json")
    outcome = cli("fit", tmp_path / "data", *arguments)
    assert outcome.document["estimate"] == "held-out"
    assert (outcome.document["images"], outcome.document["tested_images"]) == (15, 9)
    assert "warning: data has its own test images, so --holdout has no effect" in outcome.err


def test_a_class_of_one_image_is_said_to_be_untested(cli: Cli, own: Path, tmp_path: Path):
    for extra in files(own / "noise")[1:]:
        extra.unlink()
    outcome = cli("fit", own, "--out", tmp_path / "model", *QUICK)
    assert outcome.code == 0
    untested = "untested  noise: a single image cannot be used for both training and testing"
    assert untested in outcome.out


def test_a_class_of_one_series_is_said_to_be_untested(cli: Cli, own: Path, tmp_path: Path):
    for number, path in enumerate(files(own)):
        scene = 0 if path.parent.name == "noise" else number
        path.rename(path.with_name(f"scene{scene}_{path.name}"))
    outcome = cli("fit", own, "--out", tmp_path / "model", *QUICK, "--group-by", r"name:^scene\d+")
    assert outcome.code == 0
    untested = "untested  noise: a single series cannot be used for both training and testing"
    assert untested in outcome.out


def test_a_sample_that_compared_is_named(
    cli: Cli, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(fit, "_SAMPLE", 15)
    monkeypatch.setattr(fit, "_SAMPLE_PER_CLASS", 1)
    outcome = cli("fit", photos, "--out", tmp_path / "model", *QUICK)
    assert "layer     head (last), chosen on 15 of the images" in outcome.out
    said = cli("fit", photos, "--out", tmp_path / "model", *QUICK, "--json").document
    assert (said["images"], said["compared_on"]) == (24, 15)


def test_an_accuracy_that_cannot_be_known_is_said_to_be_unknown(cli: Cli, tmp_path: Path):
    write_photos(tmp_path / "few", 1)
    arguments = ("fit", tmp_path / "few", "--out", tmp_path / "model")
    said = cli(*arguments, "--json")
    assert said.err == ""
    assert (said.document["accuracy"], said.document["interval"]) == (None, None)
    assert said.document["estimate"] == "unknown"
    outcome = cli(*arguments, "--report", tmp_path / "report")
    assert "accuracy  unknown" in outcome.out
    assert "no report is written to" in outcome.err


class TestRefusal:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["digitz"], "did you mean 'digits'?"),
            (["nowhere/at-all"], "no file or folder"),
            (["PHOTOS", "--backbone", "resnet5"], "did you mean torchvision:resnet50"),
            (["PHOTOS", "--backbone", "efficientnet-lite9"], "did you mean efficientnet-lite"),
            (["PHOTOS", "--stage", "deep"], "its stages are blocks.0, blocks.1"),
            (["PHOTOS", "--weights", "absent.pth"], "no weights file at absent.pth"),
            (["EMPTY"], ""),
            (["ONE"], "class"),
        ],
    )
    def test_is_one_sentence_that_says_what_to_do(
        self, arguments: list[str], message: str, cli: Cli, photos: Path, tmp_path: Path
    ):
        (tmp_path / "empty").mkdir()
        write_photos(tmp_path / "one", 2, kinds=("noise",))
        places = {"PHOTOS": photos, "EMPTY": tmp_path / "empty", "ONE": tmp_path / "one"}
        words = [str(places.get(word, word)) for word in arguments]
        outcome = cli("fit", *words, "--out", tmp_path / "model")
        assert outcome.code == 2
        assert one_sentence(outcome)
        assert message in outcome.err
        assert not (tmp_path / "model").exists()

    @pytest.mark.parametrize(
        "arguments",
        [
            [],
            ["DATA"],
            ["DATA", "--out"],
            ["DATA", "--out", "m", "--head", "forest"],
            ["DATA", "--out", "m", "--holdout", "2"],
            ["DATA", "--out", "m", "--nonsense"],
            ["DATA", "--out", "m", "--report", __file__],
        ],
    )
    def test_of_wrong_options_names_the_help(self, arguments: list[str], cli: Cli):
        outcome = cli("fit", *arguments)
        assert outcome.code == 2
        assert one_sentence(outcome)
        assert outcome.err.endswith("--help')\n")

    def test_of_a_folder_with_other_files_comes_before_any_work(
        self, cli: Cli, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "thesis.txt").write_text("precious")
        monkeypatch.setattr("headstart.datasets.open_dataset", lambda *a, **k: pytest.fail("work"))
        outcome = cli("fit", photos, "--out", tmp_path / "mine")
        assert outcome.code == 2
        assert one_sentence(outcome)
        assert "choose a new folder" in outcome.err
        assert [path.name for path in files(tmp_path / "mine")] == ["thesis.txt"]
        assert cli("fit", photos, "--out", tmp_path / "mine" / "thesis.txt").code == 2


def test_nested_folders_are_named_and_can_be_taken_by_their_first_or_last_part(
    cli: Cli, own: Path, tmp_path: Path
):
    for folder in list(own.iterdir()):
        for place in ("north", "south"):
            (folder / place).mkdir()
        for number, path in enumerate(files(folder)):
            path.rename(folder / ("north", "south")[number % 2] / path.name)
    outcome = cli("fit", own, "--out", tmp_path / "path", *QUICK)
    assert "--classes-from first" in outcome.err
    for level, names in (
        ("path", 6),
        ("first", ["checks", "noise", "stripes"]),
        ("last", ["north", "south"]),
    ):
        found = cli(
            "fit", own, "--out", tmp_path / level, "--classes-from", level, "--json", *QUICK
        ).document["classes"]
        assert found == names or len(found) == names


def test_a_report_does_not_go_among_photos(cli: Cli, own: Path, tmp_path: Path):
    before = files(own)
    outcome = cli("fit", own, "--out", tmp_path / "model", "--report", own)
    assert outcome.code == 2
    assert f"{own} is among the images in {own}" in outcome.err
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "photo.jpg").touch()
    outcome = cli("fit", own, "--out", tmp_path / "model", "--report", tmp_path / "mine")
    assert outcome.code == 2
    assert "contains other files; choose a new folder" in outcome.err
    assert files(own) == before
    assert not (tmp_path / "model").exists()


def test_nothing_is_written_among_the_images(cli: Cli, own: Path, tmp_path: Path):
    within = own / "results"
    for arguments in (
        ["fit", own, "--out", tmp_path / "model", "--report"],
        ["finetune", own, "--out"],
        ["transfer", own, "--out"],
    ):
        outcome = cli(*arguments, within)
        assert outcome.code == 2
        assert f"{within} is among the images in {own}; choose a folder outside" in outcome.err
        assert not within.exists()


def test_a_class_that_is_lost_is_named(cli: Cli, own: Path, tmp_path: Path):
    (own / "lost").mkdir()
    (own / "lost" / "1.jpg").write_bytes(b"\xff\xd8\xff no picture")
    outcome = cli("fit", own, "--out", tmp_path / "model")
    assert outcome.code == 0
    assert "1 class has no usable training image: lost" in outcome.err


def test_the_same_pixels_in_other_bytes_count_once(cli: Cli, own: Path, tmp_path: Path):
    original = files(own / "checks")[0]
    with Image.open(original) as image:
        image.save(own / "checks" / "copy.png")
        image.save(own / "checks" / "copy.bmp")
    outcome = cli("fit", own, "--out", tmp_path / "model", "--json", *QUICK)
    assert outcome.document["duplicates"] == 2
    seen = cli("evaluate", tmp_path / "model", own, "--json")
    assert seen.code == 2
    assert "no image to test with" in seen.err


def test_auto_stands_alone(cli: Cli, tmp_path: Path):
    arguments = ("fit", "nowhere", "--out", tmp_path / "model", "--stage", "auto")
    outcome = cli(*arguments, "--stage", "blocks.4")
    assert (outcome.code, one_sentence(outcome)) == (2, True)
    assert "--stage auto cannot be combined with --stage blocks.4" in outcome.err
