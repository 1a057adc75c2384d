"""The same picture and the same weights give what timm itself computes."""

import json
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.data import ImageNetInfo, create_transform, resolve_data_config

from headstart.backbones import timm as backbones
from headstart.backbones.imagenet import imagenet_classes
from headstart.errors import BackboneError, DownloadError
from headstart.preprocessing import Interpolation, Resize, prepare

CONFIG = {
    "input_size": [3, 64, 64],
    "crop_pct": 0.875,
    "interpolation": "bicubic",
    "mean": [0.5, 0.4, 0.3],
    "std": [0.2, 0.3, 0.4],
}


def pixels(image, preprocessing):
    """(1, 3, crop, crop) float32 in [0, 1], as a backbone takes them."""
    return torch.tensor(prepare(image, preprocessing)).permute(2, 0, 1)[None] / 255


@pytest.mark.parametrize(
    "name",
    [
        "tf_efficientnet_lite0.in1k",
        "vit_tiny_patch16_224.augreg_in21k_ft_in1k",
        "convnext_atto.d2_in1k",
        "swin_tiny_patch4_window7_224.ms_in1k",
    ],
)
def test_equals_timm(name, with_random_weights, pictures):
    backbone, model = with_random_weights(f"timm:{name}")
    network = backbone.network()
    transform = create_transform(**resolve_data_config({}, model=model))
    pairs = [(pixels(image, backbone.preprocessing), transform(image)[None]) for image in pictures]
    for ours, theirs in pairs:
        back = theirs * network.std + network.mean
        assert torch.equal((back * 255).round(), (ours * 255).round())
    for ours, theirs in pairs[:1]:
        with torch.no_grad():
            shared = model.forward_features(theirs)
            features = model.forward_head(shared, pre_logits=True)
            expected = model.forward_head(shared)
            found = network(ours)
        assert (found[-1] - expected).abs().max() <= 1e-5 * expected.abs().max()
        assert (found[-2] - features).abs().max() <= 1e-5 * features.abs().max()
        assert [stage.width for stage in backbone.stages] == [x.shape[1] for x in found[:-1]]


@pytest.mark.parametrize("mode", ["center", "squash"])
@pytest.mark.parametrize("crop_pct", [0.875, 0.9, 1.0])
def test_crop_modes(mode, crop_pct, pictures):
    config = {**CONFIG, "crop_mode": mode, "crop_pct": crop_pct}
    transform = create_transform(**resolve_data_config({}, pretrained_cfg=config))
    ours = backbones.preprocessing_of(config, "x")
    for image in pictures:
        mean, std = (torch.tensor(config[key]).view(3, 1, 1) for key in ("mean", "std"))
        theirs = ((transform(image) * std + mean) * 255).round()
        assert torch.equal(theirs, torch.tensor(prepare(image, ours)).permute(2, 0, 1).float())


def test_metadata_become_preprocessing():
    ours = backbones.preprocessing_of({**CONFIG, "crop_mode": "border"}, "x")
    assert (ours.size, ours.crop) == (73, 64)
    assert ours.interpolation is Interpolation.BICUBIC
    assert ours.resize is Resize.LONGER
    assert ours.fill == (128, 102, 76)


@pytest.mark.parametrize("key", sorted(CONFIG))
def test_preprocessing_is_never_guessed(key):
    config = {name: value for name, value in CONFIG.items() if name != key}
    with pytest.raises(BackboneError, match=f"x comes without {key}"):
        backbones.preprocessing_of(config, "x")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"interpolation": "random"}, "interpolation 'random'"),
        ({"input_size": [3, 64, 96]}, "3 x 64 x 96"),
        ({"input_size": [1, 64, 64]}, "1 x 64 x 64"),
        ({"crop_mode": "five"}, "crops by 'five'"),
    ],
)
def test_preprocessing_that_cannot_be_done(change, reason):
    with pytest.raises(BackboneError, match=reason):
        backbones.preprocessing_of({**CONFIG, **change}, "x")


def test_labels():
    lemmas = ImageNetInfo().label_descriptions()
    shared = sum(
        a.lower().split(",")[0] == b.lower()
        for a, b in zip(lemmas, imagenet_classes(), strict=True)
    )
    assert shared > 950  # the same order; the names themselves differ here and there
    big = backbones._labels({"num_classes": 21843, "tag": "augreg_in21k"}, hub=False)
    assert len(set(big)) == 21843
    assert backbones._labels({"num_classes": 0}, hub=False) == ()
    named = {"num_classes": 2, "label_names": ["a", "b"], "label_descriptions": {"a": "ant"}}
    assert backbones._labels(named, hub=True) == ("ant", "b")
    assert backbones._labels({"num_classes": 2, "hf_hub_id": "x/y"}, hub=True)[1] == "class 1"


def test_unknown_names():
    with pytest.raises(BackboneError, match="did you mean resnet50"):
        backbones.load("timm:resnet5o", weights=None)
    with pytest.raises(BackboneError, match="distilled networks have two"):
        backbones._staged(
            timm.create_model("deit_tiny_distilled_patch16_224").eval(),
            backbones.preprocessing_of({**CONFIG, "input_size": [3, 224, 224]}, "x"),
            "x",
        )


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the Hugging Face Hub."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("name", ["timm:resnet18.a1_in1k", "hf-hub:timm/resnet18.a1_in1k"])
def test_not_here_and_no_download(name, offline):
    with pytest.raises(DownloadError, match=r"not on this machine.*--weights FILE"):
        backbones.load(name, weights=None, allow_download=False)


def cached(folder: Path, repository: str, files: dict[str, bytes]) -> None:
    """Lay files out as huggingface_hub's cache does."""
    root = folder / f"models--{repository.replace('/', '--')}"
    (root / "snapshots" / ("0" * 40)).mkdir(parents=True)
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text("0" * 40)
    for name, content in files.items():
        (root / "snapshots" / ("0" * 40) / name).write_bytes(content)


@pytest.mark.parametrize("prefix", ["", "timm:"])
def test_a_repository_on_the_hub(prefix, offline, tmp_path):
    torch.manual_seed(0)
    model = timm.create_model("resnet10t", num_classes=2).eval()
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    config = {
        "architecture": "resnet10t",
        "num_classes": 2,
        "label_names": ["ant", "bee"],
        "pretrained_cfg": {**CONFIG, "license": "mit", "first_conv": "conv1.0", "classifier": "fc"},
    }
    files = {
        "config.json": json.dumps(config).encode(),
        "model.safetensors": (tmp_path / "w.safetensors").read_bytes(),
    }
    cached(offline, "someone/insects", files)
    backbone = backbones.load(f"{prefix}hf-hub:someone/insects", weights=None, allow_download=False)
    assert backbone.labels == ("ant", "bee")
    assert backbone.weights.source == "https://huggingface.co/someone/insects"
    assert backbone.weights.licence == "MIT"
    assert backbone.preprocessing.size == 73
    network = backbone.network()
    x = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        expected = model((x - network.mean) / network.std)
        assert torch.allclose(network.logits(x), expected, atol=1e-6)


def test_a_repository_without_metadata(offline):
    config = {"architecture": "resnet10t", "pretrained_cfg": {"num_classes": 2}}
    cached(offline, "someone/bare", {"config.json": json.dumps(config).encode()})
    with pytest.raises(BackboneError, match="headstart does not guess"):
        backbones.load("hf-hub:someone/bare", weights=None, allow_download=False)
    cached(offline, "someone/bert", {"config.json": b'{"architectures": ["BertModel"]}'})
    with pytest.raises(BackboneError, match="not in timm's format"):
        backbones.load("hf-hub:someone/bert", weights=None, allow_download=False)


def test_the_embedded_network_in_pytorch():
    torch.manual_seed(0)
    model = timm.create_model("tf_efficientnet_lite0").eval()
    tensors = {
        f"t{index}": value.numpy()
        for index, (key, value) in enumerate(model.state_dict().items())
        if "num_batches_tracked" not in key
    }
    network = backbones.lite_network("efficientnet-lite0", tensors)
    x = torch.rand(1, 3, 224, 224)
    with torch.no_grad():
        found = network(x)
        normalised = (x - network.mean) / network.std
        assert torch.equal(found[-1], model(normalised))
        features = model.forward_head(model.forward_features(normalised), pre_logits=True)
    assert torch.equal(found[-2], features)
    assert [y.shape[1] for y in found] == [16, 24, 40, 80, 112, 192, 320, 1280, 1000]
    short = dict(list(tensors.items())[:-1])
    with pytest.raises(BackboneError, match=f"they are {len(short)} tensors"):
        backbones.lite_network("efficientnet-lite0", short)


def test_weights_of_another_network(tmp_path: Path):
    save_file({"head.weight": torch.zeros(2, 2)}, tmp_path / "w.safetensors")
    with pytest.raises(BackboneError, match="do not fit timm:resnet10t"):
        backbones.load("timm:resnet10t.c3_in1k", weights=tmp_path / "w.safetensors")
