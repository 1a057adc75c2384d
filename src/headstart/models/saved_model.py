"""A trained model as a folder: a JSON manifest, arrays as safetensors, a model card. No pickle.

Loading one reads numbers and text, and runs nothing. The bytes depend on the model alone: no time,
no machine and no path is written, so that the same training gives the same files.
"""

from __future__ import annotations

import re
import reprlib
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load, save

from headstart.errors import HeadstartError, SavedModelError
from headstart.heads.calibration import LIMIT
from headstart.heads.families import FAMILIES
from headstart.models.model_card import card
from headstart.models.trained_model import (
    AccuracyEstimate,
    BackboneOrigin,
    FineTuning,
    Model,
    TrainingData,
)
from headstart.system.digests import DIGEST_BYTES, bytes_digest
from headstart.system.files import check_place, write_file

SCHEMA = 1
MANIFEST, CARD = "model.json", "README.md"
_FORMAT = "headstart model"
_ARRAYS = re.compile(r"model-[0-9a-f]{16}\.safetensors")
_HEAD, _TAIL, _DIGESTS = "head.", "network.", "training_digests"
_AGAIN = "copy or fit the model again"


class _Part(BaseModel):
    """Holds for the dataclasses within as well."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


_ClassName = Annotated[str, Field(min_length=1)]


class _Data(_Part):
    """What of `TrainingData` is no array."""

    name: str
    license: str
    images: tuple[NonNegativeInt, ...]
    duplicates: NonNegativeInt
    conflicts: NonNegativeInt
    skipped: NonNegativeInt


class _Facts(_Part):
    """All that the manifest says of a model."""

    format: Literal["headstart model"] = "headstart model"
    schema_version: int = Field(default=SCHEMA, ge=1)
    classes: tuple[_ClassName, ...] = Field(min_length=2)
    head: str
    setting: float
    temperature: float = Field(ge=1 / LIMIT, le=LIMIT)
    balanced: bool
    seed: int
    origin: BackboneOrigin
    data: _Data
    measured: AccuracyEstimate
    by_stage: dict[str, AccuracyEstimate]
    tuning: FineTuning | None = None


class _Manifest(_Facts):
    arrays: str = Field(pattern=f"^{_ARRAYS.pattern}$")


def save_model(model: Model, folder: Path) -> None:
    """Write a model as a folder; other files there stay.

    Args:
        model: what to write.
        folder: made if need be; a model that it holds is replaced.

    Raises:
        BundleError: the folder holds something else.
        HeadstartError: it cannot be written.
    """
    check_target(folder)
    content = save(_arrays(model))
    arrays = _named(content)
    manifest = _Manifest(**_facts(model), arrays=arrays).model_dump_json(indent=2) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        old = {path for path in folder.iterdir() if _ARRAYS.fullmatch(path.name)}
        # The arrays are named by their content and the manifest names them: whatever is cut off in
        # between, the folder holds the old model or the new one, whole.
        write_file(folder / arrays, content)
        write_file(folder / CARD, card(model).encode())
        write_file(folder / MANIFEST, manifest.encode())
        for path in old - {folder / arrays}:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise HeadstartError(
            f"cannot write the model to {folder}: {error.strerror or error}; name another folder"
        ) from error


def check_target(folder: Path) -> None:
    """Refuse to write a model among other things, before any work is done.

    Raises:
        BundleError: the folder holds something that is no model.
        UserError: it cannot be made or written.
    """
    for place in (folder, *folder.parents):
        if place.is_file():
            raise SavedModelError(f"{place} is a file; name a folder for the model")
    check_place(folder)
    taken = folder.is_dir() and next(folder.iterdir(), None) is not None
    if taken and not _is_ours(folder / MANIFEST):
        raise SavedModelError(f"{folder} holds files and no model; name a new folder for the model")


def _is_ours(manifest: Path) -> bool:
    """Other tools write a model.json too. A damaged one of ours may be replaced."""
    return manifest.is_file() and f'"{_FORMAT}"'.encode() in manifest.read_bytes()


def _named(content: bytes) -> str:
    return f"model-{bytes_digest(content)[:16]}.safetensors"


def load_model(folder: Path) -> Model:
    """Read a model that `save_model` wrote.

    Raises:
        BundleError: the folder is none, is damaged, or was written by a newer headstart.
    """
    manifest = _read_manifest(folder)
    if manifest.head not in FAMILIES:
        raise SavedModelError(
            f"{folder / MANIFEST} is damaged or needs an extension: there is no head "
            f"{manifest.head!r} among {', '.join(FAMILIES)}; import the module that registers it, "
            f"or {_AGAIN}"
        )
    path = folder / manifest.arrays
    arrays = _read_arrays(path)
    try:
        head = FAMILIES[manifest.head].load(
            {k.removeprefix(_HEAD): v for k, v in arrays.items() if k.startswith(_HEAD)}
        )
        digests = arrays[_DIGESTS]
    except (KeyError, ValueError) as error:
        raise SavedModelError(f"{path} does not fit {MANIFEST} ({error}); {_AGAIN}") from error
    model = Model(
        classes=manifest.classes,
        head=head,
        temperature=manifest.temperature,
        setting=manifest.setting,
        balanced=manifest.balanced,
        seed=manifest.seed,
        origin=manifest.origin,
        data=TrainingData(**manifest.data.model_dump(), digests=digests),
        measured=manifest.measured,
        by_stage=manifest.by_stage,
        tail={k.removeprefix(_TAIL): v for k, v in arrays.items() if k.startswith(_TAIL)},
        tuning=manifest.tuning,
    )
    _check(model, path)
    return model


def describe(model: Model) -> dict[str, Any]:
    """What the manifest says of a model, ready for JSON; not which file holds the arrays."""
    return _Facts(**_facts(model)).model_dump(mode="json")


def _read_manifest(folder: Path) -> _Manifest:
    path = folder / MANIFEST
    try:
        if not path.is_file():
            what = "holds no " + MANIFEST if folder.is_dir() else "is not a folder"
            raise SavedModelError(
                f"{folder} {what}; give the folder that 'headstart fit DATA --out MODEL' wrote"
            )
        text = path.read_text(encoding="utf-8")
        header = _Header.model_validate_json(text)
        if header.schema_version > SCHEMA:
            raise SavedModelError(
                f"{folder} was written by a newer headstart (schema {header.schema_version}, this "
                f"one reads up to {SCHEMA}); upgrade with: pip install --upgrade headstart"
            )
        return _Manifest.model_validate_json(text)
    except ValidationError as error:
        raise SavedModelError(f"{path} is damaged: {_fault(error)}; {_AGAIN}") from error
    except UnicodeDecodeError as error:
        raise SavedModelError(f"{path} is damaged ({error}); {_AGAIN}") from error
    except OSError as error:
        raise _unread(path, error) from error


def _fault(error: ValidationError) -> str:
    """The first thing that is wrong, in a line: which entry, and what it should be."""
    first = error.errors(include_url=False)[0]
    entry = ".".join(str(part) for part in first["loc"])
    if not entry:  # no JSON at all; the input would be the whole file
        return first["msg"]
    if first["type"] == "missing":
        return f"it lacks {entry!r}"
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"it has {entry!r}, which no model has"
    return f"{entry!r} is {reprlib.repr(first['input'])}: {first['msg']}"


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        content = path.read_bytes()
        if path.name != _named(content):
            raise SavedModelError(f"{path} is damaged: its bytes are not those written; {_AGAIN}")
        arrays: dict[str, np.ndarray] = load(content)
    except (FileNotFoundError, LookupError, SafetensorError) as error:
        raise SavedModelError(f"{path} is missing or damaged ({error}); {_AGAIN}") from error
    except OSError as error:
        raise _unread(path, error) from error
    return arrays


def _unread(path: Path, error: OSError) -> SavedModelError:
    """The model may be whole, and to make it anew would be no help."""
    return SavedModelError(f"cannot read {path}: {error.strerror or error}; make it readable")


class _Header(BaseModel):
    """The part of a manifest that every version has."""

    format: Literal["headstart model"]
    schema_version: int


def _check(model: Model, path: Path) -> None:
    """Arrays that do not fit the manifest would give wrong answers rather than none."""
    digests = model.data.digests
    fits = (
        len(model.classes) == len(set(model.classes)) == len(model.data.images)
        and digests.dtype == np.uint8
        and digests.ndim == 2
        and digests.shape[1] == DIGEST_BYTES
    )
    if fits:
        try:
            with np.errstate(all="ignore"):
                logits = model.head.logits(np.zeros((1, model.head.width), np.float32))
            fits = logits.shape == (1, len(model.classes)) and bool(np.isfinite(logits).all())
        except (ValueError, LookupError, TypeError, MemoryError):
            fits = False
    if not fits:
        raise SavedModelError(f"{path} does not fit {MANIFEST}: one of them is damaged; {_AGAIN}")


def _facts(model: Model) -> dict[str, Any]:
    return {
        "classes": model.classes,
        "head": model.head.kind,
        "setting": model.setting,
        "temperature": model.temperature,
        "balanced": model.balanced,
        "seed": model.seed,
        "origin": model.origin,
        "data": {name: getattr(model.data, name) for name in _Data.model_fields},
        "measured": model.measured,
        "by_stage": dict(model.by_stage),
        "tuning": model.tuning,
    }


def _arrays(model: Model) -> dict[str, Any]:
    head = {
        _HEAD + name: np.ascontiguousarray(array) for name, array in model.head.tensors().items()
    }
    tail = {_TAIL + name: np.ascontiguousarray(array) for name, array in model.tail.items()}
    return {**head, **tail, _DIGESTS: np.ascontiguousarray(model.data.digests)}
