import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.backbones import Backbone
from headstart.images.decode import decode
from headstart.images.preprocessing import prepare
from headstart.inspection.differentiable_model import DifferentiableModel
from headstart.inspection.feature_maps import stage_maps
from tests.cli.conftest import Cli, one_sentence
from tests.conftest import files

pytestmark = pytest.mark.slow

QUICK = ("--stage", "head", "--top", "2")


@pytest.fixture
def image(new: Path) -> Path:
    return files(new / "checks")[0]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def test_every_stage_is_drawn_and_described(cli: Cli, image: Path, tmp_path: Path, lite0: Backbone):
    out = tmp_path / "maps"
    outcome = cli("features", image, "--out", out, "--filters", "--json", "--top", 4)
    assert (outcome.code, outcome.err) == (0, "")
    document = outcome.document
    assert document.keys() == {"image", "backbone", "view", "overview", "stages", "filters"}
    assert (document["image"], document["backbone"]) == (str(image), lite0.name)
    assert document["filters"] == {
        "layer": "conv_stem", "count": 32, "height": 3, "width": 3, "file": "filters.png",
    }  # fmt: skip
    pixels = prepare(decode(image), lite0.preprocessing)
    expected = stage_maps(DifferentiableModel.of(lite0).view(None), pixels, top=4)
    for said, one, known in zip(document["stages"], expected, lite0.stages, strict=True):
        assert said == {
            "name": known.name,
            "channels": known.width,
            "height": one.height,
            "width": one.width,
            "file": f"{one.number:02}-{known.name}.png",
            "ranked": [
                {
                    "channel": channel.index,
                    "strength": pytest.approx(channel.strength),
                    "minimum": pytest.approx(channel.minimum),
                    "maximum": pytest.approx(channel.maximum),
                }
                for channel in one.ranked
            ],
        }
        assert len(said["ranked"]) == 4
    drawn = [one["file"] for one in document["stages"]]
    assert names(out) == sorted([*drawn, "filters.png", "overview.png"])
    for name in names(out):
        with Image.open(out / name) as picture:
            assert min(picture.size) > 300
            assert np.asarray(picture).std() > 5


def test_the_stages_asked_for_keep_their_numbers_and_other_files_stay(
    cli: Cli, image: Path, tmp_path: Path
):
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "notes.txt").write_text("mine")
    stages = ("--stage", "head", "--stage", "blocks.5")
    outcome = cli("features", image, *stages, "--out", tmp_path / "maps", "--force")
    assert (outcome.code, outcome.err) == (0, "")
    assert names(tmp_path / "maps") == [
        "06-blocks.5.png", "08-head.png", "notes.txt", "overview.png",
    ]  # fmt: skip
    lines = outcome.out.splitlines()
    assert lines[0].split() == ["stage", "channels", "map", "strongest", "channels", "file"]
    assert re.fullmatch(r"blocks\.5 +192 +7 x 7( +\d+)+ +06-blocks\.5\.png", lines[1])
    assert re.fullmatch(r"head +1,280 +7 x 7( +\d+)+ +08-head\.png", lines[2])
    assert str(tmp_path / "maps" / "overview.png") in lines[3]


def test_the_same_picture_gives_the_same_bytes(cli: Cli, image: Path, tmp_path: Path):
    outputs = []
    for name in ("one", "two"):
        outcome = cli("features", image, *QUICK, "--out", tmp_path / name, "--json")
        outputs.append((outcome.out, [path.read_bytes() for path in files(tmp_path / name)]))
    assert outputs[0] == outputs[1]


def test_a_trained_model_shows_its_backbone(cli: Cli, image: Path, model: Path, tmp_path: Path):
    documents = [
        cli("features", image, *QUICK, "--out", tmp_path / "maps", "--json", *choice).document
        for choice in (("--model", model), ("--backbone", "efficientnet-lite0"))
    ]
    assert documents[0] == documents[1]


def test_a_file_that_is_no_picture_is_refused(cli: Cli, tmp_path: Path):
    bad = tmp_path / "bad.jpg"
    bad.write_text("no picture")
    outcome = cli("features", bad, "--out", tmp_path / "maps")
    assert outcome.code == 2
    assert one_sentence(outcome)
    assert f"cannot use {bad}: not an image" in outcome.err
    outcome = cli("features", tmp_path / "missing.jpg", "--out", tmp_path / "maps")
    assert outcome.code == 2
    assert "no such file" in outcome.err
    assert not (tmp_path / "maps").exists()


def test_an_unknown_stage_is_refused_with_those_there_are(cli: Cli, image: Path, tmp_path: Path):
    outcome = cli("features", image, "--stage", "layer1", "--out", tmp_path / "maps")
    assert outcome.code == 2
    assert one_sentence(outcome)
    stages = ", ".join([*(f"blocks.{index}" for index in range(7)), "head"])
    assert f"efficientnet-lite0 has no stage 'layer1'; its stages are {stages}" in outcome.err
    assert not (tmp_path / "maps").exists()


def test_a_model_and_a_backbone_are_one_too_many(
    cli: Cli, image: Path, model: Path, tmp_path: Path
):
    outcome = cli(
        "features", image, "--model", model, "--backbone", "efficientnet-lite0", "--out",
        tmp_path / "maps",
    )  # fmt: skip
    assert outcome.code == 2
    assert one_sentence(outcome)
    assert "remove --backbone" in outcome.err


@pytest.mark.parametrize("option", [("--top", 0), ("--top", 1000), ()])
def test_mistakes_in_options(cli: Cli, image: Path, tmp_path: Path, option: tuple[object, ...]):
    out = ("--out", tmp_path / "maps") if option else ()
    assert cli("features", image, *out, *option).code == 2


def test_a_stage_has_no_more_channels_than_it_has(cli: Cli, image: Path, tmp_path: Path):
    stages = ("--stage", "blocks.0", "--stage", "head")
    outcome = cli("features", image, *stages, "--out", tmp_path / "maps", "--json", "--top", 20)
    assert [len(stage["ranked"]) for stage in outcome.document["stages"]] == [16, 20]


def test_the_picture_itself_is_spared(cli: Cli, image: Path, tmp_path: Path):
    own = tmp_path / "overview.png"
    own.write_bytes(image.read_bytes())
    outcome = cli("features", own, "--stage", "blocks.0", "--out", tmp_path, "--force")
    assert outcome.code == 2
    assert "is the input image" in outcome.err
    assert own.read_bytes() == image.read_bytes()
