"""Keras on PyTorch, kept off the home of whoever runs the tests, and networks of random weights."""

import importlib
import tempfile
import warnings
from typing import Any

import numpy as np
import pytest
import torch

from headstart.backbones.backbone import Backbone
from headstart.backbones.keras_backend import import_keras
from headstart.backbones.keras_network import KerasModule, KerasNetwork, keras_module
from headstart.backbones.keras_stages import find_stages
from headstart.backbones.torch_backbone import fill
from headstart.images.preprocessing import Interpolation, Preprocessing

with pytest.MonkeyPatch.context() as _patch:
    _patch.setenv("KERAS_HOME", tempfile.mkdtemp())  # where Keras writes its settings on import
    keras = import_keras("tests")


PLAIN = Preprocessing(
    size=32,
    crop=32,
    interpolation=Interpolation.BILINEAR,
    mean=(0.4, 0.5, 0.6),
    std=(0.1, 0.2, 0.3),
)
BGR = (2, 1, 0)


def application(short: str) -> Any:
    return getattr(keras.applications, short)


def preprocess_input(short: str) -> Any:
    return importlib.import_module(application(short).__module__).preprocess_input


def predict(model: Any, pictures: np.ndarray) -> Any:
    """Keras's own pass: arrays (n, H, W, 3) in, probabilities or whatever comes out."""
    with warnings.catch_warnings():
        # Keras 3.15 turns tensors into arrays in a way that NumPy 2 frowns upon.
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        return model.predict(pictures, verbose=0)


def randomize(model: Any, seed: int = 0) -> Any:
    """Statistics, scales and offsets too: as Keras makes them, they would hide mistakes."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        name, shape = variable.name, variable.shape
        if "variance" in name or name == "gamma":
            variable.assign(rng.uniform(0.5, 1.5, shape))
        elif name in ("beta", "bias", "moving_mean", "mean"):
            variable.assign(rng.normal(0, 0.1, shape))
        elif len(shape) == 1:  # ConvNeXt's scales
            variable.assign(rng.uniform(0.1, 0.3, shape))
        elif "kernel" in name and len(shape) > 1:
            fan = np.prod(shape[:-1]) if "depthwise" not in name else np.prod(shape[:2])
            variable.assign(rng.normal(0, (1.5 / fan) ** 0.5, shape))
    return model


def random_model(short: str) -> Any:
    options = {"input_shape": (224, 224, 3)} if short.startswith("MobileNetV3") else {}
    model = randomize(application(short)(weights=None, **options))
    side = model.input_shape[1]
    shown = pictures(side, 4).astype(np.float32)
    return calibrate(model, preprocess_input(short)(shown))


def pictures(side: int, count: int = 2) -> np.ndarray:
    """Smooth, so that the channels differ and neighbors do not: (count, side, side, 3) uint8."""
    rng = np.random.default_rng(side)
    coarse = rng.integers(0, 256, (count, 8, 8, 3), np.uint8)
    return coarse.repeat(-(-side // 8), axis=1).repeat(-(-side // 8), axis=2)[:, :side, :side]


def calibrate(model: Any, prepared: np.ndarray) -> Any:
    """Statistics of these pictures: with made-up ones, what is in a picture dies on the way."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    with torch.no_grad():
        model(prepared, training=True)
    return model


def logits_of(probabilities: np.ndarray) -> np.ndarray:
    """Logits but for a constant a picture, which is set so that their mean is 0."""
    logs = np.log(probabilities.astype(np.float64))
    return logs - logs.mean(axis=1, keepdims=True)


def assert_computes_the_same(backbone: Backbone, model: Any, short: str) -> None:
    shown = pictures(backbone.preprocessing.crop)
    prepared = preprocess_input(short)(shown.astype(np.float32))
    expected = logits_of(predict(model, prepared))
    with torch.no_grad():
        logits = backbone.network().logits(torch.tensor(shown).permute(0, 3, 1, 2) / 255)
    ours = logits.double().numpy()
    ours -= ours.mean(axis=1, keepdims=True)
    assert np.ptp(expected, axis=0).max() > 1e-3 * np.abs(expected).max()  # pictures differ
    assert np.abs(ours - expected).max() <= 1e-4 * np.abs(expected).max()


def tiny_model() -> Any:
    """A functional model of 32 x 32 pictures, with the kinds of layers that networks have."""
    keras.utils.clear_session()  # the sum below is named by a counter
    layers = keras.layers
    inputs = keras.Input((32, 32, 3))
    x = layers.Conv2D(8, 3, strides=2, padding="same", name="first")(inputs)
    x = layers.BatchNormalization(name="first_bn")(x)
    x = layers.ReLU(name="first_relu")(x)
    x = layers.SeparableConv2D(12, 3, padding="same", activation="relu", name="wide")(x)
    x = layers.ZeroPadding2D(((0, 1), (0, 1)), name="pad")(x)
    x = layers.DepthwiseConv2D(3, strides=2, name="depthwise")(x)
    squeezed = layers.GlobalAveragePooling2D(keepdims=True, name="squeeze")(x)
    squeezed = layers.Conv2D(12, 1, activation="sigmoid", name="excite")(squeezed)
    x = layers.Multiply(name="excited")([x, squeezed])
    left = layers.Conv2D(8, 3, padding="same", activation="gelu", name="left")(x)
    right = layers.Conv2D(8, 1, activation="swish", name="right")(x)
    x = layers.Concatenate(name="both")([left, right])
    x = x + layers.Conv2D(16, 1, name="residual")(x)
    x = layers.MaxPooling2D(name="pool")(x)
    x = layers.Conv2D(24, 3, padding="same", activation="relu", name="last")(x)
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    x = layers.Dropout(0.5, name="drop")(x)
    outputs = layers.Dense(10, name="logits")(x)
    return randomize(keras.Model(inputs, outputs))


def module_of(model: Any, channels: tuple[int, ...] = (0, 1, 2)) -> KerasModule:
    """A model that has its numbers, as a module that has them."""
    module = keras_module(model, channels)
    numbers = {name: one.value.detach().numpy() for name, one in module.variables().items()}
    fill(module, numbers, name="tiny")
    return module


def network_of(model: Any, channels: tuple[int, ...] = (0, 1, 2)) -> KerasNetwork:
    stages, head = find_stages(model)
    names = [stage.name for stage in stages]
    return KerasNetwork(module_of(model, channels), PLAIN, names, head=head)
