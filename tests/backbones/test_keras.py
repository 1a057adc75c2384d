"""The same picture and the same weights give what Keras itself computes; files, names, backends."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace

import h5py
import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from headstart.backbones import keras as backbones
from headstart.backbones import keras_backend
from headstart.backbones.backbone import Backbone
from headstart.backbones.catalogue import list_backbones, load_backbone
from headstart.backbones.imagenet import imagenet_classes
from headstart.backbones.keras_graph import layer_graph
from headstart.backbones.keras_network import find_stages
from headstart.backbones.keras_weights import PUBLISHED, Published
from headstart.errors import BackboneError, DownloadError, MissingExtraError
from headstart.preprocessing import Interpolation
from tests.backbones.keras_models import (
    application,
    calibrate,
    keras,
    pictures,
    predict,
    preprocess_input,
    random_model,
)

# Keras 3.15 turns tensors into arrays in a way that NumPy 2 frowns upon, also when it saves.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

file_utils = keras.src.utils.file_utils

SMALL = "MobileNetV3Small"
INFOS = {info.name: info for info in list_backbones()}


def logits_of(probabilities: np.ndarray) -> np.ndarray:
    """Logits but for a constant a picture, which is set so that their mean is 0."""
    logs = np.log(probabilities.astype(np.float64))
    return logs - logs.mean(axis=1, keepdims=True)


def assert_computes_the_same(backbone: Backbone, model: object, short: str) -> None:
    shown = pictures(backbone.preprocessing.crop)
    prepared = preprocess_input(short)(shown.astype(np.float32))
    expected = logits_of(predict(model, prepared))
    with torch.no_grad():
        logits = backbone.network().logits(torch.tensor(shown).permute(0, 3, 1, 2) / 255)
    ours = logits.double().numpy()
    ours -= ours.mean(axis=1, keepdims=True)
    assert np.ptp(expected, axis=0).max() > 1e-3 * np.abs(expected).max()  # pictures differ
    assert np.abs(ours - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.fixture(scope="module")
def small() -> object:
    return random_model(SMALL)


@pytest.fixture(scope="module")
def small_file(small, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("keras") / "small.weights.h5"
    small.save_weights(file)
    return file


@pytest.fixture(scope="module")
def small_backbone(small_file) -> Backbone:
    return load_backbone(f"keras:{SMALL}", weights=small_file, allow_download=False)


@pytest.mark.parametrize(
    ("short", "mode"),
    [
        ("ResNet50", "caffe"),
        ("DenseNet121", "torch"),
        ("MobileNet", "tf"),
        ("ConvNeXtTiny", "within"),
    ],
)
def test_equals_keras(short: str, mode: str, tmp_path: Path):
    model = random_model(short)
    file = tmp_path / "random.weights.h5"
    model.save_weights(file)
    backbone = load_backbone(f"keras:{short}", weights=file, allow_download=False)
    assert_computes_the_same(backbone, model, short)
    preprocessing = backbone.preprocessing
    mean, std = {
        "caffe": ((123.68 / 255, 116.779 / 255, 103.939 / 255), (1 / 255,) * 3),
        "torch": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        "tf": ((0.5,) * 3, (0.5,) * 3),
        "within": ((0.0,) * 3, (1 / 255,) * 3),
    }[mode]
    assert preprocessing.mean == pytest.approx(mean, abs=1e-11)
    assert preprocessing.std == pytest.approx(std, abs=1e-11)


def test_mobilenet_v3_equals_keras(small, small_backbone):
    assert_computes_the_same(small_backbone, small, SMALL)


@contextmanager
def without_downloads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, str]]]:
    """Keras notes what it would fetch, and loads nothing."""
    wanted: list[dict[str, str]] = []

    def note(fname: str, origin: str, **options: str) -> Path:
        wanted.append({"file": fname, "url": origin, **options})
        return Path(fname)

    with monkeypatch.context() as patch:
        patch.setattr(file_utils, "get_file", note)
        patch.setattr(keras.Model, "load_weights", lambda self, *args, **options: None)
        yield wanted


@pytest.mark.parametrize("short", sorted(PUBLISHED))
def test_every_classifier(short: str, monkeypatch: pytest.MonkeyPatch):
    build = application(short)

    def with_published_weights(*, weights: None, **options: object) -> object:
        return build(weights="imagenet", **options)

    with without_downloads(monkeypatch) as wanted, monkeypatch.context() as patch:
        patch.setattr(backbones, "_application", lambda name: with_published_weights)
        model = backbones.architecture(f"keras:{short}")
    (fetched,) = wanted
    published = PUBLISHED[short]
    assert published.url == fetched["url"]
    assert published.file == fetched["file"]
    assert published.checksum == (fetched.get("file_hash") or "")
    assert fetched["cache_subdir"] == "models"

    channels, preprocessing = backbones._preprocessing(f"keras:{short}", model.input_shape[1])
    graph = layer_graph(model, channels, epsilon=1e-7)
    stages, head = find_stages(graph)
    joints = {step.name for step in graph.steps if step.joint}
    assert len(stages) >= 3
    assert len({stage.name for stage in stages}) == len(stages)
    assert joints >= {stage.name for stage in stages} or short == "NASNetLarge"
    assert model.output_shape == (None, 1000)
    assert head in dict(graph.named_children())
    assert graph.steps[-1].shape == (1, 1000)

    info = INFOS[f"keras:{short}"]
    assert info.source == published.url
    assert info.parameters == model.count_params()
    assert info.parameters == sum(tensor.numel() for tensor in graph.state_dict().values())
    assert info.input_size == preprocessing.crop == model.input_shape[1]
    assert preprocessing.crop < preprocessing.size <= preprocessing.crop * 8 / 7 + 1


def test_the_list_is_complete():
    own = {name for name in dir(keras.applications) if name[0].isupper()}
    listed = {name.removeprefix("keras:") for name in INFOS if name.startswith("keras:")}
    assert listed == set(PUBLISHED) == own - {"NASNetMobile"}


def test_multiply_adds():
    from torch.utils.flop_counter import FlopCounterMode

    for short in ("MobileNet", "ResNet50", SMALL):
        info = INFOS[f"keras:{short}"]
        graph = layer_graph(backbones.architecture(info.name), (0, 1, 2), epsilon=1e-7)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            graph(torch.zeros(1, 3, info.input_size, info.input_size, device="meta"))
        assert round(counter.get_total_flops() / 2e6) * 1_000_000 == info.multiply_adds


def test_stages_of_well_known_networks():
    def names(short: str) -> list[str]:
        graph = layer_graph(backbones.architecture(f"keras:{short}"), (0, 1, 2), epsilon=1e-7)
        return [stage.name for stage in find_stages(graph)[0]]

    assert names("VGG16") == [
        "block1_conv2", "block2_conv2", "block3_conv3", "block4_conv3", "block5_conv3",
        "fc1", "fc2",
    ]  # fmt: skip
    assert names("ResNet50") == [
        "conv2_block3_out", "conv3_block4_out", "conv4_block6_out", "conv5_block3_out",
    ]  # fmt: skip
    assert names("DenseNet121") == ["pool2_relu", "pool3_relu", "pool4_relu", "relu"]
    assert names("MobileNetV2")[-3:] == ["block_13_expand_relu", "block_16_project_BN", "out_relu"]


def test_keras_has_no_nasnet_mobile_for_pytorch():
    with pytest.raises(BackboneError, match=r"cannot build NASNetMobile .*torch backend"):
        backbones.load("keras:NASNetMobile", weights=None, allow_download=False)


def test_nasnet_has_stages_but_no_place_for_a_cut():
    graph = layer_graph(backbones.architecture("keras:NASNetLarge"), (0, 1, 2), epsilon=1e-7)
    names = [stage.name for stage in find_stages(graph)[0]]
    assert names == [
        "reduction_concat_stem_1", "normal_concat_5", "normal_concat_12", "activation_259",
    ]  # fmt: skip
    with pytest.raises(BackboneError, match="cannot be cut behind normal_concat_5"):
        graph.between("normal_concat_5", "predictions")


def test_unknown_names():
    with pytest.raises(BackboneError, match=r"no classifier 'resnet50'; did you mean ResNet50"):
        backbones.load("keras:resnet50", weights=None)
    with pytest.raises(BackboneError, match=r"no classifier '\?\?\?'; its own are .*VGG16"):
        backbones.load("keras:???", weights=None)


def test_labels_stages_and_digest(small_backbone, small):
    assert small_backbone.labels == imagenet_classes()
    assert small_backbone.stages[-1].width == 1024
    assert small_backbone.weights.source == "small.weights.h5"
    with torch.no_grad():
        outputs = small_backbone.network()(torch.zeros(1, 3, 224, 224))
    widths = [stage.width for stage in small_backbone.stages]
    assert [output.shape[1] for output in outputs] == [*widths, 1000]


def test_resizing():
    for short, size, way in (
        ("ResNet50", 256, Interpolation.BILINEAR),
        ("InceptionV3", 342, Interpolation.BILINEAR),
        ("EfficientNetB1", 272, Interpolation.BICUBIC),
        ("ConvNeXtTiny", 256, Interpolation.BICUBIC),
    ):
        crop = INFOS[f"keras:{short}"].input_size
        preprocessing = backbones._preprocessing(f"keras:{short}", crop)[1]
        assert (preprocessing.size, preprocessing.interpolation) == (size, way)


def test_every_format_holds_the_same(small, small_file, small_backbone, tmp_path: Path):
    whole, older, tensors = (tmp_path / f"small.{end}" for end in ("keras", "h5", "safetensors"))
    small.save(whole)
    keras.src.saving.saving_api.legacy_h5_format.save_model_to_hdf5(small, older)
    state = small_backbone.network().model.state_dict()
    save_file({name: value.numpy() for name, value in state.items()}, tensors)
    for file in (whole, older, tensors):
        loaded = backbones.load(f"keras:{SMALL}", weights=file)
        assert loaded.weights.digest == small_backbone.weights.digest


def test_a_whole_model_runs_no_code(small, tmp_path: Path):
    # What a .keras file says of layers is not looked at; so it can be anything.
    import zipfile

    whole, evil = tmp_path / "small.keras", tmp_path / "evil.keras"
    small.save(whole)
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(evil, "w") as target:
        target.writestr("model.weights.h5", source.read("model.weights.h5"))
        config = {"module": "os", "class_name": "system", "config": {"command": "exit 1"}}
        target.writestr("config.json", json.dumps(config))
        target.writestr("metadata.json", source.read("metadata.json"))
    expected = backbones.load(f"keras:{SMALL}", weights=whole).weights.digest
    assert backbones.load(f"keras:{SMALL}", weights=evil).weights.digest == expected


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
        backbones.load(f"keras:{SMALL}", weights=make(tmp_path))


def test_no_such_file(tmp_path: Path):
    with pytest.raises(BackboneError, match=r"no file of weights at .*none\.h5"):
        backbones.load(f"keras:{SMALL}", weights=tmp_path / "none.h5")


def test_not_here_and_no_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with pytest.raises(DownloadError, match=r"weights_mobilenet_v3_small.*--weights FILE"):
        backbones.load(f"keras:{SMALL}", weights=None, allow_download=False)


def test_published_weights_are_checked(small_file, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    published = Published("x/small.weights.h5", hashlib.md5(small_file.read_bytes()).hexdigest())
    monkeypatch.setitem(PUBLISHED, SMALL, published)
    here = tmp_path / "models" / "small.weights.h5"
    here.parent.mkdir()
    here.write_bytes(small_file.read_bytes())
    backbone = backbones.load(f"keras:{SMALL}", weights=None, allow_download=False)
    assert backbone.weights.source == published.url
    assert backbone.weights.licence == "unstated"
    here.write_bytes(b"broken off")
    with pytest.raises(DownloadError, match=r"is not the file that Keras publishes.*delete it"):
        backbones.load(f"keras:{SMALL}", weights=None, allow_download=False)


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
    backbone = backbones.load("keras:EfficientNetB0", weights=file)
    assert_computes_the_same(backbone, published, "EfficientNetB0")


def test_names_do_not_depend_on_what_was_built_before(small_backbone):
    keras.layers.ReLU()  # takes a number in this thread
    names = [step.name for step in small_backbone.network().model.steps]
    again = layer_graph(backbones.architecture(f"keras:{SMALL}"), (0, 1, 2), epsilon=1e-7)
    assert [step.name for step in again.steps] == names
    assert names[0] == "input_layer"


def test_the_users_settings_are_kept_and_left_out():
    keras.config.set_image_data_format("channels_first")
    keras.config.set_floatx("float16")
    try:
        model = backbones.architecture(f"keras:{SMALL}")
        assert keras.config.image_data_format() == "channels_first"
        assert keras.config.floatx() == "float16"
        channels, _ = backbones._preprocessing("keras:ResNet50", 224)
    finally:
        keras.config.set_image_data_format("channels_last")
        keras.config.set_floatx("float32")
    assert model.input_shape == (None, 224, 224, 3)
    assert {variable.dtype for variable in model.weights} == {"float32"}
    assert channels == (2, 1, 0)


def test_another_backend(monkeypatch: pytest.MonkeyPatch):
    other = ModuleType("keras")
    other.StatelessScope = object  # type: ignore[attr-defined]
    other.config = SimpleNamespace(backend=lambda: "jax")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "keras", other)
    with pytest.raises(BackboneError, match=r"keras:VGG16 .* with jax; set KERAS_BACKEND=torch"):
        backbones.load("keras:VGG16", weights=None)


def test_keras_2_or_none(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "keras", ModuleType("keras"))
    with pytest.raises(MissingExtraError, match=r"headstart\[keras\]"):
        backbones.load("keras:VGG16", weights=None)
    monkeypatch.delitem(sys.modules, "keras")
    monkeypatch.setattr(keras_backend, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"keras:VGG16 needs an extra"):
        backbones.load("keras:VGG16", weights=None)


def test_the_environment_is_left_as_it_was(tmp_path: Path):
    code = (
        "import os, sys; from headstart.backbones.keras_backend import import_keras;"
        "keras = import_keras('tests');"
        "print(keras.config.backend(), os.environ['KERAS_BACKEND'], 'tensorflow' in sys.modules)"
    )
    environment = {**os.environ, "KERAS_BACKEND": "jax", "KERAS_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["torch", "jax", "False"]


def test_weights_from_scratch_are_not_taken_for_published_ones():
    assert backbones._rescaling({"normalization.variance": np.ones(3, np.float32)}) is None
    squares = np.square([0.229, 0.224, 0.225])
    assert backbones._rescaling({"normalization.variance": squares}) is None
    assert backbones._rescaling({}) is None
