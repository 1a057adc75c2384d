"""What --out may be: new, empty, or what the same command wrote; --force for the rest."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.cli.result_files import check_image_results, check_png, check_replaced
from headstart.datasets.own_folders import mark_results
from headstart.errors import DataError, UserError
from headstart.inspection.image_tensor import encode
from tests.cli.conftest import Cli, one_sentence


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A folder of someone's files."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "README.md").write_text("mine")
    return tmp_path / "other"


@pytest.mark.parametrize(
    "words",
    [
        "fit PHOTOS",
        "fit PHOTOS --out new --report",
        "finetune PHOTOS",
        "audit PHOTOS",
        "evaluate x PHOTOS",
        "compare PHOTOS",
        "transfer PHOTOS",
        "robustness efficientnet-lite0 PHOTOS",
        "explain efficientnet-lite0 IMAGE",
        "features IMAGE",
    ],
)
def test_other_files_are_kept(words: str, cli: Cli, photos: Path, cat: Path, other: Path) -> None:
    named = {"PHOTOS": photos, "IMAGE": cat}
    verb, *rest = words.split()
    rest = [str(named.get(word, word)) for word in rest]
    outcome = cli(verb, *rest, *([] if "--report" in rest else ["--out"]), other)
    assert (outcome.code, one_sentence(outcome)) == (2, True)
    assert "choose a new folder for the" in outcome.err
    assert "or add --force to write there anyway" in outcome.err
    assert (other / "README.md").read_text() == "mine"


@pytest.mark.slow
def test_with_force_a_model_goes_beside_other_files(cli: Cli, photos: Path, other: Path) -> None:
    (other / "notes.txt").write_text("mine")
    outcome = cli("fit", photos, "--stage", "head", "--out", other, "--force")
    assert outcome.code == 0, outcome.err
    assert cli("info", other).code == 0
    assert (other / "notes.txt").read_text() == "mine"


def test_even_force_writes_nothing_among_the_images(cli: Cli, own: Path) -> None:
    for verb in ("fit", "finetune"):
        assert f"error: {own} is among the images in" in cli(verb, own, "--out", own).err
    outcome = cli("fit", own, "--out", own / "checks", "--force")
    assert (outcome.code, one_sentence(outcome)) == (2, True)
    assert "is among the images in" in outcome.err


def test_images_of_headstart_are_replaced_and_photos_are_not(cat: Path, tmp_path: Path) -> None:
    check_png(tmp_path / "new.png")
    with pytest.raises(UserError, match=r"exists and is not an image of headstart; .* --force"):
        check_png(cat)
    check_png(cat, force=True)
    own = tmp_path / "own.png"
    own.write_bytes(encode(np.zeros((2, 2, 3), np.uint8), "PNG"))
    check_png(own)
    check_replaced(cat, own, force=False)  # what an earlier run wrote beside it
    with Image.open(own) as image:
        assert image.info == {"Software": "headstart"}


def test_files_beside_an_image_are_kept(cli: Cli, cat: Path, tmp_path: Path) -> None:
    commands: dict[str, list[object]] = {
        "x-comparison.png": ["attack", cat],
        "x-quality90.jpg": ["attack", cat, "--jpeg"],
        "x-2-zebra.webp": ["imagine", "tench", "zebra", "--frames"],
    }
    for name, words in commands.items():
        mine = tmp_path / name
        mine.write_text("mine")
        outcome = cli(*words, "--out", tmp_path / "x.png", "--steps", 2)
        assert (outcome.code, one_sentence(outcome)) == (2, True), name
        assert f"{name} exists and is not an image of headstart; " in outcome.err
        assert mine.read_text() == "mine"
        mine.unlink()


def test_figures_are_images_of_headstart(tmp_path: Path) -> None:
    from headstart import plots
    from headstart.plots.canvas import new_figure

    plots.save(new_figure(1, 1), tmp_path / "figure.png")
    check_png(tmp_path / "figure.png")


def test_a_folder_of_results_may_be_used_again(tmp_path: Path, other: Path) -> None:
    mark_results(tmp_path / "results")
    check_image_results(tmp_path / "results", force=False)
    with pytest.raises(DataError, match="other files"):
        check_image_results(other, force=False)
    check_image_results(other, force=True)


def test_an_exported_file_replaces_no_other(cli: Cli, saved: Path, other: Path) -> None:
    file = other / "model.onnx"
    file.write_text("mine")
    outcome = cli("export", saved, "--out", file)
    assert "is not an exported file; choose another name, or add --force" in outcome.err
    assert "--force" not in cli("export", saved, "--out", file, "--force").err
    assert "is not an exported file" in cli("export", saved, "--out", _folder(other), "--force").err
    assert file.read_text() == "mine"


def _folder(parent: Path) -> Path:
    (parent / "folder.onnx").mkdir()
    return parent / "folder.onnx"
