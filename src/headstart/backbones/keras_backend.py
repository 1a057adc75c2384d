"""Import Keras on its PyTorch backend, without changing the user's settings."""

import importlib
import os
import sys
from contextlib import suppress
from importlib.util import find_spec
from types import ModuleType

from headstart.backbones.download import keras_home
from headstart.errors import BackboneError, MissingExtraError

_VARIABLE = "KERAS_BACKEND"
_BACKEND = "torch"


def import_keras(wanted_by: str) -> ModuleType:
    """Return the module keras, running on PyTorch; `wanted_by` names the backbone in messages.

    Keras takes its backend from the environment when it is first imported. The variable is set only
    for that moment, so child processes do not inherit it. If Keras creates a settings file, it is
    removed.

    Raises:
        BackboneError: Keras has already been imported on another backend.
        MissingExtraError: torch or Keras 3 is not installed.
    """
    keras = sys.modules.get("keras")
    if keras is None:
        if find_spec("torch") is None or find_spec("keras") is None:
            raise MissingExtraError(wanted_by, extra="keras")
        keras = _imported()
    if not hasattr(keras, "StatelessScope"):  # Keras 2 runs only on TensorFlow
        raise MissingExtraError(wanted_by, extra="keras")
    backend = keras.config.backend()
    if backend != _BACKEND:
        raise BackboneError(
            f"{wanted_by} runs on Keras's PyTorch backend, but this program has imported keras "
            f"with {backend}; set {_VARIABLE}={_BACKEND} before the first import of keras"
        )
    return keras


def _imported() -> ModuleType:
    settings = keras_home() / "keras.json"
    existed = settings.exists()
    before = os.environ.get(_VARIABLE)
    os.environ[_VARIABLE] = _BACKEND
    try:
        return importlib.import_module("keras")
    finally:
        if before is None:
            del os.environ[_VARIABLE]
        else:
            os.environ[_VARIABLE] = before
        if not existed:
            with suppress(OSError):
                settings.unlink()
                settings.parent.rmdir()  # fails if it has other files
