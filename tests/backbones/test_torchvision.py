"""The same picture and the same weights give what torchvision itself computes."""

import urllib.error
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from torchvision.models import get_model_weights, list_models
from torchvision.transforms.functional import pil_to_tensor

from headstart.backbones import torchvision as backbones
from headstart.backbones.catalog import load_backbone
from headstart.backbones.imagenet_names import imagenet_classes
from headstart.backbones.stage_discovery import find_stages
from headstart.errors import BackboneError, DownloadError
from headstart.images.preprocessing import prepare

pytestmark = pytest.mark.slow

ALL = list_models(module=__import__("torchvision.models").models)


def pixels(image, preprocessing):
    """(1, 3, crop, crop) float32 in [0, 1], as a backbone takes them."""
    return torch.tensor(prepare(image, preprocessing)).permute(2, 0, 1)[None] / 255


@pytest.mark.usefixtures("resized_whole")
@pytest.mark.parametrize(
    "name", ["alexnet", "vgg11", "resnet18", "mobilenet_v2", "convnext_tiny", "vit_b_16"]
)
def test_equals_torchvision(name, with_random_weights, pictures):
    backbone, model = with_random_weights(f"torchvision:{name}")
    network = backbone.network()
    preset = get_model_weights(name).DEFAULT.transforms()
    pairs = [(pixels(image, backbone.preprocessing), preset(image)[None]) for image in pictures]
    for ours, theirs in pairs:
        # The resized picture is the same to the last bit; its normalization to a rounding.
        back = theirs * network.std + network.mean
        assert torch.equal((back * 255).round(), (ours * 255).round())
    for ours, theirs in pairs[:3]:
        with torch.no_grad():
            expected, logits = model(theirs), network.logits(ours)
        assert (logits - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize(("name", "levels"), [("resnet50", 1), ("swin_t", 8)])
def test_resizing_tensors_is_another_thing(name, levels, pictures):
    # Given a uint8 tensor, torchvision's preset resizes by PyTorch instead of Pillow. Measured on
    # these pictures: bilinear (resnet50) changes 18% of the values by one level of 255, bicubic
    # (swin_t) 20%, the worst by 8. See docs/decisions/0002-resizing.md.
    preset = get_model_weights(name).DEFAULT.transforms()
    std = torch.tensor(preset.std).view(3, 1, 1)
    differences = [
        ((preset(pil_to_tensor(image)) - preset(image)) * std * 255).round().abs()
        for image in pictures
    ]
    assert max(difference.max() for difference in differences) == levels
    changed = [(difference > 0).float().mean() for difference in differences]
    assert 0.1 < sum(changed) / len(changed) < 0.25


@pytest.mark.parametrize("name", ALL)
def test_every_classifier_has_stages(name):
    side = get_model_weights(name).DEFAULT.transforms().crop_size[0]
    model = backbones.architecture(name)
    stages, head = find_stages(model, side, channels_last=name.startswith("swin"))
    names = [stage.name for stage in stages]
    classifier = model.get_submodule(head)
    inputs = getattr(classifier, "in_features", None) or classifier.in_channels
    outputs = getattr(classifier, "out_features", None) or classifier.out_channels
    assert len(stages) >= 3
    assert len(set(names)) == len(names)
    assert stages[-1].width == inputs
    assert outputs == 1000
    assert all(model.get_submodule(name) is not None for name in names)


def test_stages_of_well_known_networks():
    def names(name):
        return [stage.name for stage in find_stages(backbones.architecture(name), 224)[0]]

    assert names("resnet50") == ["layer1", "layer2", "layer3", "layer4"]
    assert names("vgg11")[-2:] == ["classifier.1", "classifier.4"]
    assert names("alexnet") == [
        "features.1", "features.4", "features.11", "classifier.2", "classifier.5",
    ]  # fmt: skip
    assert names("mobilenet_v2")[-2:] == ["features.17", "features.18"]
    assert names("mobilenet_v3_small")[-1] == "classifier.1"
    assert names("vit_b_16")[-2:] == ["encoder.layers.encoder_layer_11", "encoder.ln"]


@pytest.mark.parametrize("name", ALL)
def test_preprocessing_is_the_preset(name):
    preset = get_model_weights(name).DEFAULT.transforms()
    ours = backbones.preprocessing_of(preset, name)
    assert ([ours.size], [ours.crop]) == (preset.resize_size, preset.crop_size)
    assert ours.interpolation.value == preset.interpolation.value
    assert (list(ours.mean), list(ours.std)) == (list(preset.mean), list(preset.std))


def test_labels_are_torchvisions_in_order():
    theirs = get_model_weights("resnet50").DEFAULT.meta["categories"]
    ours = imagenet_classes()
    differing = {a: b for a, b in zip(theirs, ours, strict=True) if a != b}
    assert differing == {
        "crane bird": "crane (bird)",
        "crane": "crane (machine)",
        "maillot": "maillot (tights)",
        "maillot tank suit": "maillot (tank suit)",
        "Cardigan": "Cardigan (dog)",
        "cardigan": "cardigan (garment)",
    }
    assert len({name.lower() for name in ours}) == 1000
    for name in ALL:
        assert list(get_model_weights(name).DEFAULT.meta["categories"]) == list(theirs)


def test_auxiliary_classifiers_are_left_out(tmp_path: Path):
    model = backbones.architecture("googlenet")
    tensors = {k: np.zeros(v.shape, np.float32) for k, v in model.state_dict().items()}
    save_file(
        {**tensors, "aux1.fc1.weight": np.zeros((2, 2), np.float32)}, tmp_path / "w.safetensors"
    )
    backbone = load_backbone("torchvision:googlenet", weights=tmp_path / "w.safetensors")
    assert backbone.stages[-1].width == 1024


def test_names_of_older_files():
    old = {
        "features.denseblock1.denselayer2.norm.1.weight": 1,
        "encoder.layers.encoder_layer_0.mlp.linear_2.bias": 2,
    }
    assert backbones.current_names(old) == {
        "features.denseblock1.denselayer2.norm1.weight": 1,
        "encoder.layers.encoder_layer_0.mlp.3.bias": 2,
    }


def test_unknown_name():
    with pytest.raises(BackboneError, match=r"no classifier 'resnet51'.*resnet50"):
        load_backbone("torchvision:resnet51", weights=None)


def test_weights_of_another_network(tmp_path: Path):
    file = tmp_path / "w.safetensors"
    save_file({"conv1.weight": np.zeros((64, 3, 7, 7), np.float32)}, file)
    with pytest.raises(
        BackboneError, match=r"do not fit torchvision:resnet18: bn1\.weight is miss"
    ):
        load_backbone("torchvision:resnet18", weights=file)
    save_file({"conv1.weight": np.zeros((64, 3, 3, 3), np.float32)}, file)
    with pytest.raises(BackboneError, match=r"conv1\.weight is \(64, 3, 3, 3\).*\(64, 3, 7, 7\)"):
        load_backbone("torchvision:resnet18", weights=file)


def test_not_here_and_no_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(DownloadError, match=r"resnet18-f37072fd\.pth.*--weights FILE"):
        load_backbone("torchvision:resnet18", weights=None, allow_download=False)


def test_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_args, **_options):
        raise urllib.error.URLError("Network is unreachable")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", refuse)
    with pytest.raises(
        DownloadError, match=r"resnet18-f37072fd\.pth: no connection \(Network is .*--weights FILE"
    ) as caught:
        load_backbone("torchvision:resnet18", weights=None, allow_download=True)
    assert str(caught.value).count("https://") == 1


def test_licenses():
    entries = get_model_weights("vit_b_16")
    assert backbones.license_of(entries.IMAGENET1K_SWAG_E2E_V1) == "CC-BY-NC-4.0"
    assert backbones.license_of(entries.DEFAULT) == "unstated"
