"""A trained model as a folder: a JSON manifest, arrays as safetensors, a model card. No pickle.

Loading a model reads numbers and text, and runs no code from it. The bytes depend on the model
alone (no time, machine or path is written), so the same training gives the same files, with any
number of threads; see docs/usage.md for the exceptions.
"""

import reprlib
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeInt,
    ValidationError,
)
from safetensors.numpy import save

from headstart.errors import BackboneError, SavedModelError
from headstart.evaluation.breakdown import ClassRecall
from headstart.evaluation.conformal import CalibrationSet
from headstart.features.views import View
from headstart.heads.blend import BlendedHead
from headstart.heads.calibration import LIMIT
from headstart.heads.families import FAMILIES
from headstart.heads.head import Head
from headstart.models.label_encoding import LabelType, decode_labels
from headstart.models.model_card import model_card
from headstart.models.model_folder import ARRAYS, MANIFEST, ModelFolder, arrays_name
from headstart.models.trained_model import (
    AccuracyEstimate,
    BackboneOrigin,
    FineTuning,
    Member,
    Model,
    TrainingData,
)
from headstart.novelty.cross_fitting import Novelty
from headstart.novelty.detector import NoveltyDetector
from headstart.novelty.estimate import NoveltyEstimate
from headstart.series.series import SeriesSummary
from headstart.system.digests import DIGEST_BYTES

SCHEMA = 3
_HEAD, _TAIL, _NOVELTY, _DIGESTS = "head.", "network.", "novelty.", "training_digests"
_CALIBRATION = "calibration."
_ROUNDING = 1e-4
"""Difference from 1 that the weights of all members may sum to."""
_AGAIN = "copy or fit the model again"


class _Part(BaseModel):
    """Settings that also apply to nested dataclasses."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, from_attributes=True
    )


_ClassName = Annotated[str, Field(min_length=1)]


class _Data(_Part):
    """`TrainingData` without the array."""

    name: str
    license: str
    images: tuple[NonNegativeInt, ...]
    duplicates: NonNegativeInt
    conflicts: NonNegativeInt
    skipped: NonNegativeInt
    dropped: NonNegativeInt = 0
    relabeled: NonNegativeInt = 0


class _Description(_Part):
    """The manifest without the name of the arrays' file; made from the attributes of a `Model`."""

    format: Literal["headstart model"] = "headstart model"
    schema_version: int = Field(default=SCHEMA, ge=1)
    classes: tuple[_ClassName, ...] = Field(min_length=2)
    label_type: LabelType = "str"
    head: Annotated[str, BeforeValidator(lambda head: getattr(head, "kind", head))]
    setting: float
    temperature: float = Field(ge=1 / LIMIT, le=LIMIT)
    balanced: bool
    seed: int
    origin: BackboneOrigin
    members: tuple[Member, ...] = ()
    data: _Data
    accuracy: AccuracyEstimate
    series: SeriesSummary | None = None
    accuracy_same_scenes: AccuracyEstimate | None = None
    accuracy_by_stage: dict[str, AccuracyEstimate]
    accuracy_of_choice: AccuracyEstimate | None = None
    lowest_recalls: tuple[ClassRecall, ...] = ()
    tuning: FineTuning | None = None
    novelty: Annotated[
        NoveltyEstimate | None, BeforeValidator(lambda one: getattr(one, "estimate", one))
    ] = None


class _Manifest(_Description):
    arrays: str = Field(pattern=f"^{ARRAYS.pattern}$")


class _Header(BaseModel):
    """The part of a manifest that every version has."""

    format: Literal["headstart model"]
    schema_version: int


def save_model(model: Model, folder: Path, *, force: bool = False) -> None:
    """Write a model to a folder, replacing a model there; other files are left alone.

    With `force`, there may be other files, but none of the names of a model's files is kept.

    Raises:
        SavedModelError: The folder contains other files but no model.
        HeadstartError: The folder cannot be written.
    """
    arrays = save(_arrays(model))
    manifest = _Manifest(
        **dict(_Description.model_validate(model)), arrays=arrays_name(arrays)
    ).model_dump_json(indent=2)
    ModelFolder(folder).write(
        arrays=arrays, manifest=f"{manifest}\n", card=model_card(model), force=force
    )


def load_model(folder: Path) -> Model:
    """Read a model that `save_model` wrote.

    Raises:
        SavedModelError: The folder is not a model, is damaged, or was written by another version.
    """
    manifest, arrays = _read(folder)
    heads = [manifest.head, *(one.head for one in manifest.members)]
    if unknown := [head for head in heads if head not in FAMILIES]:
        raise SavedModelError(
            f"{folder / MANIFEST} is damaged or needs an extension: there is no head "
            f"{reprlib.repr(unknown[0])} among {', '.join(FAMILIES)}; import the module that "
            f"registers it, or {_AGAIN}"
        )
    if (total := sum(one.weight for one in manifest.members)) and abs(total - 1) > _ROUNDING:
        raise SavedModelError(
            f"{folder / MANIFEST} is damaged: the weights of its members sum to {total:.4g}, not "
            f"to 1; {_AGAIN}"
        )
    path = folder / manifest.arrays
    try:
        head = _load_head(manifest, _with_prefix(arrays, _HEAD))
        novelty = _load_novelty(manifest, head, arrays)
        decode_labels(manifest.classes, manifest.label_type)
        digests = arrays[_DIGESTS]
        calibration = CalibrationSet.load(
            _with_prefix(arrays, _CALIBRATION), classes=len(manifest.classes)
        )
    except (KeyError, ValueError) as error:
        raise SavedModelError(f"{path} does not fit {MANIFEST} ({error}); {_AGAIN}") from error
    model = Model(
        classes=manifest.classes,
        label_type=manifest.label_type,
        head=head,
        temperature=manifest.temperature,
        setting=manifest.setting,
        balanced=manifest.balanced,
        seed=manifest.seed,
        origin=manifest.origin,
        members=manifest.members,
        data=TrainingData(**manifest.data.model_dump(), digests=digests),
        accuracy=manifest.accuracy,
        series=manifest.series,
        accuracy_same_scenes=manifest.accuracy_same_scenes,
        accuracy_by_stage=manifest.accuracy_by_stage,
        accuracy_of_choice=manifest.accuracy_of_choice,
        lowest_recalls=manifest.lowest_recalls,
        tail=_with_prefix(arrays, _TAIL),
        tuning=manifest.tuning,
        novelty=novelty,
        calibration=calibration,
    )
    _check(model, path)
    return model


def _load_head(manifest: _Manifest, tensors: Mapping[str, np.ndarray]) -> Head:
    if not manifest.members:
        return FAMILIES[manifest.head].load(tensors)
    head = BlendedHead.load(tensors, [FAMILIES[one.head].load for one in manifest.members])
    if not np.allclose(head.weights, [one.weight for one in manifest.members], atol=_ROUNDING):
        raise ValueError("the members have other weights")
    return head


def _load_novelty(
    manifest: _Manifest, head: Head, arrays: Mapping[str, np.ndarray]
) -> Novelty | None:
    if manifest.novelty is None:
        return None
    detector = NoveltyDetector.load(_with_prefix(arrays, _NOVELTY))
    first = head.members[0] if isinstance(head, BlendedHead) else head
    if (detector.width, detector.classes) != (first.width, len(manifest.classes)):
        raise ValueError(
            f"novelty has {detector.width} features of {detector.classes} classes, the head "
            f"{first.width} of {len(manifest.classes)}"
        )
    return Novelty(detector=detector, estimate=manifest.novelty)


def _with_prefix(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """Return the arrays of one part of the model, by their names in it."""
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }


def describe(model: Model) -> dict[str, Any]:
    """Return the manifest's entries, ready for JSON, without the name of the arrays' file."""
    return _Description.model_validate(model).model_dump(mode="json")


def _read(folder: Path) -> tuple[_Manifest, dict[str, np.ndarray]]:
    """Read the manifest and the arrays that it names, while other processes may replace both."""
    files = ModelFolder(folder)
    content = files.read_manifest()
    while True:
        manifest = _parse(content, folder)
        try:
            return manifest, files.read_arrays(manifest.arrays)
        except FileNotFoundError as error:
            before, content = content, files.read_manifest()
            if content == before:
                raise SavedModelError(f"{folder / manifest.arrays} is missing; {_AGAIN}") from error


def _parse(content: bytes, folder: Path) -> _Manifest:
    path = folder / MANIFEST
    try:
        text = content.decode()
        header = _Header.model_validate_json(text)
        if header.schema_version > SCHEMA:
            raise SavedModelError(
                f"{folder} was written by a newer version of headstart (schema "
                f"{header.schema_version}, this version reads {SCHEMA}); upgrade with: "
                "pip install --upgrade headstart"
            )
        if 0 < header.schema_version < SCHEMA:
            raise SavedModelError(
                f"{folder} was written by an older version of headstart (schema "
                f"{header.schema_version}, this version reads {SCHEMA}); fit the model again"
            )
        return _Manifest.model_validate_json(text)
    except ValidationError as error:
        raise SavedModelError(f"{path} is damaged: {_fault(error)}; {_AGAIN}") from error
    except UnicodeDecodeError as error:
        raise SavedModelError(f"{path} is damaged ({error}); {_AGAIN}") from error


def _fault(error: ValidationError) -> str:
    """Return the first fault in one line: which entry, and what it should be."""
    first = error.errors(include_url=False)[0]
    entry = ".".join(str(part) for part in first["loc"])
    if not entry:  # not JSON; the input would be the whole file
        return first["msg"]
    if first["type"] == "missing":
        return f"the entry {entry!r} is missing"
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"the entry {entry!r} is unknown"
    return f"{entry!r} is {reprlib.repr(first['input'])}: {first['msg']}"


def _check(model: Model, path: Path) -> None:
    """Check that the arrays fit the manifest: otherwise predictions would be silently wrong."""
    digests = model.data.digests
    fits = (
        _are_members(model)
        and len(model.classes) == len(set(model.classes)) == len(model.data.images)
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
        raise SavedModelError(
            f"{path} does not fit {MANIFEST}: one of the two is damaged; {_AGAIN}"
        )


def _are_members(model: Model) -> bool:
    """Whether the first member is the model's, those of a view are side by side, and all fit."""
    names = [one.origin.name for one in model.all_members]
    return (
        model.all_members[0].origin == model.origin
        and [name for name, _ in groupby(names)] == list(dict.fromkeys(names))
        and all(_is_view_of(one.origin) for one in model.all_members)
    )


def _is_view_of(origin: BackboneOrigin) -> bool:
    """Whether the view of a member is one, of its backbone."""
    if origin.view is None:
        return True
    try:
        view = View.parse(origin.view)
    except BackboneError:
        return False
    return str(view) == origin.view and view.backbone == origin.backbone


def _arrays(model: Model) -> dict[str, Any]:
    head = {
        _HEAD + name: np.ascontiguousarray(array) for name, array in model.head.tensors().items()
    }
    tail = {_TAIL + name: np.ascontiguousarray(array) for name, array in model.tail.items()}
    novelty = model.novelty.detector.arrays() if model.novelty else {}
    calibration = model.calibration.tensors() if model.calibration else {}
    return {
        **head,
        **tail,
        **{_NOVELTY + name: np.ascontiguousarray(array) for name, array in novelty.items()},
        **{_CALIBRATION + name: array for name, array in calibration.items()},
        _DIGESTS: np.ascontiguousarray(model.data.digests),
    }
