"""The same picture and the same weights give what Keras itself computes; names, backends."""

import inspect
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from headstart.backbones import keras as backbones
from headstart.backbones import keras_backend
from headstart.backbones.catalog import list_backbones, load_backbone
from headstart.backbones.imagenet_names import imagenet_classes
from headstart.backbones.keras_network import keras_module
from headstart.backbones.keras_stages import find_stages, separating_operations
from headstart.backbones.source import published_weights
from headstart.errors import BackboneError, MissingExtraError
from headstart.images.preprocessing import Interpolation
from tests.backbones.keras_models import (
    application,
    assert_computes_the_same,
    keras,
    random_model,
)

# Keras 3.15 turns tensors into arrays in a way that NumPy 2 frowns upon, also when it saves.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

file_utils = keras.src.utils.file_utils

SMALL = "MobileNetV3Small"
INFOS = {info.name: info for info in list_backbones()}
SHORTS = sorted(name.removeprefix("keras:") for name in published_weights("keras"))


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


def test_mobilenet_v3_equals_keras(small_keras):
    assert_computes_the_same(small_keras.backbone, small_keras.model, SMALL)


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


# One of each family, the smallest, with the stages of those that everybody knows.
FAMILIES: dict[str, tuple[str, ...]] = {
    "ConvNeXtTiny": (),
    "DenseNet121": ("pool2_relu", "pool3_relu", "pool4_relu", "relu"),
    "EfficientNetB0": (),
    "EfficientNetV2B0": (),
    "InceptionResNetV2": (),
    "InceptionV3": (),
    "MobileNet": (),
    "MobileNetV2": ("block_13_expand_relu", "block_16_project_BN", "out_relu"),
    "MobileNetV3Small": (),
    "NASNetLarge": (
        "reduction_concat_stem_1", "normal_concat_5", "normal_concat_12", "activation_259",
    ),
    "ResNet50": (
        "conv2_block3_out", "conv3_block4_out", "conv4_block6_out", "conv5_block3_out",
    ),
    "ResNet50V2": (),
    "VGG16": (
        "block1_conv2", "block2_conv2", "block3_conv3", "block4_conv3", "block5_conv3",
        "fc1", "fc2",
    ),
    "Xception": (),
}  # fmt: skip
COUNTED = ("MobileNet", "ResNet50", SMALL)  # those whose multiply-adds are counted again


@pytest.mark.parametrize("short", FAMILIES)
def test_a_classifier_of_each_family(short: str, monkeypatch: pytest.MonkeyPatch):
    build = application(short)

    def with_published_weights(*, weights: None, **options: object) -> object:
        return build(weights="imagenet", **options)

    with without_downloads(monkeypatch) as wanted, monkeypatch.context() as patch:
        patch.setattr(backbones, "_application", lambda name: with_published_weights)
        model = backbones.architecture(f"keras:{short}")
    (fetched,) = wanted
    published = published_weights("keras")[f"keras:{short}"]
    assert published["url"] == fetched["url"]
    assert published["file"] == fetched["file"]
    assert published["checksum"] == (fetched.get("file_hash") or "")
    assert fetched["cache_subdir"] == "models"

    channels, preprocessing = backbones.preprocessing_of(f"keras:{short}", model.input_shape[1])
    module = keras_module(model, channels)
    stages, head = find_stages(model)
    names = tuple(stage.name for stage in stages)
    assert len(set(names)) == len(names) >= 3
    assert names[-len(FAMILIES[short]) :] == FAMILIES[short] or not FAMILIES[short]
    if short == "NASNetLarge":  # has stages, but no place for a cut
        with pytest.raises(BackboneError, match="cannot be cut after normal_concat_5"):
            module.part("normal_concat_5", ["predictions"])
    else:
        assert separating_operations(model) >= set(names)
    assert model.output_shape == (None, 1000)
    assert head in dict(module.named_children())
    assert model.operations[-1].output.shape == (None, 1000)

    info = INFOS[f"keras:{short}"]
    assert info.source == published["url"]
    assert info.parameters == model.count_params()
    assert info.parameters == sum(tensor.numel() for tensor in module.state_dict().values())
    assert info.input_size == preprocessing.crop == model.input_shape[1]
    assert preprocessing.crop < preprocessing.size <= preprocessing.crop * 8 / 7 + 1
    if short in COUNTED:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            module(torch.zeros(1, 3, info.input_size, info.input_size, device="meta"))
        assert round(counter.get_total_flops() / 2e6) * 1_000_000 == info.multiply_adds


@pytest.mark.parametrize("short", SHORTS)
def test_every_address_is_keras_own(short: str):
    # What Keras fetches is noted above for one of each family; that of the others, here, is what
    # their code names, since building them all takes minutes.
    published = published_weights("keras")[f"keras:{short}"]
    # The second version of ResNet takes its checksums from the code of the first.
    homes = [application(short), *([application("ResNet50")] if short.startswith("ResNet") else [])]
    code = "".join(inspect.getsource(inspect.getmodule(one)) for one in homes)
    assert published["checksum"] in code
    host = "https://storage.googleapis.com/"
    path = published["url"].removeprefix(host).removeprefix("tensorflow/keras-applications/")
    assert f"{path.partition('/')[0]}/" in code
    assert published["url"].startswith("https://storage.googleapis.com/")


def test_the_list_is_complete():
    own = {name for name in dir(keras.applications) if name[0].isupper()}
    listed = {name.removeprefix("keras:") for name in INFOS if name.startswith("keras:")}
    assert listed == set(SHORTS) == own - {"NASNetMobile"}


def test_keras_has_no_nasnet_mobile_for_pytorch():
    with pytest.raises(BackboneError, match=r"cannot build NASNetMobile .*torch backend"):
        load_backbone("keras:NASNetMobile", weights=None, allow_download=False)


def test_unknown_names():
    with pytest.raises(BackboneError, match=r"no classifier 'resnet50'; did you mean ResNet50"):
        load_backbone("keras:resnet50", weights=None)
    with pytest.raises(BackboneError, match=r"no classifier '\?\?\?'; it has .*VGG16"):
        load_backbone("keras:???", weights=None)


def test_labels_stages_and_source(small_keras):
    small_backbone = small_keras.backbone
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
        preprocessing = backbones.preprocessing_of(f"keras:{short}", crop)[1]
        assert (preprocessing.size, preprocessing.interpolation) == (size, way)


def test_names_do_not_depend_on_what_was_built_before(small_keras):
    keras.layers.ReLU()  # takes a number in this thread
    names = [name for name, _ in small_keras.backbone.network().model.named_children()]
    again = keras_module(backbones.architecture(f"keras:{SMALL}"), (0, 1, 2))
    assert [name for name, _ in again.named_children()] == names
    assert names[0] == "input_layer"


def test_the_users_settings_are_kept_and_left_out():
    keras.config.set_image_data_format("channels_first")
    keras.config.set_floatx("float16")
    try:
        model = backbones.architecture(f"keras:{SMALL}")
        assert keras.config.image_data_format() == "channels_first"
        assert keras.config.floatx() == "float16"
        channels, _ = backbones.preprocessing_of("keras:ResNet50", 224)
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
        load_backbone("keras:VGG16", weights=None)


def test_keras_2_or_none(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "keras", ModuleType("keras"))
    with pytest.raises(MissingExtraError, match=r"\.\[keras\]"):
        load_backbone("keras:VGG16", weights=None)
    monkeypatch.delitem(sys.modules, "keras")
    monkeypatch.setattr(keras_backend, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"keras:VGG16 needs the extra .keras."):
        load_backbone("keras:VGG16", weights=None)


def test_the_environment_is_left_as_it_was(tmp_path: Path):
    code = (
        "import os, sys; from headstart.backbones.keras_backend import import_keras;"
        "keras = import_keras('tests');"
        "print(keras.config.backend(), os.environ['KERAS_BACKEND'], 'tensorflow' in sys.modules)"
    )
    home = tmp_path / "home"
    environment = {**os.environ, "KERAS_BACKEND": "jax", "KERAS_HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["torch", "jax", "False"]
    assert not home.exists()  # Keras would leave its settings
