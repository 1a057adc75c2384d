"""The classifiers of Keras Applications, run by Keras 3 on its PyTorch backend.

Preprocessing. What happens to the numbers is asked of Keras itself: its `preprocess_input` is
measured on black, red, green and blue, so mean, deviation and order of the colors are Keras's own,
whether it scales to [-1, 1], standardizes, subtracts means in the order blue, green, red, or leaves
everything to the network. How a picture is brought to size Keras does not state with its weights.
Its examples stretch it, but the published accuracies are those of a central crop, so that is what
headstart does; docs/decisions/0007-keras.md says which one and why.
"""

from __future__ import annotations

import hashlib
import importlib
import warnings
from concurrent.futures import ThreadPoolExecutor
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.backbones.backbone import Backbone, Weights
from headstart.backbones.download import fetch_from_url, keras_file
from headstart.backbones.imagenet import imagenet_classes
from headstart.backbones.keras_backend import import_keras
from headstart.backbones.keras_weights import PUBLISHED
from headstart.backbones.tensors import digest, read_tensors
from headstart.errors import BackboneError, DownloadError
from headstart.images.preprocessing import Interpolation, Preprocessing

if TYPE_CHECKING:
    from headstart.backbones.keras_network import KerasModule

PREFIX = "keras:"

_FORMATS = (".h5", ".hdf5", ".keras")  # of these Keras reads numbers only, and builds nothing
_SIDES = {"MobileNetV3Large": 224, "MobileNetV3Small": 224}  # others have a size of their own


def load(name: str, *, weights: Path | None, allow_download: bool = True) -> Backbone:
    """A classifier of Keras Applications by name.

    Args:
        name: "keras:ResNet50".
        weights: a file to read instead of the published one: `.weights.h5`, `.h5` or `.keras` as
            Keras saves them, of which only the numbers are read, or tensors by headstart's names.
        allow_download: whether the published file may be fetched if it is not on this machine.

    Raises:
        BackboneError: no such classifier, none for PyTorch, or the weights do not fit; or Keras is
            in use here on another backend.
        DownloadError: the published file is not here and cannot be had.
        MissingExtraError: torch or keras is not installed.
    """
    short = name.removeprefix(PREFIX)
    model = architecture(name)
    side = model.input_shape[1]
    channels, preprocessing = _preprocessing(name, side)
    file = weights or _published_file(name, allow_download=allow_download)

    from headstart.backbones.keras_network import KerasNetwork, keras_module
    from headstart.backbones.keras_stages import find_stages
    from headstart.backbones.staged import fill, forms

    module = keras_module(model, channels)
    tensors = _tensors(file, model, module, name)
    fill(module, tensors, name=name)
    stages, head = find_stages(model)
    network = KerasNetwork(module, preprocessing, [stage.name for stage in stages], head=head)
    return Backbone(
        name=name,
        preprocessing=preprocessing,
        stages=stages,
        labels=imagenet_classes(),  # all of these classifiers know them, in this order
        weights=Weights(
            source=weights.name if weights else PUBLISHED[short].url,
            digest=digest(tensors),
            license="unstated",
        ),
        **forms(network),
    )


def architecture(name: str) -> Any:
    """The functional Keras model, without numbers: on the meta device, ending in logits.

    Raises:
        BackboneError: no such classifier, or Keras has none for PyTorch.
        MissingExtraError: torch or keras is not installed.
    """
    keras = import_keras(name)
    short = name.removeprefix(PREFIX)
    build = application(name)
    options: dict[str, Any] = {"weights": None, "classifier_activation": None}
    if short in _SIDES:
        options["input_shape"] = (_SIDES[short], _SIDES[short], 3)

    def built() -> Any:
        with keras.device("meta"):
            return build(**options)

    configured = keras.config.image_data_format(), keras.config.floatx()
    keras.config.set_image_data_format("channels_last")
    keras.config.set_floatx("float32")
    try:
        # In a thread of its own Keras counts its unnamed layers from zero, so that they have the
        # same names each time; and no policy of the user's for new layers gets in.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(built).result()
    except ValueError as error:
        raise BackboneError(f"Keras cannot build {short} ({error}); choose another one") from error
    finally:
        keras.config.set_image_data_format(configured[0])
        keras.config.set_floatx(configured[1])


def application(name: str) -> Any:
    """Keras's function that builds this network.

    Raises:
        BackboneError: Keras has no classifier of this name.
        MissingExtraError: torch or keras is not installed.
    """
    applications = import_keras(name).applications
    short = name.removeprefix(PREFIX)
    known = [entry for entry in dir(applications) if entry[0].isupper()]
    if short not in known:
        alike = {entry.lower(): entry for entry in known}
        close = [alike[match] for match in get_close_matches(short.lower(), alike, n=3)]
        hint = f"did you mean {', '.join(close)}?" if close else f"its own are {', '.join(known)}"
        raise BackboneError(f"Keras has no classifier {short!r}; {hint}")
    return getattr(applications, short)


def _preprocessing(name: str, side: int) -> tuple[tuple[int, ...], Preprocessing]:
    """The order of the colors that the network expects, and what is done to a picture before."""
    module = importlib.import_module(application(name).__module__)

    def preprocess(pixels: np.ndarray) -> np.ndarray:
        result: np.ndarray = module.preprocess_input(pixels, data_format="channels_last")
        return result.reshape(-1, 3)

    offset = preprocess(np.zeros((1, 1, 1, 3)))[0]
    gains = preprocess(255 * np.eye(3).reshape(3, 1, 1, 3)) - offset  # (color, channel)
    channels = gains.argmax(axis=0)
    back = channels.argsort()  # from the network's channels to red, green and blue
    std = 1 / gains.max(axis=0)[back]
    mean = 0 - offset[back] * std
    short = name.removeprefix(PREFIX)
    recent = short.startswith(("EfficientNet", "ConvNeXt"))
    return tuple(channels.tolist()), Preprocessing(
        size=side + 32 if short.startswith("EfficientNet") else round(side * 8 / 7),
        crop=side,
        interpolation=Interpolation.BICUBIC if recent else Interpolation.BILINEAR,
        mean=(_rounded(mean[0]), _rounded(mean[1]), _rounded(mean[2])),
        std=(_rounded(std[0]), _rounded(std[1]), _rounded(std[2])),
    )


def _rounded(value: float) -> float:
    return round(float(value), 12)


def _published_file(name: str, *, allow_download: bool) -> Path:
    short = name.removeprefix(PREFIX)
    if short not in PUBLISHED:
        raise BackboneError(
            f"headstart knows no published weights of {name}; give a file with --weights FILE"
        )
    published = PUBLISHED[short]
    kept = keras_file(published.file)
    file = fetch_from_url(name, published.url, allow_download=allow_download, file=kept)
    if published.checksum:
        algorithm = "sha256" if len(published.checksum) == 64 else "md5"
        with file.open("rb") as content:
            found = hashlib.file_digest(content, algorithm).hexdigest()
        if found != published.checksum:
            raise DownloadError(
                f"{file} is not the file that Keras publishes: its {algorithm} is {found}, "
                f"expected {published.checksum}; delete it, so that it is fetched anew"
            )
    return file


def _tensors(file: Path, model: Any, module: KerasModule, name: str) -> dict[str, np.ndarray]:
    """What is in a file of weights, by the names in the graph."""
    if file.suffix not in _FORMATS or not file.is_file():
        return read_tensors(file)
    keras = import_keras(name)
    # The model has no memory to load into: Keras notes in the scope what belongs where.
    with keras.device("cpu"), keras.StatelessScope() as scope:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of what is missing: see below
                model.load_weights(file)
        except Exception as error:  # Keras, h5py and zipfile raise whatever they meet
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            raise BackboneError(
                f"{file} does not fit {name} ({reason[:300]}); give a file that Keras's "
                f"save_weights() or save() wrote for this network, its classifier included"
            ) from error
        values = {key: scope.get_current_value(one) for key, one in module.variables().items()}
    tensors = {key: value.numpy() for key, value in values.items() if value is not None}
    return with_variances(tensors)


def with_variances(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Square the standard deviations that EfficientNet's files hold in place of variances.

    Keras divides once more in the network that it builds for these published weights
    (keras.applications.efficientnet). A network trained from scratch has true variances there, and
    its file has the same names and shapes, so the values have to tell which it is.
    """
    key = "normalization.variance"
    if key in tensors and np.allclose(tensors[key], _EFFICIENTNET_STD, atol=1e-6):
        return {**tensors, key: tensors[key] ** 2}
    return tensors


_EFFICIENTNET_STD = (0.229, 0.224, 0.225)
