"""Preprocessing that users state for networks of their own, whose files do not contain it."""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, Final

from headstart.errors import BackboneError
from headstart.images.preprocessing import Interpolation, Preprocessing, Resize
from headstart.system.files import read_regular
from headstart.system.text import join_names

_SUFFIXES: Final = (".toml", ".json")
_LIMIT: Final = 2**16
_FIELDS: Final = {one.name: one.default is MISSING for one in fields(Preprocessing)}
EXAMPLE: Final = (
    'size = 256, crop = 224, interpolation = "bilinear", mean = [0.485, 0.456, 0.406], '
    "std = [0.229, 0.224, 0.225]"
)


def preprocessing_beside(network: Path) -> Preprocessing:
    """Read the preprocessing of a network from the file of the same name in .toml or .json.

    Raises:
        BackboneError: there is no such file, or it is not a preprocessing.
    """
    for suffix in _SUFFIXES:
        file = network.with_suffix(suffix)
        if file.is_file():
            return _read(file)
    raise BackboneError(
        f"{network.name} does not say how images are prepared for it; write what it was trained "
        f"with into {network.with_suffix(_SUFFIXES[0])}, one entry a line, such as: {EXAMPLE} "
        "(mean and std of RGB pixels from 0 to 1)"
    )


def preprocessing_from(stated: Mapping[str, Any], *, where: str) -> Preprocessing:
    """Return the preprocessing that a table of its fields describes; `where` names it in messages.

    Raises:
        BackboneError: an entry is missing, unknown or impossible.
    """
    if missing := [name for name, required in _FIELDS.items() if required and name not in stated]:
        raise BackboneError(
            f"{where} has no {join_names(missing)}; state what the network was trained with, such "
            f"as: {EXAMPLE}"
        )
    if unknown := [name for name in stated if name not in _FIELDS]:
        raise BackboneError(
            f"{where} has the unknown entry {unknown[0]!r}; a preprocessing has "
            f"{', '.join(_FIELDS)}"
        )
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in stated.items()
    }
    for name, enum in (("interpolation", Interpolation), ("resize", Resize)):
        if values.get(name) in list(enum):
            values[name] = enum(values[name])
    try:
        return Preprocessing(**values)
    except BackboneError as error:
        raise BackboneError(f"{where}: {error}") from error


def _read(file: Path) -> Preprocessing:
    try:
        text = read_regular(file, limit=_LIMIT).decode()
        stated = tomllib.loads(text) if file.suffix == ".toml" else json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise BackboneError(f"cannot read {file} ({error}); correct it") from error
    if not isinstance(stated, dict):
        raise BackboneError(f"{file} is not a table of entries; write, for example: {EXAMPLE}")
    return preprocessing_from(stated, where=str(file))
