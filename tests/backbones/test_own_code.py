"""Networks that are code: opened only where that is allowed."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from headstart.backbones import check_name, load_backbone
from headstart.backbones.own_module import module_backbone
from headstart.backbones.stated_preprocessing import preprocessing_from
from headstart.engines import build_engine, make_plan
from headstart.errors import BackboneError
from headstart.system.digests import bytes_digest
from headstart.types import EngineName, Precision
from tests.backbones.onnx_file import STATED, TinyNet, write_program, write_stated

HOW = preprocessing_from(STATED, where="here")
CODE = """
from pathlib import Path
from tests.backbones.onnx_file import TinyNet

Path("imported").touch()
module = TinyNet()
number = 3

def function():
    return TinyNet(1)

def broken():
    raise KeyError("weights")
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory, with code that Python does not know yet, and its preprocessing."""
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.chdir(tmp_path)
    package = tmp_path / "somebody"
    package.mkdir()
    (package / "networks.py").write_text(CODE)
    for name in ("module", "function", "number", "broken"):
        write_stated(package / name, STATED)
    yield tmp_path
    for name in ("somebody", "somebody.networks"):
        sys.modules.pop(name, None)


@pytest.mark.slow
def test_a_program_computes_what_its_module_does(tmp_path):
    file = write_program(tmp_path)
    check_name(str(file), allow_code=True)
    backbone = load_backbone(str(file), allow_code=True)
    assert (backbone.name, backbone.address) == ("net.pt2", str(file))
    assert backbone.weights.digest == bytes_digest(file.read_bytes())
    assert [one.width for one in backbone.stages] == [8, 16]
    assert backbone.preprocessing == HOW
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    plan = make_plan(EngineName.OPENVINO, Precision.FLOAT32)
    (found,) = build_engine(backbone, plan).stream([pixels])
    mean, std = (torch.tensor(STATED[name]).view(3, 1, 1) for name in ("mean", "std"))
    with torch.no_grad():
        expected = TinyNet()((torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - mean) / std)
    np.testing.assert_allclose(found[-1], expected, atol=1e-5)


def test_a_program_is_not_opened_unasked(tmp_path, monkeypatch):
    file = tmp_path / "net.pt2"
    file.touch()
    write_stated(file, STATED)
    monkeypatch.setattr("headstart.backbones.own_network.read_regular", None)
    for call in (check_name, load_backbone):
        with pytest.raises(BackboneError, match=r"net\.pt2 may run code .* add --allow-code"):
            call(str(file))
    with pytest.raises(BackboneError, match="add --allow-code"):
        load_backbone("net.pt2", weights=file, preprocessing=HOW)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\5\6" + bytes(18)])
def test_damaged_programs(tmp_path, content):
    file = tmp_path / "net.pt2"
    file.write_bytes(content)
    write_stated(file, STATED)
    with pytest.raises(BackboneError, match=r"is not a program that PyTorch .* can read \(\w+"):
        load_backbone(str(file), allow_code=True)


@pytest.mark.parametrize(("attribute", "seed"), [("module", 0), ("function", 1)])
def test_code_of_the_users_own(folder, attribute, seed):
    name = f"somebody.networks:{attribute}"
    backbone = load_backbone(name, allow_code=True)
    expected = module_backbone(TinyNet(seed), HOW)
    assert (backbone.name, backbone.address, backbone.weights.source) == (name, name, name)
    assert backbone.weights.digest == expected.weights.digest
    assert backbone.stages == expected.stages
    assert backbone.stated == HOW
    (folder / "somebody" / f"{attribute}.toml").unlink()
    assert load_backbone(name, preprocessing=HOW, allow_code=True).preprocessing == HOW
    with pytest.raises(BackboneError, match=rf"{attribute} does not say .*{attribute}\.toml"):
        load_backbone(name, allow_code=True)


def test_code_is_not_imported_unasked(folder):
    name = "somebody.networks:module"
    for call in (check_name, load_backbone):
        with pytest.raises(BackboneError, match=r"if it is Python code, .* add --allow-code"):
            call(name)
    check_name(name, allow_code=True)
    assert not (folder / "imported").exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("somebody.networks:absent", "cannot be imported .*no attribute 'absent'"),
        ("somebody.absent:module", r"ModuleNotFoundError.* run headstart in the folder"),
        ("somebody.networks:number", "failed .*not callable"),
        ("somebody.networks:broken", "failed .KeyError: 'weights'"),
    ],
)
def test_code_that_is_no_network(folder, name, words):
    with pytest.raises(BackboneError, match=words):
        load_backbone(name, allow_code=True)


def test_code_that_gives_something_else(folder):
    (folder / "somebody" / "networks.py").write_text("function = dict")
    with pytest.raises(BackboneError, match=r"gives dict where a torch\.nn\.Module is needed"):
        load_backbone("somebody.networks:function", allow_code=True)


def test_code_takes_no_file_of_weights(folder):
    with pytest.raises(BackboneError, match=r"remove --weights x\.pth"):
        load_backbone("somebody.networks:module", weights=Path("x.pth"), allow_code=True)


@pytest.mark.parametrize("allow_code", [False, True])
def test_names_of_sources_are_no_code(allow_code):
    with pytest.raises(BackboneError, match="resnet19"):
        check_name("torchvision:resnet19", allow_code=allow_code)
    with pytest.raises(BackboneError, match="given in Python"):
        load_backbone("module:ResNet", allow_code=allow_code)


def test_a_typo_is_no_code():
    with pytest.raises(BackboneError, match="did you mean torchvision:resnet18"):
        check_name("torchvison:resnet18")
