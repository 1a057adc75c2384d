"""Networks written as ONNX, against the engines that `headstart predict` runs."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from headstart.backbones import load_backbone
from headstart.backbones.own_module import module_backbone
from headstart.backbones.stated_preprocessing import preprocessing_from
from headstart.engines import build_engine, make_plan
from headstart.errors import BackboneError
from headstart.exporting.networks import write_network
from headstart.features.views import Frame, View
from headstart.types import EngineName, Precision
from tests.backbones.onnx_file import STATED, TINY, TinyNet, onnx_bytes, weights_of, write_tiny
from tests.exporting.graphs import RUNTIMES, model_of, runner

PLAN = make_plan(EngineName.OPENVINO, Precision.FLOAT32)


def check(backbone, *, runtimes=RUNTIMES, count=3, atol=1e-4):
    side = backbone.preprocessing.crop
    pixels = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    engine = build_engine(backbone, PLAN)
    batches = [pixels[at : at + engine.batch] for at in range(0, count, engine.batch)]
    expected = [np.concatenate(parts) for parts in zip(*engine.stream(batches), strict=True)]
    inputs = {"pixels": (np.uint8, ["N", side, side, 3])}
    content = model_of(inputs, lambda pixels: write_network(backbone, pixels))
    for runtime in runtimes:
        found = runner(content, runtime)(pixels)
        assert len(found) == len(expected)
        for one, wanted in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, wanted, atol=atol * max(1, np.abs(wanted).max()))


def test_the_embedded_network_needs_no_pytorch(lite0, monkeypatch):
    monkeypatch.setattr(type(lite0), "network", None)
    tuned = {name: array * 1.01 for name, array in lite0.tensors().items() if "blocks.6" in name}
    small = View(lite0.name, 64).of(lite0.with_tensors({**lite0.tensors(), **tuned}))
    check(replace(small, peaks=True))


@pytest.mark.slow
def test_a_module():
    backbone = module_backbone(TinyNet(), preprocessing_from(STATED, where=""))
    check(replace(backbone, peaks=True), runtimes=RUNTIMES)


@pytest.mark.parametrize("peaks", [False, True])
def test_a_file_of_the_users_own(tmp_path, peaks):
    backbone = load_backbone(str(write_tiny(tmp_path)))
    check(replace(backbone, peaks=peaks))
    if peaks:
        check(View("net.onnx", 48, Frame.TILES).of(backbone), runtimes=RUNTIMES[:1])


def test_a_file_for_channels_last(tmp_path):
    from tests.backbones.onnx_file import Op

    file = write_tiny(tmp_path)
    first = TINY[0]._replace(inputs=["turned", *TINY[0].inputs[1:]])
    turn = Op("Transpose", ["x"], "turned", {"perm": [0, 3, 1, 2]})
    content = onnx_bytes([turn, first, *TINY[1:]], weights_of(TinyNet()), shape=("N", 32, 32, 3))
    file.write_bytes(content)
    check(load_backbone(str(file)), runtimes=RUNTIMES[:1])


@pytest.mark.slow
def test_what_pytorch_cannot_write_says_why(monkeypatch):
    def refuse(*arguments, **options):
        raise RuntimeError("no decomposition\nof svdvals")

    monkeypatch.setattr(torch.onnx, "export", refuse)
    backbone = module_backbone(TinyNet(), preprocessing_from(STATED, where=""))
    message = r"TinyNet cannot be exported \(no decomposition\); fit a model with another"
    with pytest.raises(BackboneError, match=message):
        check(backbone)


@pytest.mark.slow
def test_a_program_of_pytorch_is_asked_for_as_onnx():
    example = torch.zeros(2, 3, 32, 32)
    shapes = ({0: torch.export.Dim("N")},)
    program = torch.export.export(TinyNet().eval(), (example,), dynamic_shapes=shapes)
    backbone = module_backbone(program, preprocessing_from(STATED, where=""))
    with pytest.raises(BackboneError, match="give the network as ONNX"):
        check(backbone)
