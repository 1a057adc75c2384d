import shutil
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.conftest import Cli, one_sentence

pytestmark = pytest.mark.slow

LITE = "efficientnet-lite0"
QUICK = ("--method", "grad-cam")


def test_a_cat_is_explained(cli: Cli, cat: Path, tmp_path: Path):
    out = tmp_path / "new" / "out"
    done = cli("explain", LITE, cat, "--out", out, "--json")
    assert done.code == 0
    assert done.document["skipped"] == []
    (image,) = done.document["images"]
    assert image["image"] == str(cat)
    assert image["label"] == "tiger cat"
    assert [one["method"] for one in image["maps"]] == [
        "grad-cam", "integrated-gradients", "occlusion",
    ]  # fmt: skip
    assert [one["stage"] for one in image["maps"]] == ["head", None, None]
    for one in image["maps"]:
        assert one["overlay"] == str(out / f"chelsea-{one['method']}.png")
        with Image.open(one["overlay"]) as picture:
            assert picture.size == (451, 300)
        for score in ("deletion", "insertion", "random_deletion", "random_insertion"):
            assert 0 <= one[score] <= 1
    with Image.open(image["sheet"]) as picture:
        assert min(picture.size) > 2 * 400  # two rows of two images
    assert len(list(out.glob("*.png"))) == 4


def test_a_model_and_a_class_for_people(cli: Cli, model: Path, new_photos: Path, tmp_path: Path):
    one, two = new_photos / "checks" / "100.jpg", new_photos / "noise" / "100.jpg"
    arguments = ["explain", model, one, two, one, *QUICK, "--class", "Noise"]
    done = cli(*arguments, "--out", tmp_path / "a")
    assert done.code == 0
    assert done.out.count(" noise ") == 2  # a picture named twice is explained once
    assert "than shifted" in done.out
    assert {path.name for path in (tmp_path / "a").glob("*.png")} == {
        "100.png", "100-grad-cam.png", "100-2.png", "100-2-grad-cam.png",
    }  # fmt: skip
    cli("explain", model, one, *arguments[5:], "--out", tmp_path / "b", "--seed", 0)
    for name in ("100.png", "100-grad-cam.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_what_is_no_picture_is_skipped(cli: Cli, cat: Path, tmp_path: Path):
    broken = tmp_path / "broken.jpg"
    broken.write_text("text")
    done = cli("explain", LITE, broken, cat, *QUICK, "--out", tmp_path / "out", "--json")
    assert done.code == 1
    assert done.document["skipped"] == [{"image": str(broken), "reason": "not an image"}]
    assert len(done.document["images"]) == 1
    assert f"{broken}: not an image" in done.err
    none = cli("explain", LITE, broken, "--out", tmp_path / "none")
    assert none.code == 2
    assert one_sentence(none)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--class", "tiger kat"], "did you mean 'tiger cat'"),
        (["--stage", "layer9"], "its stages are blocks.0"),
        (["--stage", "head", "--method", "occlusion"], "add the method grad-cam"),
    ],
)
def test_mistakes_are_a_sentence(cli: Cli, cat: Path, tmp_path: Path, more, message):
    done = cli("explain", LITE, cat, "--out", tmp_path / "out", *more)
    assert done.code == 2
    assert one_sentence(done)
    assert message in done.err
    assert not (tmp_path / "out").exists()


def test_other_mistakes(cli: Cli, cat: Path, tmp_path: Path):
    shutil.copy(cat, tmp_path / "cat.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "photos").mkdir()
    shutil.copy(cat, tmp_path / "photos" / "cat.png")
    for arguments, message in [
        ([LITE, tmp_path / "none.jpg", "--out", tmp_path / "out"], "no such file"),
        ([LITE, tmp_path / "empty", "--out", tmp_path / "out"], "no images in"),
        (["efficientnet-lite9", cat, "--out", tmp_path / "out"], "there is no backbone"),
        ([LITE, tmp_path / "cat.png", "--out", tmp_path], "choose another folder for --out"),
        ([LITE, tmp_path, "--out", tmp_path], "is among the images in"),
        ([LITE, tmp_path, "--out", tmp_path / "photos"], "is among the images in"),
    ]:
        done = cli("explain", *arguments)
        assert done.code == 2
        assert one_sentence(done)
        assert message in done.err
