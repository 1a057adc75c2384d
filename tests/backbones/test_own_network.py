"""Networks of the user's own from ONNX files, against the same network in PyTorch."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from headstart.backbones import check_name, load_backbone
from headstart.backbones.stated_preprocessing import preprocessing_from
from headstart.engines import build_engine, make_plan
from headstart.errors import BackboneError, NoTorchFormError
from headstart.features.views import Frame, View
from headstart.images.preprocessing import Interpolation, Resize
from headstart.types import EngineName, Precision
from tests.backbones.onnx_file import (
    STATED,
    TINY,
    Op,
    TinyNet,
    onnx_bytes,
    weights_of,
    write_tiny,
)

PLAN = make_plan(EngineName.OPENVINO, Precision.FLOAT32)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_tiny(tmp_path)


def run(backbone, side: int, count: int = 2):
    pixels = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    (outputs,) = build_engine(backbone, PLAN, requested=EngineName.OPENVINO).stream([pixels])
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(STATED[name]).view(3, 1, 1) for name in ("mean", "std"))
    return outputs, (x - mean) / std


@pytest.mark.parametrize("side", [32, 48])
def test_features_are_those_of_the_module(file, side):
    backbone = load_backbone(str(file))
    if side != 32:
        backbone = View("net.onnx", side).of(backbone)
    outputs, x = run(backbone, side)
    with torch.no_grad():
        shallow, deep = TinyNet().maps(x)
        logits = TinyNet()(x)
    expected = [shallow.mean((2, 3)), deep.mean((2, 3)), logits]
    for found, wanted in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_what_is_known_about_it(file):
    backbone = load_backbone(str(file))
    assert (backbone.name, backbone.address) == ("net.onnx", str(file))
    assert [(one.name, one.width) for one in backbone.stages] == [("shallow", 8), ("flat", 16)]
    assert backbone.labels == tuple(f"class {index}" for index in range(5))
    assert (backbone.weights.source, backbone.weights.license) == ("net.onnx", "unstated")
    assert backbone.any_size
    assert backbone.stated == backbone.preprocessing
    assert backbone.preprocessing.interpolation is Interpolation.BILINEAR
    check_name(str(file))


def test_the_digest_is_that_of_the_file(file, tmp_path):
    first = load_backbone(str(file)).weights.digest
    file.rename(tmp_path / "other.onnx")
    moved = load_backbone(
        "net.onnx",
        weights=tmp_path / "other.onnx",
        preprocessing=preprocessing_from(STATED, where=""),
    )
    assert (moved.name, moved.weights.digest) == ("net.onnx", first)
    other = load_backbone(str(write_tiny(tmp_path, seed=1)))
    assert other.weights.digest != first


def test_until_a_stage_its_whole_activation_is_the_last_output(file):
    graph = load_backbone(str(file)).graph(until="shallow")
    graph.reshape([2, 32, 32, 3])
    assert [tuple(one.shape) for one in graph.outputs] == [(2, 8), (2, 8 * 16 * 16)]


def test_a_network_without_classifier_ends_with_its_output(tmp_path):
    file = write_tiny(tmp_path)
    weights = weights_of(TinyNet())
    kept = {name: one for name, one in weights.items() if not name.startswith("fc")}
    file.write_bytes(onnx_bytes(TINY[:-3], kept, outputs=["deep"]))
    backbone = load_backbone(str(file))
    assert backbone.labels == ()
    assert [(one.name, one.width) for one in backbone.stages] == [("shallow", 8), ("deep", 16)]


def test_an_output_named_logits_that_is_no_classifier_is_a_stage_of_another_name(tmp_path):
    file = write_tiny(tmp_path)
    kept = {name: one for name, one in weights_of(TinyNet()).items() if not name.startswith("fc")}
    ops = [*TINY[:-4], TINY[-4]._replace(output="logits")]
    file.write_bytes(onnx_bytes(ops, kept, outputs=["logits"]))
    backbone = load_backbone(str(file))
    assert [one.name for one in backbone.stages] == ["shallow", "logits'"]


def test_tiles_have_maxima_besides(file):
    backbone = View("net.onnx", None, Frame.TILES).of(load_backbone(str(file)))
    outputs, x = run(backbone, 32)
    with torch.no_grad():
        shallow, deep = TinyNet().maps(x)
        logits = TinyNet()(x)
    flat = deep.mean((2, 3))
    expected = [shallow.mean((2, 3)), flat, shallow.amax((2, 3)), flat, logits]
    for found, wanted in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_channels_last_input_and_softmax(tmp_path):
    file = write_tiny(tmp_path)
    first = TINY[0]._replace(inputs=["turned", *TINY[0].inputs[1:]])
    ops = [
        Op("Transpose", ["x"], "turned", {"perm": [0, 3, 1, 2]}),
        *(first, *TINY[1:]),
        Op("Softmax", ["logits"], "shares", {"axis": 1}),
    ]
    shape = ("N", 32, 32, 3)
    file.write_bytes(onnx_bytes(ops, weights_of(TinyNet()), shape=shape, outputs=["shares"]))
    backbone = load_backbone(str(file))
    assert [one.name for one in backbone.stages] == ["shallow", "flat"]
    outputs, x = run(backbone, 32)
    with torch.no_grad():
        np.testing.assert_allclose(outputs[-1], TinyNet()(x).softmax(1), atol=1e-5)


def test_only_openvino_runs_it(file):
    backbone = load_backbone(str(file))
    for call in (backbone.network, backbone.tensors, lambda: backbone.with_tensors({})):
        with pytest.raises(NoTorchFormError, match=r"net\.onnx"):
            call()
    with pytest.raises(NoTorchFormError):
        build_engine(backbone, replace(PLAN, engine=EngineName.PYTORCH), requested="pytorch")
    on_gpu = build_engine(backbone, replace(PLAN, engine=EngineName.PYTORCH))
    assert on_gpu.plan.engine is EngineName.OPENVINO


def test_a_size_that_is_built_in(tmp_path):
    file = write_tiny(tmp_path)
    kept = [op for op in TINY if op.kind not in ("GlobalAveragePool", "Gemm")]
    weights = weights_of(TinyNet()) | {"wide": np.ones((4, 16 * 64), np.float32)}
    ops = [*kept[:-1], Op("Flatten", ["deep"], "flat")]
    ops.append(Op("Gemm", ["flat", "wide"], "logits", {"transB": 1}))
    del weights["fc.weight"], weights["fc.bias"]
    file.write_bytes(onnx_bytes(ops, weights, shape=("N", 3, "H", "W")))
    backbone = load_backbone(str(file))
    assert not backbone.any_size
    with pytest.raises(BackboneError, match="takes only images of 32 x 32 pixels"):
        View("net.onnx", 48).of(backbone)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not an ONNX network"),
        (b"\x08\x08 not a network", "not an ONNX network"),
        (onnx_bytes(TINY, weights_of(TinyNet()), elsewhere="/etc/hostname"), "in the same file"),
        (onnx_bytes(TINY, weights_of(TinyNet()), outputs=["flat", "logits"]), "2 outputs"),
        (onnx_bytes(TINY, weights_of(TinyNet())).replace(b"third", b"th\xe4rd"), "not text"),
        (onnx_bytes(TINY, weights_of(TinyNet()), shape=("N", 3, 224, 224)), None),
        (onnx_bytes([Op("Relu", ["x"], "logits")], {}, shape=("N", 7)), r"\(N, 3, H, W\)"),
    ],
)
def test_files_that_are_no_network_to_use(tmp_path, content, words):
    file = write_tiny(tmp_path)
    file.write_bytes(content)
    if words is None:  # a stated size other than the exported one, which this network takes
        assert load_backbone(str(file)).stages[-1].width == 16
        return
    with pytest.raises(BackboneError, match=words):
        load_backbone(str(file))


def test_no_file(tmp_path):
    for call in (load_backbone, check_name):
        with pytest.raises(BackboneError, match="check the path"):
            call(str(tmp_path / "net.onnx"))


class TestPreprocessing:
    def test_is_asked_for(self, tmp_path):
        file = write_tiny(tmp_path, stated=None)
        with pytest.raises(BackboneError, match=r"net\.toml") as raised:
            load_backbone(str(file))
        example = str(raised.value).partition("such as: ")[2].partition(" (mean")[0]
        entries = example.replace(", crop", "\ncrop").replace(", inter", "\ninter")
        entries = entries.replace(", mean", "\nmean").replace(", std", "\nstd")
        file.with_suffix(".toml").write_text(entries)
        assert load_backbone(str(file)).preprocessing.crop == 224

    def test_as_json(self, tmp_path):
        file = write_tiny(tmp_path, stated=None)
        stated = {**STATED, "resize": "stretch"}
        file.with_suffix(".json").write_text(json.dumps(stated))
        assert load_backbone(str(file)).preprocessing.resize is Resize.STRETCH

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"mean": None}, "has no mean"),
            ({"channels": "bgr"}, "unknown entry 'channels'"),
            ({"mean": [123.0, 117.0, 104.0]}, "mean"),
            ({"interpolation": "cubic"}, "interpolation"),
            ({"size": "256"}, "size"),
        ],
    )
    def test_entries_that_are_wrong(self, change, words):
        stated = {name: one for name, one in (STATED | change).items() if one is not None}
        with pytest.raises(BackboneError, match=words):
            preprocessing_from(stated, where="net.toml")

    @pytest.mark.parametrize("text", ["size = ", "[]", "\0"])
    def test_files_that_are_no_table(self, tmp_path, text):
        file = write_tiny(tmp_path, stated=None)
        suffix = ".json" if text == "[]" else ".toml"
        file.with_suffix(suffix).write_text(text)
        with pytest.raises(BackboneError, match="net"):
            load_backbone(str(file))

    def test_published_networks_bring_their_own(self):
        with pytest.raises(BackboneError, match="do not give another"):
            load_backbone("efficientnet-lite0", preprocessing=preprocessing_from(STATED, where=""))
