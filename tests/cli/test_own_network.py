"""A network of the user's own, from fit to predict."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from headstart import Classifier
from headstart.errors import BackboneError
from tests.backbones.onnx_file import STATED, TinyNet, write_program, write_stated, write_tiny
from tests.cli.conftest import one_sentence
from tests.conftest import files

pytestmark = pytest.mark.slow


@pytest.fixture
def network(tmp_path):
    folder = tmp_path / "networks"
    folder.mkdir()
    return write_tiny(folder)


@pytest.fixture
def fitted(cli, photos, network, tmp_path):
    folder = tmp_path / "model"
    said = cli("fit", photos, "--backbone", network, "--out", folder, "--json").document
    assert said["backbone"] == "net.onnx"
    return folder


def test_the_model_finds_the_network_where_it_was(cli, fitted, photos, new_photos):
    found = cli("predict", fitted, new_photos, "--json").document
    assert len(found["predictions"]) == 12
    assert cli("evaluate", fitted, new_photos, "--json").document["accuracy"] > 0.5
    origin = cli("info", fitted, "--json").document["origin"]
    assert origin["backbone"] == origin["source"] == "net.onnx"
    assert origin["preprocessing"]["crop"] == 32


def test_no_path_is_in_the_model(fitted, network):
    for file in fitted.iterdir():
        assert str(network.parent).encode() not in file.read_bytes()


def test_a_network_that_was_moved_is_asked_for(cli, fitted, network, new_photos, tmp_path):
    moved = tmp_path / "renamed.onnx"
    shutil.move(network, moved)
    outcome = cli("predict", fitted, new_photos)
    assert (outcome.code, one_sentence(outcome)) == (2, True)
    assert "a file named net.onnx" in outcome.err
    assert "--weights FILE" in outcome.err
    assert cli("predict", fitted, new_photos, "--weights", moved).code == 0
    assert cli("predict", fitted, new_photos).code == 0  # remembered


def test_a_network_that_was_changed_is_refused(cli, fitted, network, new_photos):
    write_tiny(network.parent, seed=1)
    outcome = cli("predict", fitted, new_photos)
    assert (outcome.code, one_sentence(outcome)) == (2, True)
    assert "give the right ones" in outcome.err


def test_another_size_is_another_member(cli, photos, network, new_photos, tmp_path):
    folder = tmp_path / "model"
    views = "net.onnx,net.onnx@64"
    outcome = cli("fit", photos, "--backbone", network, "--views", views, "--out", folder)
    assert outcome.code == 0
    assert cli("predict", folder, new_photos).code == 0


def test_compared_at_another_size(cli, photos, network):
    found = cli("compare", photos, "--backbones", f"{network}@64", "--json").document
    (row,) = found["backbones"]
    assert (row["name"], row["parameters"]) == ("net.onnx@64", None)
    assert row["core_milliseconds"] > 0


@pytest.mark.parametrize("command", ["explain", "robustness", "finetune"])
def test_what_needs_gradients_says_so(cli, fitted, photos, command, tmp_path):
    arguments = {
        "explain": (fitted, files(photos)[0], "--out", tmp_path / "out"),
        "robustness": (fitted, photos, "--out", tmp_path / "out"),
        "finetune": (fitted, "--out", tmp_path / "out", "--validation", 0.5),
    }
    outcome = cli(command, *arguments[command])
    assert (outcome.code, one_sentence(outcome)) == (2, True)
    assert "net.onnx" in outcome.err


def test_the_preprocessing_is_asked_for(cli, photos, network, tmp_path):
    network.with_suffix(".toml").unlink()
    outcome = cli("fit", photos, "--backbone", network, "--out", tmp_path / "model")
    assert (outcome.code, one_sentence(outcome)) == (2, True)
    assert str(network.with_suffix(".toml")) in outcome.err


class TestCode:
    """Networks that run code: every command that opens one asks for --allow-code."""

    def refused(self, outcome, name):
        assert (outcome.code, one_sentence(outcome)) == (2, True)
        assert name in outcome.err
        assert "add --allow-code" in outcome.err

    def test_a_program(self, cli, photos, new_photos, tmp_path):
        file, folder = write_program(tmp_path), tmp_path / "model"
        arguments = ("fit", photos, "--backbone", file, "--out", folder, "--json")
        self.refused(cli(*arguments), "net.pt2")
        assert cli(*arguments, "--allow-code").document["backbone"] == "net.pt2"
        for command in ("predict", "evaluate"):
            self.refused(cli(command, folder, new_photos), "net.pt2")
            assert cli(command, folder, new_photos, "--allow-code").code == 0
        with pytest.raises(BackboneError, match="allow_code=True"):
            Classifier.load(folder)
        images = files(new_photos)
        predicted = Classifier.load(folder, allow_code=True).predict(images)
        assert np.mean(predicted == [image.parent.name for image in images]) > 0.5
        moved = Path(shutil.move(file, tmp_path / "other.pt2"))
        outcome = cli("predict", folder, new_photos, "--allow-code")
        assert "a file named net.pt2" in outcome.err
        self.refused(cli("predict", folder, new_photos, "--weights", moved), "net.pt2")
        assert cli("predict", folder, new_photos, "--weights", moved, "--allow-code").code == 0
        write_program(tmp_path, seed=1).rename(moved)
        outcome = cli("predict", folder, new_photos, "--allow-code")
        assert (outcome.code, one_sentence(outcome)) == (2, True)
        assert "give the right ones" in outcome.err

    def test_a_module(self, cli, photos, new_photos, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "path", sys.path.copy())
        code, name, folder = tmp_path / "own_networks.py", "own_networks:net", tmp_path / "model"
        code.write_text("from tests.backbones.onnx_file import TinyNet\nnet = TinyNet(0)")
        write_stated(tmp_path / "net", STATED)
        arguments = ("fit", photos, "--backbone", name, "--out", folder, "--json")
        self.refused(cli(*arguments), name)
        assert cli(*arguments, "--allow-code").document["backbone"] == name
        (tmp_path / "net.toml").unlink()  # the model knows it
        self.refused(cli("predict", folder, new_photos), name)
        assert cli("predict", folder, new_photos, "--allow-code").code == 0
        image = files(new_photos)[0]
        explain = ("explain", folder, image, "--method", "grad-cam", "--out", tmp_path / "maps")
        self.refused(cli(*explain), name)
        assert cli(*explain, "--allow-code").code == 0
        monkeypatch.setattr(sys.modules["own_networks"], "net", TinyNet(1))
        outcome = cli("predict", folder, new_photos, "--allow-code")
        assert (outcome.code, one_sentence(outcome)) == (2, True)
        assert "let the code give those" in outcome.err

    def test_compared(self, cli, photos, tmp_path):
        file = write_program(tmp_path)
        arguments = ("compare", photos, "--backbones", file, "--json")
        self.refused(cli(*arguments), "net.pt2")
        (row,) = cli(*arguments, "--allow-code").document["backbones"]
        assert row["name"] == "net.pt2"
