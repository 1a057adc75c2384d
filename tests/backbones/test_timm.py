"""The same picture and the same weights give what timm itself computes."""

import json
import re
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.data import ImageNetInfo, create_transform, resolve_data_config

from headstart.backbones import timm as backbones
from headstart.backbones.catalog import load_backbone
from headstart.backbones.imagenet_names import imagenet_classes
from headstart.backbones.timm_metadata import labels_of, preprocessing_of
from headstart.errors import BackboneError, DownloadError
from headstart.images.preprocessing import Interpolation, Resize, prepare

pytestmark = pytest.mark.slow

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


@pytest.mark.usefixtures("resized_whole")
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


@pytest.mark.usefixtures("resized_whole")
@pytest.mark.parametrize("mode", ["center", "squash"])
@pytest.mark.parametrize("crop_pct", [0.875, 0.9, 1.0])
def test_crop_modes(mode, crop_pct, pictures):
    config = {**CONFIG, "crop_mode": mode, "crop_pct": crop_pct}
    transform = create_transform(**resolve_data_config({}, pretrained_cfg=config))
    ours = preprocessing_of(config, "x")
    for image in pictures:
        mean, std = (torch.tensor(config[key]).view(3, 1, 1) for key in ("mean", "std"))
        theirs = ((transform(image) * std + mean) * 255).round()
        assert torch.equal(theirs, torch.tensor(prepare(image, ours)).permute(2, 0, 1).float())


def test_metadata_become_preprocessing():
    ours = preprocessing_of({**CONFIG, "crop_mode": "border"}, "x")
    assert (ours.size, ours.crop) == (73, 64)
    assert ours.interpolation is Interpolation.BICUBIC
    assert ours.resize is Resize.LONGER
    assert ours.fill == (128, 102, 76)


@pytest.mark.parametrize("key", sorted(CONFIG))
def test_preprocessing_is_never_guessed(key):
    config = {name: value for name, value in CONFIG.items() if name != key}
    with pytest.raises(BackboneError, match=f"x comes without {key}"):
        preprocessing_of(config, "x")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"interpolation": "random"}, "interpolation 'random'"),
        ({"input_size": [3, 64, 96]}, r"\[3, 64, 96\]"),
        ({"input_size": [1, 64, 64]}, r"\[1, 64, 64\]"),
        ({"crop_mode": "five"}, "crops by 'five'"),
    ],
)
def test_preprocessing_that_cannot_be_done(change, reason):
    with pytest.raises(BackboneError, match=reason):
        preprocessing_of({**CONFIG, **change}, "x")


def test_labels():
    lemmas = ImageNetInfo().label_descriptions()
    shared = sum(
        a.lower().split(",")[0] == b.lower()
        for a, b in zip(lemmas, imagenet_classes(), strict=True)
    )
    assert shared > 950  # the same order; the names themselves differ here and there
    big = labels_of({"num_classes": 21843, "tag": "augreg_in21k"}, hub=False)
    assert len(set(big)) == 21843
    assert labels_of({"num_classes": 0}, hub=False) == ()
    named = {"num_classes": 2, "label_names": ["a", "b"], "label_descriptions": {"a": "ant"}}
    assert labels_of(named, hub=True) == ("ant", "b")
    assert labels_of({"num_classes": 2, "hf_hub_id": "x/y"}, hub=True)[1] == "class 1"


def test_unknown_names():
    with pytest.raises(BackboneError, match="did you mean resnet50"):
        load_backbone("timm:resnet5o", weights=None)
    with pytest.raises(BackboneError, match="distilled networks have two"):
        backbones._staged(
            timm.create_model("deit_tiny_distilled_patch16_224").eval(),
            preprocessing_of({**CONFIG, "input_size": [3, 224, 224]}, "x"),
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
        load_backbone(name, weights=None, allow_download=False)


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
    backbone = load_backbone(f"{prefix}hf-hub:someone/insects", weights=None, allow_download=False)
    assert backbone.labels == ("ant", "bee")
    assert backbone.weights.source == "https://huggingface.co/someone/insects"
    assert backbone.weights.license == "MIT"
    assert backbone.preprocessing.size == 73
    network = backbone.network()
    x = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        expected = model((x - network.mean) / network.std)
        assert torch.allclose(network.logits(x), expected, atol=1e-6)


def test_a_repository_without_metadata(offline):
    config = {"architecture": "resnet10t", "pretrained_cfg": {"num_classes": 2}}
    cached(offline, "someone/bare", {"config.json": json.dumps(config).encode()})
    with pytest.raises(BackboneError, match="a complete timm pretrained_cfg"):
        load_backbone("hf-hub:someone/bare", weights=None, allow_download=False)
    cached(offline, "someone/bert", {"config.json": b'{"architectures": ["BertModel"]}'})
    with pytest.raises(BackboneError, match="not in timm's format"):
        load_backbone("hf-hub:someone/bert", weights=None, allow_download=False)


INSECTS = {"architecture": "resnet10t", "num_classes": 2, "pretrained_cfg": CONFIG}


class Malicious:
    """A pickle that makes a file when it is read."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("places", [{}, {"source": "hf-hub"}, {"custom_load": "hf"}])
def test_a_pickle_on_the_hub_runs_nothing(zipped, places, offline, tmp_path):
    marker = tmp_path / "it-ran"
    torch.save(
        {"conv1.weight": Malicious(marker)},
        tmp_path / "evil.bin",
        _use_new_zipfile_serialization=zipped,
    )
    evil = (tmp_path / "evil.bin").read_bytes()
    config = {**INSECTS, "pretrained_cfg": {**CONFIG, **places}}
    files = {"config.json": json.dumps(config).encode(), "pytorch_model.bin": evil}
    cached(offline, "someone/evil", files)
    with pytest.raises(BackboneError, match="without running code"):
        load_backbone("hf-hub:someone/evil", weights=None, allow_download=False)
    assert not marker.exists()
    torch.load(tmp_path / "evil.bin", weights_only=False)
    assert marker.exists()  # the file is what it claims to be


@pytest.mark.parametrize(
    "arguments",
    [
        {"checkpoint_path": "/tmp/evil.bin"},
        {"pretrained": True},
        {"pretrained_cfg": {"file": "/tmp/evil.bin"}},
        {"pretrained_cfg_overlay": {"file": "/tmp/evil.bin"}},
        {"cache_dir": "/tmp"},
        {"block_args": {"a": 1}},
        {"channels": [[1]]},
        ["checkpoint_path"],
        {"no_such_argument": 1},
        {"layers": "two"},
    ],
    ids=str,
)
@pytest.mark.parametrize("own", [False, True])
def test_the_hub_may_not_tell_timm_what_to_read(arguments, own, offline, tmp_path):
    config = {**INSECTS, "model_args": arguments}
    save_file({"a": torch.zeros(1)}, tmp_path / "own.safetensors")
    files = {
        "config.json": json.dumps(config).encode(),
        "model.safetensors": (tmp_path / "own.safetensors").read_bytes(),
    }
    cached(offline, "someone/evil", files)
    weights = tmp_path / "own.safetensors" if own else None
    with pytest.raises(BackboneError, match="model_args"):
        load_backbone("hf-hub:someone/evil", weights=weights, allow_download=False)


def test_the_hub_may_describe_the_network_and_pytorchs_format_is_read(offline, tmp_path):
    model = timm.create_model("resnet10t", num_classes=2, act_layer="silu", channels=(8, 8, 16, 16))
    torch.save(model.state_dict(), tmp_path / "w.bin")
    # Places to read from are not passed on.
    places = {"file": "/nowhere", "url": "file:///nowhere", "source": "local-dir", "tag": "a"}
    config = {
        **INSECTS,
        "pretrained_cfg": {**CONFIG, **places, "state_dict": {"a": 1}},
        "model_args": {"act_layer": "silu", "channels": [8, 8, 16, 16]},
    }
    weights = (tmp_path / "w.bin").read_bytes()
    files = {"config.json": json.dumps(config).encode(), "pytorch_model.bin": weights}
    cached(offline, "someone/small", files)
    network = load_backbone("hf-hub:someone/small", weights=None, allow_download=False).network()
    assert "state_dict" not in network.model.pretrained_cfg
    x = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        expected = model.eval()((x - network.mean) / network.std)
        assert torch.allclose(network.logits(x), expected, atol=1e-6)


def test_timm_still_renames_what_its_published_files_call_otherwise(offline, tmp_path):
    # Facebook's file of ConvNeXt: other names for the same network, under "model".
    model = timm.create_model("convnext_atto", num_classes=2).eval()
    old = {}
    for key, value in model.state_dict().items():
        key = key.replace("stem.", "downsample_layers.0.").replace(".mlp.fc", ".pwconv")
        key = key.replace(".conv_dw.", ".dwconv.").replace("head.fc.", "head.")
        key = re.sub(r"stages\.(\d)\.downsample\.", r"downsample_layers.\1.", key)
        key = re.sub(r"stages\.(\d)\.blocks\.", r"stages.\1.", key)
        old["norm." + key.rpartition(".")[2] if key.startswith("head.norm.") else key] = value
    torch.save({"model": old}, tmp_path / "w.bin")
    config = {**INSECTS, "architecture": "convnext_atto"}
    files = {
        "config.json": json.dumps(config).encode(),
        "pytorch_model.bin": (tmp_path / "w.bin").read_bytes(),
    }
    cached(offline, "someone/old", files)
    network = load_backbone("hf-hub:someone/old", weights=None, allow_download=False).network()
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        expected = model((x - network.mean) / network.std)
        assert torch.allclose(network.logits(x), expected, atol=1e-6)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"\xff", b'{"architecture": 1}', b"{}", b"[" * 10**5]
)
def test_a_config_that_is_none(content, offline):
    cached(offline, "someone/broken", {"config.json": content})
    with pytest.raises(BackboneError, match="not in timm's format"):
        load_backbone("hf-hub:someone/broken", weights=None, allow_download=False)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("mean", [0.5, float("nan"), 0.5]),
        ("mean", 0.5),
        ("std", [0, 0, 0]),
        ("std", [1, 1, -1]),
        ("input_size", [3, 10**9, 10**9]),
        ("input_size", [3, "64", "64"]),
        ("crop_pct", float("nan")),
        ("crop_pct", 10**400),
        ("crop_pct", True),
        ("crop_mode", ["center"]),
        ("interpolation", {"a": 1}),
        ("num_classes", 10**9),
        ("num_classes", "2"),
        ("num_classes", None),
    ],
)
def test_odd_values_of_a_config_are_refused(key, value, offline, tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "own.safetensors")
    config = {**INSECTS, "pretrained_cfg": {**CONFIG, key: value}}
    if key == "num_classes":
        del config[key]
    cached(offline, "someone/odd", {"config.json": json.dumps(config).encode()})
    with pytest.raises(BackboneError, match=r"someone/odd|classes"):
        load_backbone("hf-hub:someone/odd", weights=tmp_path / "own.safetensors")


@pytest.mark.parametrize(
    "arguments",
    [{"layers": [100_000] * 4}, {"channels": [100_000] * 4}, {"base_width": 10**9}],
    ids=str,
)
def test_a_network_larger_than_its_weights_takes_no_memory(arguments, offline, tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "own.safetensors")
    config = {**INSECTS, "model_args": arguments}
    cached(offline, "someone/huge", {"config.json": json.dumps(config).encode()})
    with pytest.raises(BackboneError, match=r"larger network|no network of timm"):
        load_backbone("hf-hub:someone/huge", weights=tmp_path / "own.safetensors")


@pytest.mark.parametrize("hub", [True, False])
def test_a_network_that_cannot_be_built_without_memory(hub, offline, tmp_path):
    model = timm.create_model("vitamin_small_224", num_classes=2 if hub else 384)
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    name = "timm:vitamin_small_224.datacomp1b_clip"
    if hub:
        name = "hf-hub:someone/own"
        own = {**CONFIG, "input_size": [3, 224, 224]}
        config = {"architecture": "vitamin_small_224", "num_classes": 2, "pretrained_cfg": own}
        cached(offline, "someone/own", {"config.json": json.dumps(config).encode()})
    assert load_backbone(name, weights=tmp_path / "w.safetensors").network()


def test_a_file_of_weights_that_is_too_small_is_to_blame_itself(tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(BackboneError, match="do not fit timm:resnet50"):
        load_backbone("timm:resnet50.a1_in1k", weights=tmp_path / "w.safetensors")


def test_what_cannot_be_built_is_said_without_arguments_that_there_are_not(tmp_path, monkeypatch):
    def fail(*args, **options):
        raise RuntimeError("no\nmore")

    monkeypatch.setattr(timm, "create_model", fail)
    save_file({"a": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(BackboneError, match=r"timm cannot build resnet10t \(no\); try"):
        load_backbone("timm:resnet10t.c3_in1k", weights=tmp_path / "w.safetensors")


def test_weights_of_another_network(tmp_path: Path):
    save_file({"head.weight": torch.zeros(2, 2)}, tmp_path / "w.safetensors")
    with pytest.raises(BackboneError, match="do not fit timm:resnet10t"):
        load_backbone("timm:resnet10t.c3_in1k", weights=tmp_path / "w.safetensors")
