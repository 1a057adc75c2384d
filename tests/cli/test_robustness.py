import json
from pathlib import Path

import pytest
from PIL import Image

from headstart.images.corruptions import Corruption
from tests.cli.conftest import Cli, one_sentence

pytestmark = pytest.mark.slow

QUICK = ("--images", 2, "--steps", 4)


def test_numbers_and_picture(cli: Cli, model: Path, new: Path, tmp_path: Path):
    (new / "noise" / "broken.jpg").touch()
    arguments = ["robustness", model, new, "--epsilons", "4/255,1/255", *QUICK, "--json"]
    outcome = cli(*arguments, "--out", tmp_path / "out")
    assert (outcome.code, outcome.err) == (0, "")
    said = outcome.document
    assert said["model"] == str(model)
    assert said["backbone"] == "efficientnet-lite0"
    assert said["images"] == 2
    assert [one["epsilon_255"] for one in said["attack"]] == [0, 1, 4]
    correct = [one["correct"] for one in said["attack"]]
    assert correct == sorted(correct, reverse=True)
    assert correct[-1] <= 1
    assert said["corruptions"].keys() == set(Corruption)
    assert json.loads((tmp_path / "out" / "robustness.json").read_text("utf-8")) == said
    with Image.open(tmp_path / "out" / "robustness.png") as picture:
        assert picture.width > 1000
    # Its own folder may be used again.
    again = cli("robustness", model, new, "--images", 1, "--epsilons", 0, "--out", tmp_path / "out")
    assert again.code == 0


def test_tells_people_what_it_left_out(cli: Cli, model: Path, new: Path, tmp_path: Path):
    (new / "checks" / "broken.jpg").touch()
    arguments = [
        "robustness", model, new, "--images", 100, "--steps", 1, "--epsilons", 0,
        "--out", tmp_path / "out",
    ]  # fmt: skip
    outcome = cli(*arguments)
    assert (outcome.code, outcome.err) == (0, "")
    for text in (
        "epsilon (linf)",
        "brightness",
        "images     12 of 13, sampled with seed 0",
        "skipped    1 file; all in ",
        "(empty file)",
        f"written    {tmp_path / 'out'}",
    ):
        assert text in outcome.out
    plain = cli("evaluate", model, new, "--json").document
    clean = json.loads((tmp_path / "out" / "robustness.json").read_text("utf-8"))["clean"]
    assert clean["accuracy"] == plain["accuracy"]
    assert clean["interval"] == plain["interval"]
    assert clean["images"] == plain["images"]


def test_images_of_the_training_are_refused(cli: Cli, model: Path, photos: Path, tmp_path: Path):
    outcome = cli("robustness", model, photos, "--out", tmp_path / "out")
    assert outcome.code == 2
    assert "24 were in the model's own training data" in outcome.err
    assert one_sentence(outcome)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--epsilons", "1/255,much"], "--epsilons 'much' is not a number; write 4/255 or 0.016"),
        (["--epsilons", "1/0"], "--epsilons '1/0' is not a number"),
        (["--epsilons", "-1/255"], "give a finite number, 0 or more"),
        (["--epsilons", "1/255,4"], "for 4 of 255 levels write 4/255"),
    ],
)
def test_mistakes_are_said(
    options: list[str], sentence: str, cli: Cli, model: Path, new: Path, tmp_path: Path
):
    outcome = cli("robustness", model, new, *options, "--images", 1, "--out", tmp_path / "out")
    assert outcome.code == 2
    assert sentence in outcome.err
    assert one_sentence(outcome)


def test_a_folder_of_photos_is_no_place_for_results(cli: Cli, model: Path, new: Path):
    outcome = cli("robustness", model, new, "--out", new)
    assert outcome.code == 2
    assert "is among the images in" in outcome.err
    assert one_sentence(outcome)
    assert cli("robustness", model, new, "--out", model / "model.json").code == 2


def test_unknown_names_are_said(cli: Cli, new: Path, tmp_path: Path):
    outcome = cli("robustness", "nonet", new, "--out", tmp_path / "out")
    assert outcome.code == 2
    assert one_sentence(outcome)
    assert "nonet" in outcome.err
    outcome = cli("robustness", "efficientnet-lite0", new, "--out", tmp_path / "out")
    assert outcome.code == 2
    assert "knows none of the classes of new (checks, noise, stripes)" in outcome.err
