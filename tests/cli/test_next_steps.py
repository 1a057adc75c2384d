"""The next step after each command."""

import shutil
from pathlib import Path

import pytest

from headstart.cli import next_steps
from headstart.cli.commands import Commands
from headstart.cli.next_steps import next_step
from tests.cli.conftest import Cli


def test_a_real_command_follows_a_real_one(cli: Cli, model: Path, new: Path) -> None:
    assert cli("info", model).next == f"predict new images: headstart predict {model} IMAGES"
    assert cli("info", model, "--json").next == ""
    assert cli("info", new).next == ""  # an error says itself what to do
    assert "evaluate" in cli("predict", model, new).next
    assert cli("predict", model, new, "--format", "csv").next == ""


def test_the_same_images_need_the_same_options() -> None:
    given = {"data": "my photos", "group_by": "time:2", "classes_from": "path", "out": "audit"}
    step = next_step("audit", {**given, "apply": None, "allow_code": True}, 3)
    assert str(step).endswith(
        "headstart fit 'my photos' --review audit/audit.csv --out model --group-by time:2 "
        "--allow-code"
    )
    assert step is not None
    assert step.command.startswith("headstart fit")
    assert str(step) == f"next, {step.purpose}: {step.command}"
    assert "drop or relabel" in step.purpose


def test_a_network_keeps_its_size_its_weights_and_the_review() -> None:
    given = {"data": "photos", "review": Path("audit.csv")}
    assert str(next_step("compare", given, "efficientnet-lite0@352")).endswith(
        "fit photos --views efficientnet-lite0@352 --out model --review audit.csv"
    )
    given = {"model": "resnet18", "images": [Path("pets.zip")], "weights": Path("w.pth")}
    assert str(next_step("explain", given)).endswith(
        "attack IMAGE --backbone resnet18 --out adversarial.png --weights w.pth"
    )


def test_the_same_page_is_opened() -> None:
    given = {"folder": Path("model"), "out": Path("page.html"), "show": False}
    assert str(next_step("report", given)).endswith("report model --out page.html --open")
    assert str(next_step("report", {**given, "out": None})).endswith("report model --open")


def test_an_ideal_image_is_shown_to_another_network() -> None:
    given: dict[str, object] = {"out": Path("cat.png"), "backbone": None}
    assert str(next_step("imagine", given)).endswith("--backbone efficientnet-lite2")
    given["backbone"] = "efficientnet-lite2"
    assert str(next_step("imagine", given)).endswith("--backbone efficientnet-lite0")


def test_a_model_that_could_not_be_tested_needs_more_images(
    cli: Cli, photos: Path, tmp_path: Path
) -> None:
    for name in ("checks", "noise"):
        (tmp_path / "two" / name).mkdir(parents=True)
        shutil.copy(next((photos / name).iterdir()), tmp_path / "two" / name)
    done = cli("fit", tmp_path / "two", "--out", tmp_path / "model")
    assert done.next == (
        "add images of each class, and train again to learn the accuracy: "
        f"headstart fit {tmp_path}/two --out {tmp_path}/model"
    )


def test_results_decide(monkeypatch: pytest.MonkeyPatch, cat: Path, tmp_path: Path) -> None:
    given = {"data": "photos", "apply": None, "out": "a"}
    assert str(next_step("audit", given, 0)).endswith(": headstart fit photos --out model")
    assert next_step("audit", given, None) is None  # of one class
    assert "--backbone resnet18" in str(next_step("compare", given, "resnet18"))
    assert "--backbone" not in str(next_step("compare", given, "efficientnet-lite0"))
    assert str(next_step("cache", {"clear": False}, 1)).endswith("headstart cache --clear")
    assert next_step("cache", {"clear": False}, 0) is None
    image = {"model": "m", "images": [cat], "output": None}
    monkeypatch.setattr(next_steps, "find_spec", lambda name: None)
    assert "headstart evaluate m TEST-PHOTOS" in str(next_step("predict", image))
    monkeypatch.setattr(next_steps, "find_spec", lambda name: name)
    assert f"headstart explain m {cat} --out explained" in str(next_step("predict", image))
    moved = {**image, "images": [tmp_path / "moved.jpg"]}
    assert "headstart evaluate m TEST-PHOTOS" in str(next_step("predict", moved))


def test_every_command_that_ends_by_itself_has_one() -> None:
    assert set(Commands()) - next_steps._STEPS.keys() == {"transfer", "serve", "watch"}
