"""The classifiers of Keras Applications, run by Keras 3 on its PyTorch backend.

Keras's `preprocess_input` is measured on black, red, green and blue, which gives the mean, standard
deviation and channel order, whether it scales to [-1, 1], standardizes, subtracts means in BGR
order, or leaves everything to the network. Keras does not publish how to resize an image. Its
examples stretch it, but the published accuracies are those of a center crop, which headstart uses;
docs/decisions/0007-keras.md has the details.
"""

from __future__ import annotations

import hashlib
import importlib
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np

from headstart.backbones.backbone import Backbone, Weights
from headstart.backbones.download import fetch_from_url, keras_file
from headstart.backbones.imagenet_names import imagenet_classes
from headstart.backbones.keras_backend import import_keras
from headstart.backbones.source import (
    BackboneInfo,
    BackboneSource,
    infos_of,
    published_weights,
)
from headstart.backbones.tensors import digest, read_tensors
from headstart.errors import BackboneError, DownloadError
from headstart.images.preprocessing import Interpolation, Preprocessing
from headstart.system.text import did_you_mean

if TYPE_CHECKING:
    from headstart.backbones.keras_network import KerasModule

_PREFIX = "keras:"
_FORMATS = (".h5", ".hdf5", ".keras")  # only numbers are read from these, and nothing is built
_SIDES = {"MobileNetV3Large": 224, "MobileNetV3Small": 224}  # others have a default
_EFFICIENTNET_STD = (0.229, 0.224, 0.225)


@final
class KerasSource(BackboneSource):
    """Keras Applications without NASNetMobile, which Keras cannot build on PyTorch.

    The accuracies are those in Keras's documentation; for MobileNetV3, in Keras's code. Keras
    states no license for the weights.
    """

    def infos(self) -> tuple[BackboneInfo, ...]:
        """See `BackboneSource.infos`."""
        return infos_of("keras", lambda row: keras_file(row["file"]).is_file())

    def check_name(self, name: str) -> None:
        """See `BackboneSource.check_name`."""
        _application(name)

    def load(self, name: str, *, weights: Path | None, allow_download: bool) -> Backbone:
        """See `BackboneSource.load`; `weights` may be a file that Keras saved (.h5 or .keras)."""
        model = architecture(name)
        channels, preprocessing = preprocessing_of(name, model.input_shape[1])
        file = weights or _published_file(name, allow_download=allow_download)

        from headstart.backbones.keras_network import KerasNetwork, keras_module
        from headstart.backbones.keras_stages import find_stages
        from headstart.backbones.torch_backbone import TorchBackbone, fill

        module = keras_module(model, channels)
        tensors = _read_weights(file, model, module, name)
        fill(module, tensors, name=name)
        stages, head = find_stages(model)
        names = [stage.name for stage in stages]
        return TorchBackbone(
            name=name,
            preprocessing=preprocessing,
            stages=stages,
            labels=imagenet_classes(),  # these classifiers all have them, in this order
            weights=Weights(
                source=weights.name if weights else published_weights("keras")[name]["url"],
                digest=digest(tensors),
                license="unstated",
            ),
            staged=KerasNetwork(module, preprocessing, names, head=head),
        )


def architecture(name: str) -> Any:
    """Build the functional Keras model on the meta device, without numbers, ending in logits.

    Raises:
        BackboneError: there is no such classifier, or Keras has none for PyTorch.
        MissingExtraError: torch or keras is not installed.
    """
    from concurrent.futures import ThreadPoolExecutor  # would delay the start of all commands

    keras = import_keras(name)
    short = name.removeprefix(_PREFIX)
    build = _application(name)
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
        # In a new thread Keras counts its unnamed layers from zero, so they have the same names
        # each time, and ignores the user's policy for new layers.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(built).result()
    except ValueError as error:
        raise BackboneError(f"Keras cannot build {short} ({error}); choose another one") from error
    finally:
        keras.config.set_image_data_format(configured[0])
        keras.config.set_floatx(configured[1])


def _application(name: str) -> Any:
    applications = import_keras(name).applications
    short = name.removeprefix(_PREFIX)
    known = [entry for entry in dir(applications) if entry[0].isupper()]
    if short not in known:
        hint = did_you_mean(short, known, otherwise=f"it has {', '.join(known)}")
        raise BackboneError(f"Keras has no classifier {short!r}; {hint}")
    return getattr(applications, short)


def preprocessing_of(name: str, side: int) -> tuple[tuple[int, ...], Preprocessing]:
    """Measure the network's channel order, as indices of R, G and B, and its preprocessing.

    Args:
        name: name of the backbone, such as "keras:ResNet50".
        side: height and width of the network's input in pixels.
    """
    module = importlib.import_module(_application(name).__module__)

    def preprocess(pixels: np.ndarray) -> np.ndarray:
        result: np.ndarray = module.preprocess_input(pixels, data_format="channels_last")
        return result.reshape(-1, 3)

    offset = preprocess(np.zeros((1, 1, 1, 3)))[0]
    gains = preprocess(255 * np.eye(3).reshape(3, 1, 1, 3)) - offset  # (color, channel)
    channels = gains.argmax(axis=0)
    back = channels.argsort()  # from the network's channels to red, green and blue
    std = 1 / gains.max(axis=0)[back]
    mean = 0 - offset[back] * std
    short = name.removeprefix(_PREFIX)
    recent = short.startswith(("EfficientNet", "ConvNeXt"))
    return tuple(channels.tolist()), Preprocessing(
        size=side + 32 if short.startswith("EfficientNet") else round(side * 8 / 7),
        crop=side,
        interpolation=Interpolation.BICUBIC if recent else Interpolation.BILINEAR,
        mean=tuple(mean.round(12).tolist()),
        std=tuple(std.round(12).tolist()),
    )


def _published_file(name: str, *, allow_download: bool) -> Path:
    published = published_weights("keras").get(name)
    if published is None:
        raise BackboneError(
            f"there are no published weights for {name}; give a file with --weights FILE"
        )
    kept = keras_file(published["file"])
    file = fetch_from_url(name, published["url"], allow_download=allow_download, file=kept)
    if expected := published["checksum"]:
        algorithm = "sha256" if len(expected) == 64 else "md5"
        with file.open("rb") as content:
            found = hashlib.file_digest(content, algorithm).hexdigest()
        if found != expected:
            raise DownloadError(
                f"{file} is not the file that Keras publishes: its {algorithm} is {found}, "
                f"expected {expected}; delete it to download it again"
            )
    return file


def _read_weights(file: Path, model: Any, module: KerasModule, name: str) -> dict[str, np.ndarray]:
    """Read a file of weights by the names in the module's `state_dict()`."""
    if file.suffix not in _FORMATS or not file.is_file():
        return read_tensors(file)
    keras = import_keras(name)
    # The model has no memory to load into: Keras notes in the scope which value each variable gets.
    with keras.device("cpu"), keras.StatelessScope() as scope:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about missing weights, which `fill` reports
                model.load_weights(file)
        except Exception as error:  # Keras, h5py and zipfile let many kinds through
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            raise BackboneError(
                f"{file} does not fit {name} ({reason[:300]}); give a file that Keras's "
                f"save_weights() or save() wrote for this network, its classifier included"
            ) from error
        values = {key: scope.get_current_value(one) for key, one in module.variables().items()}
    return with_variances({k: value.numpy() for k, value in values.items() if value is not None})


def with_variances(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Square the standard deviations that EfficientNet's files have in place of variances.

    Keras adds a division in the network that it builds for these published weights
    (keras.applications.efficientnet). A network trained from scratch has true variances there, and
    its file has the same names and shapes, so the two are distinguished by their values.
    """
    key = "normalization.variance"
    if key in tensors and np.allclose(tensors[key], _EFFICIENTNET_STD, atol=1e-6):
        return {**tensors, key: tensors[key] ** 2}
    return tensors
