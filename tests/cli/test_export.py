"""`headstart export` and `verify`, as a user runs them."""

import csv
import shutil
from pathlib import Path

import pytest

from headstart.exporting import check_images
from tests.cli.conftest import Cli, one_sentence
from tests.conftest import write_photos


@pytest.fixture(autouse=True)
def _no_large_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_images, "_ODD", {"1 pixel high": (300, 1)})
    monkeypatch.setattr(check_images, "_GRAY", ())


@pytest.fixture
def known(model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model whose images are known to the cache."""
    monkeypatch.setenv("HEADSTART_CACHE", str(model.parent / "cache"))
    return model


@pytest.mark.slow
def test_export_and_verify(cli: Cli, known: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "model.onnx"
    outcome = cli("export", known, "--out", out, "--check", 5, "--json")
    assert outcome.code == 0, outcome.err
    found = outcome.document
    assert found["file"] == str(out)
    assert (found["format"], found["input"], found["weights"]) == ("onnx", "image", "float32")
    assert found["bytes"] == out.stat().st_size
    assert found["check"]["holds"]
    assert found["check"]["images"] == 7 == found["check"]["equal_labels"]
    assert found["check"]["largest_difference"] < 0.02
    with Path(found["record"]).open(encoding="utf-8") as table:
        rows = list(csv.DictReader(table))
    assert [row["agrees"] for row in rows] == ["yes"] * 7

    # Elsewhere: the images and the file have moved, and the model is not there.
    moved = tmp_path / "moved"
    shutil.copytree(photos, moved / "photos")
    for path in (out, Path(found["record"])):
        path.rename(moved / path.name)
    again = cli("verify", moved / out.name, moved / "photos", "--json")
    assert again.code == 0, again.err
    assert again.document["check"]["images"] == 5
    assert again.document["accuracy"] is None

    new = write_photos(tmp_path / "new", 2, first=200)
    refused = cli("verify", moved / out.name, new)
    assert refused.code == 2
    assert "give the images of the proof, or the model to compare" in refused.err
    third = cli("verify", moved / out.name, new, "--model", known)
    assert third.code == 0, third.err
    assert "6 of 6 equal" in third.out
    assert third.out.count("accuracy") == 1
    assert "the model's:" in third.out
    worse = cli("verify", moved / out.name, new, "--model", known, "--tolerance", 0)
    assert worse.code == 1
    assert "differs" in worse.out


def test_images_that_are_not_known(cli: Cli, model: Path, tmp_path: Path) -> None:
    outcome = cli("export", model, "--out", tmp_path / "model.onnx")
    assert outcome.code == 2
    assert one_sentence(outcome)
    assert "give them with --data" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--out", "model.tflite"], "none of the endings"),
        (["--out", "model.xml", "--format", "onnx"], "does not end in .onnx"),
        (["--out", "model.onnx", "--half", "--int8"], "contradict each other"),
        (["--out", "model.pt2", "--half"], "float32"),
        (["--out", "model.onnx", "--format", "tflite"], "is not one of 'onnx'"),
    ],
)
def test_options_that_do_not_fit(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = cli("export", "model", *arguments)
    assert outcome.code == 2
    assert one_sentence(outcome)
    assert words in outcome.err


def test_files_that_cannot_be_verified(cli: Cli, tmp_path: Path, photos: Path) -> None:
    assert "there is no file" in cli("verify", tmp_path / "model.onnx", photos).err
    (tmp_path / "model.onnx").write_bytes(b"no network")
    assert "cannot be read" in cli("verify", tmp_path / "model.onnx", photos).err
    program = cli("verify", tmp_path / "model.pt2", photos)
    assert program.code == 2
    assert "--allow-code" in program.err
