"""The table tells the truth, costs nothing to list, and names lead to the right loader."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.numpy import save_file
from timm.layers import set_fused_attn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import get_model_weights

from headstart.backbones import lite
from headstart.backbones import torchvision as torchvision_backbones
from headstart.backbones.catalog import BackboneInfo, check_name, list_backbones, load_backbone
from headstart.errors import BackboneError

INFOS = list_backbones()
TORCHVISION = [info for info in INFOS if info.name.startswith("torchvision:")]
TIMM = [info for info in INFOS if info.name.startswith("timm:")]


def by_name(info: BackboneInfo) -> str:
    return info.name


def test_the_list():
    assert [info.name for info in INFOS[:3]] == list(lite.VARIANTS)
    assert len(TORCHVISION) >= 35
    assert len({info.name for info in INFOS}) == len(INFOS)
    assert all(0.5 < info.top1 < 0.9 for info in INFOS)


@pytest.mark.slow
@pytest.mark.parametrize("info", TORCHVISION, ids=by_name)
def test_numbers_of_torchvision(info):
    entry = get_model_weights(info.name.removeprefix("torchvision:")).DEFAULT
    assert info.source == entry.url
    assert info.parameters == entry.meta["num_params"]
    assert info.multiply_adds == round(entry.meta["_ops"] * 1000) * 1_000_000
    assert [info.input_size] == entry.transforms().crop_size
    assert info.top1 == pytest.approx(entry.meta["_metrics"]["ImageNet-1K"]["acc@1"] / 100)
    assert info.license == torchvision_backbones.license_of(entry)


@pytest.mark.slow
@pytest.mark.parametrize("info", [*TIMM, *INFOS[:3]], ids=by_name)
def test_numbers_of_timm(info):
    name = info.name.removeprefix("timm:")
    is_lite = name in lite.VARIANTS
    set_fused_attn(False)  # the counter does not see into fused attention
    try:
        model = timm.create_model(f"tf_{name.replace('-', '_')}" if is_lite else name).eval()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model(torch.zeros(1, 3, info.input_size, info.input_size))
    finally:
        set_fused_attn(True)
    config = model.pretrained_cfg
    assert config["input_size"] == (3, info.input_size, info.input_size)
    assert info.parameters == sum(p.numel() for p in model.parameters())
    assert info.license.lower() == config["license"]
    # TensorFlow counts additions of biases and normalization as well: 5% more for the Lite ones.
    slack = 0.06 if is_lite else 0.01
    assert counter.get_total_flops() / 2 == pytest.approx(info.multiply_adds, rel=slack)


def test_listing_needs_no_torch():
    code = (
        "import sys, headstart.backbones.catalog as c; c.list_backbones();"
        "heavy = {'torch', 'torchvision', 'timm', 'openvino', 'huggingface_hub'};"
        "loaded = heavy & set(sys.modules);"
        "assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_is_on_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    here = {info.name for info in list_backbones() if info.on_this_machine}
    assert here == {name for name in lite.VARIANTS if lite.weights_file(name)}
    resnet = tmp_path / "torch/hub/checkpoints/resnet18-f37072fd.pth"
    tiny = "models--timm--deit_tiny_patch16_224.fb_in1k/snapshots/0/model.safetensors"
    for file in (resnet, tmp_path / "hf/hub" / tiny):
        file.parent.mkdir(parents=True)
        file.touch()
    more = {info.name for info in list_backbones() if info.on_this_machine}
    assert more - here == {"torchvision:resnet18", "timm:deit_tiny_patch16_224.fb_in1k"}


def test_plain_names(tmp_path: Path):
    shapes = torchvision_backbones.architecture("squeezenet1_1").state_dict()
    file = tmp_path / "w.safetensors"
    save_file({k: np.zeros(v.shape, np.float32) for k, v in shapes.items()}, file)
    plain = load_backbone("squeezenet1_1", weights=file)
    assert plain.name == "torchvision:squeezenet1_1"
    assert plain.weights.source == "w.safetensors"
    assert plain.weights.license == "unstated"


def test_default_is_embedded():
    backbone = load_backbone()
    assert backbone.name == "efficientnet-lite0"
    assert backbone.has_graph


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ("resnet-50", "torchvision:resnet50"),
        ("efficientnet_lite0", "efficientnet-lite0"),
        ("VGG16", "torchvision:vgg16"),
        ("zzzz", "headstart backbones"),
    ],
)
def test_unknown_names(wrong, hint):
    with pytest.raises(BackboneError, match=rf"no backbone '{wrong}'.*{hint}"):
        load_backbone(wrong)


@pytest.mark.parametrize(
    ("slip", "close"),
    [
        ("efficientnet-lite9", "efficientnet-lite0"),
        ("torchvision:resnt18", "resnet18"),
        ("timm:vit_tiny_patch16_22", "vit_tiny_patch16_224"),
        ("keras:resnet50", "ResNet50"),
    ],
)
def test_a_name_is_checked_without_loading_a_network(slip: str, close: str):
    with pytest.raises(BackboneError, match=f"did you mean .*{close}"):
        check_name(slip)


def test_all_that_are_listed_have_names_that_are_known():
    for info in list_backbones():
        check_name(info.name)
    check_name("resnet18")
    check_name("hf-hub:owner/name")
