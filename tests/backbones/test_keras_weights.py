"""Files of Keras's weights: every format, what does not fit, where they are kept, other weights."""

import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from headstart.backbones import keras as backbones
from headstart.backbones.catalog import list_backbones, load_backbone
from headstart.backbones.source import published_weights
from headstart.errors import BackboneError, DownloadError
from tests.backbones.keras_models import (
    application,
    assert_computes_the_same,
    calibrate,
    keras,
    pictures,
    random_model,
)

# Keras 3.15 turns tensors into arrays in a way that NumPy 2 frowns upon, also when it saves.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

file_utils = keras.src.utils.file_utils

SMALL = "MobileNetV3Small"


def test_every_format_holds_the_same(small_keras, tmp_path: Path):
    whole, older, tensors = (tmp_path / f"small.{end}" for end in ("keras", "h5", "safetensors"))
    small_keras.model.save(whole)
    keras.src.saving.saving_api.legacy_h5_format.save_model_to_hdf5(small_keras.model, older)
    state = small_keras.backbone.network().model.state_dict()
    save_file({name: value.numpy() for name, value in state.items()}, tensors)
    for file in (whole, older, tensors):
        loaded = load_backbone(f"keras:{SMALL}", weights=file)
        assert loaded.weights.digest == small_keras.backbone.weights.digest


def test_a_whole_model_runs_no_code(small_keras, tmp_path: Path):
    # What a .keras file says of layers is not looked at; so it can be anything.
    whole, evil = tmp_path / "small.keras", tmp_path / "evil.keras"
    small_keras.model.save(whole)
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(evil, "w") as target:
        target.writestr("model.weights.h5", source.read("model.weights.h5"))
        config = {"module": "os", "class_name": "system", "config": {"command": "exit 1"}}
        target.writestr("config.json", json.dumps(config))
        target.writestr("metadata.json", source.read("metadata.json"))
    expected = load_backbone(f"keras:{SMALL}", weights=whole).weights.digest
    assert load_backbone(f"keras:{SMALL}", weights=evil).weights.digest == expected


def _of_another_network(folder: Path) -> Path:
    layers = keras.layers
    inputs = keras.Input((8, 8, 3))
    outputs = layers.Dense(3)(layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(inputs)))
    file = folder / "other.weights.h5"
    keras.Model(inputs, outputs).save_weights(file)
    return file


def _damaged(folder: Path) -> Path:
    file = folder / "damaged.h5"
    file.write_bytes(b"no HDF5")
    return file


def _empty(folder: Path) -> Path:
    file = folder / "empty.weights.h5"
    h5py.File(file, "w").close()
    return file


def _wrong_tensors(folder: Path) -> Path:
    file = folder / "wrong.safetensors"
    save_file({"conv.kernel": np.zeros((3, 3, 3, 16), np.float32)}, file)
    return file


@pytest.mark.parametrize("make", [_of_another_network, _damaged, _empty, _wrong_tensors])
def test_files_that_do_not_fit(make: Callable[[Path], Path], tmp_path: Path):
    with pytest.raises(BackboneError, match="fit keras:MobileNetV3Small"):
        load_backbone(f"keras:{SMALL}", weights=make(tmp_path))


def test_no_such_file(tmp_path: Path):
    with pytest.raises(BackboneError, match=r"no weights file at .*none\.h5"):
        load_backbone(f"keras:{SMALL}", weights=tmp_path / "none.h5")


def test_not_here_and_no_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with pytest.raises(DownloadError, match=r"weights_mobilenet_v3_small.*--weights FILE"):
        load_backbone(f"keras:{SMALL}", weights=None, allow_download=False)


def test_published_weights_are_checked(
    small_keras, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    content = small_keras.file.read_bytes()
    table, name = published_weights("keras"), f"keras:{SMALL}"
    published = {
        "url": "https://x.example/small.weights.h5",
        "checksum": hashlib.md5(content).hexdigest(),
        "file": "small.weights.h5",
    }
    monkeypatch.setitem(table, name, published)
    here = tmp_path / "models" / "small.weights.h5"
    here.parent.mkdir()
    here.write_bytes(content)
    backbone = load_backbone(f"keras:{SMALL}", weights=None, allow_download=False)
    assert backbone.weights.source == published["url"]
    assert backbone.weights.license == "unstated"
    here.write_bytes(b"broken off")
    with pytest.raises(DownloadError, match=r"is not the file that Keras publishes.*delete it"):
        load_backbone(f"keras:{SMALL}", weights=None, allow_download=False)


def test_what_is_on_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "efficientnetb0.h5").touch()
    here = [i.name for i in list_backbones() if i.name.startswith("keras:") and i.on_this_machine]
    assert here == ["keras:EfficientNetB0"]


def test_efficientnets_published_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # Built by Keras for its published weights, the network divides once more than from scratch.
    model = random_model("EfficientNetB0")
    (layer,) = (one for one in model.layers if isinstance(one, keras.layers.Normalization))
    layer.adapt_mean.assign([0.485, 0.456, 0.406])
    layer.adapt_variance.assign([0.229, 0.224, 0.225])
    layer.finalize_state()
    file = tmp_path / "published.h5"
    keras.src.saving.saving_api.legacy_h5_format.save_model_to_hdf5(model, file)
    monkeypatch.setattr(file_utils, "get_file", lambda *args, **options: file)
    published = application("EfficientNetB0")(weights="imagenet")
    assert len(published.layers) == len(model.layers) + 1
    calibrate(published, pictures(224, 4).astype(np.float32))
    keras.src.saving.saving_api.legacy_h5_format.save_model_to_hdf5(published, file)
    backbone = load_backbone("keras:EfficientNetB0", weights=file)
    assert_computes_the_same(backbone, published, "EfficientNetB0")


def test_weights_from_scratch_are_not_taken_for_published_ones():
    std = np.array([0.229, 0.224, 0.225], np.float32)
    for variance in (np.ones(3, np.float32), np.square(std)):
        given = {"normalization.variance": variance, "stem_bn.gamma": std}
        assert backbones.with_variances(given) is given
    published = {"normalization.variance": std, "stem_bn.gamma": std}
    found = backbones.with_variances(published)
    assert found["normalization.variance"] == pytest.approx(np.square(std))
    assert found["stem_bn.gamma"] is published["normalization.variance"] is std


def test_other_weights(small_keras):
    backbone = small_keras.backbone
    given = backbone.tensors()
    changed = {name: np.array(array) for name, array in given.items()}
    changed["logits.bias"] += 1
    changed["conv.kernel"] *= 2
    other = backbone.with_tensors(changed)
    assert other.weights.digest != backbone.weights.digest
    assert list(other.tensors()) == list(given)
    assert all(np.array_equal(other.tensors()[name], array) for name, array in changed.items())
    assert backbone.with_tensors(given).weights.digest == backbone.weights.digest
    shown = torch.tensor(pictures(224, 1)).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        before, after = backbone.network()(shown), other.network()(shown)
        again = other.with_tensors(given).network()(shown)
    assert all(not torch.allclose(a, b, rtol=1e-3) for a, b in zip(before, after, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(before, again, strict=True))
    assert not any(one.requires_grad for one in other.network().parameters())
    del changed["logits.bias"]
    with pytest.raises(BackboneError, match=r"do not fit keras:MobileNetV3Small: logits.bias is"):
        backbone.with_tensors(changed)
