from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import Cli, one_sentence

pytestmark = pytest.mark.slow


def test_one_document_about_a_picture_that_is_read_back(cli: Cli, tmp_path: Path):
    out = tmp_path / "goldfish.png"
    arguments = ["imagine", "goldfish", "--method", "lesson", "--steps", 30, "--out", out]
    document = cli(*arguments, "--json").document
    (one,) = document["pictures"]
    assert one["class"] == document["class"] == "goldfish"
    assert one.keys() >= {"method", "backbone", "label", "seed", "steps", "seconds", "out"}
    assert {**document, **one, "seconds": 0} == {**document, "seconds": 0}
    assert (one["label"], one["out"]) == ("goldfish", str(out))
    assert one["probability"] > 0.95
    again = cli("classify", out, "--top", 1, "--json").document["predictions"][0]
    assert {key: again[key] for key in ("label", "probability")} == {
        key: one[key] for key in ("label", "probability")
    }


def test_the_same_seed_gives_the_same_files(cli: Cli, tmp_path: Path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        done = cli(
            "imagine", "teapot", "--steps", 2, "--size", 64, "--seed", seed, "--frames",
            "--out", tmp_path / f"{name}.png",
        )  # fmt: skip
        assert done.code == 0
    for ending in ("png", "webp"):
        first, same, other = ((tmp_path / f"{n}.{ending}").read_bytes() for n in "abc")
        assert first == same != other


def test_a_group_and_a_number(cli: Cli, tmp_path: Path):
    quick = ("--steps", 1, "--out", tmp_path / "a.png", "--json")
    (one,) = cli("imagine", "cat", *quick).document["pictures"]
    assert one["class"] == "cat"
    read = cli("classify", one["out"], "--top", 1, "--json").document["predictions"][0]
    assert one["label"] == read["label"]
    with Image.open(one["out"]) as picture:
        assert picture.size == (384, 384)
        assert picture.info["Title"] == "Ideal image of cat"
        said = f"{one['label']} {one['label_probability']:.3f}; any cat {one['probability']:.3f}"
        told = f"{said}, according to efficientnet-lite0; seed 0"
        assert picture.info["Description"] == told
    (one,) = cli("imagine", 340, "--method", "lesson", *quick).document["pictures"]
    assert one["class"] == "zebra"
    with Image.open(one["out"]) as picture:
        assert picture.size == (224, 224)


def test_a_sheet_of_several(cli: Cli, tmp_path: Path):
    out = tmp_path / "all.png"
    quick = ("--grid", 2, "--steps", 1, "--size", 64)
    done = cli("imagine", "zebra", "tabby", "Zebra", *quick, "--out", out)
    assert done.code == 0
    assert f"sheet: {out}" in done.out
    assert [line.split()[0] for line in done.out.splitlines()[1:5]] == [
        *("zebra", "zebra", "tabby", "tabby")
    ]
    assert "try more --steps" in done.err, "one step is not enough, and that is said"
    singles = sorted(path.name for path in tmp_path.glob("all-*.png"))
    assert singles == ["all-1-zebra.png", "all-2-zebra.png", "all-3-tabby.png", "all-4-tabby.png"]
    with Image.open(out) as sheet:
        assert min(sheet.size) > 2 * 64


def test_a_channel_as_the_target(cli: Cli, tmp_path: Path):
    arguments = ["--stage", "blocks.2", "--channel", 3, "--at", "4,5", "--steps", 2]
    done = cli("imagine", *arguments, "--size", 64, "--out", tmp_path / "a.png", "--json")
    (one,) = done.document["pictures"]
    assert one["target"] == "blocks.2 channel 3 at 4,5"
    assert "class" not in one
    assert done.err == ""
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (64, 64)


def test_a_model_and_its_classes(cli: Cli, model: Path, photos: Path, tmp_path: Path):
    out = tmp_path / "a.png"
    start = photos / "noise" / "000.jpg"
    arguments = ["imagine", "--model", model, "--out", out, "--steps", 3]
    document = cli(*arguments, "checks", "--from", start, "--json").document
    assert document["pictures"][0]["class"] == "checks"
    assert np.asarray(Image.open(out)).shape == (384, 384, 3)
    wrong = cli(*arguments, "cheks")
    assert wrong.code == 2
    assert "did you mean 'checks'" in wrong.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["zebrra"], "did you mean 'zebra'"),
        ([], "give a CLASS"),
        (["zebra", "--stage", "blocks.2", "--channel", "0"], "not both"),
        (["--stage", "blocks.2"], "needs a --channel"),
        (["--stage", "block.2", "--channel", "0"], "no stage 'block.2'; its stages are"),
        (["--stage", "blocks.2", "--channel", "40"], "its channels are 0 to 39"),
        (["--stage", "blocks.2", "--channel", "0", "--at", "x"], "--at x is not a position"),
        (["--stage", "blocks.2", "--channel", "0", "--at", "0,99"], "no unit at 0,99"),
        (["zebra", "--channel", "0"], "need a --stage"),
        (["zebra", "--from", "missing.jpg"], "cannot use missing.jpg: no such file"),
        (["zebra", "--from", __file__], ": not an image"),
        (["zebra", "--tv", "inf"], "not a finite number"),
        (["zebra", "--backbone", "efficientnet-lite9"], "there is no backbone"),
        (["zebra", "--model", "x", "--backbone", "efficientnet-lite0"], "remove --backbone"),
    ],
)
def test_mistakes_are_a_sentence_and_exit_code_2(cli: Cli, tmp_path: Path, arguments, message):
    done = cli("imagine", *arguments, "--out", tmp_path / "a.png")
    assert done.code == 2
    assert one_sentence(done)
    assert message in done.err
    assert not (tmp_path / "a.png").exists()


def test_the_result_is_a_png(cli: Cli, tmp_path: Path):
    done = cli("imagine", "zebra", "--out", tmp_path / "a.jpg")
    assert done.code == 2
    assert one_sentence(done)
    assert "does not end in .png" in done.err


def test_starting_at_a_picture_nothing_is_random_in_a_lesson(cli: Cli, cat: Path, tmp_path: Path):
    arguments = ["imagine", "zebra", "--method", "lesson", "--from", cat, "--grid", 2]
    outcome = cli(*arguments, "--out", tmp_path / "a.png")
    assert outcome.code == 2
    assert "would be the same; remove one of them" in outcome.err
