"""JSON schemas of what commands print with `--json`, from the types of the results."""

import json
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import (
    Any,
    Final,
    NotRequired,
    TypeAlias,
    TypedDict,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

import numpy as np

from headstart.evaluation.breakdown import ClassRecall, LargestClass
from headstart.evaluation.drift import Drift, EstimatedAccuracy
from headstart.evaluation.report import Report
from headstart.system.option import options_of
from headstart.types import ClassProbability, Interval, Skipped

Schema: TypeAlias = dict[str, Any]


class Place(TypedDict):
    """A place in an image by which a model decided.

    Attributes:
        box: Left, top, right and bottom in pixels of the upright image.
        share: Its share among all places that decided, in (0, 1].
    """

    box: list[int]
    share: float


class ImagePrediction(TypedDict):
    """The prediction for one image; only `image` and `error` if it could not be read.

    Attributes:
        image: The path, as it was given.
        error: Why the image could not be read.
        label: The most probable class, also if `known` is false.
        probability: Its probability, in [0, 1].
        novelty: Share of images of the known classes that are at least as unlike the training
            images; null if the model cannot tell.
        known: Whether the novelty is above the limit; null without a novelty or a limit.
        answer: The label, "unknown", or "unsure" (`--min-probability`).
        top: The most probable classes, the most probable first.
        set: The classes that cannot be ruled out (`--coverage`).
        where: The places that decided (`--where`).
    """

    image: str
    error: NotRequired[str]
    label: NotRequired[str]
    probability: NotRequired[float]
    novelty: NotRequired[float | None]
    known: NotRequired[bool | None]
    answer: NotRequired[str | None]
    top: NotRequired[list[ClassProbability]]
    set: NotRequired[list[str]]
    where: NotRequired[list[Place]]


class PredictOutput(TypedDict):
    """The document of `headstart predict --json`.

    Attributes:
        predictions: One for each image, in the order of the images.
        counts: Number of images by answer.
        cost: Core-milliseconds per image; null if nothing was computed.
        skipped: Files of folders that are not images, with reasons.
        coverage: What `--coverage` said, or null.
        drift: Whether the images as a whole are unlike the training images; null for fewer than 20.
        estimated_accuracy: Share of the predictions that may be correct; null likewise.
    """

    predictions: list[ImagePrediction]
    counts: dict[str, int]
    cost: float | None
    skipped: list[Skipped]
    coverage: float | None
    drift: Drift | None
    estimated_accuracy: EstimatedAccuracy | None


LargestClassOutput = TypedDict(  # "class" is no name in Python
    "LargestClassOutput",
    {
        "class": str,
        "accuracy": float,
        "images": int,
        "difference": float,
        "interval": Interval,
        "better": bool,
    },
)
LargestClassOutput.__doc__ = """What always answering the largest class would get right.

    Attributes:
        class: Its name.
        accuracy: Share of the images that this answer gets right.
        images: Number of its images.
        difference: The accuracy of the model minus this.
        interval: 95% interval of the difference.
        better: Whether the interval is above 0.
    """
RecallOutput = TypedDict(
    "RecallOutput",
    {"class": str, "recall": float, "interval": Interval, "correct": int, "images": int},
)
RecallOutput.__doc__ = """How many images of a class are recognized.

    Attributes:
        class: Its name.
        recall: Share of its images that are predicted as it.
        interval: 95% interval of the recall.
        correct: Number of those images.
        images: Number of its images.
    """
CONVERTED: Final[dict[type, Any]] = {
    ClassRecall: RecallOutput,
    LargestClass: LargestClassOutput,
}
"""What `as_dict` of a class returns, where it has one."""
OUTPUTS: Final[dict[str, type]] = {"evaluate": Report, "predict": PredictOutput}
"""The type of what a command prints with `--json`, by the command's name."""
_SCALARS: Final = {str: "string", bool: "boolean", int: "integer", float: "number"}


def json_schema(command: str) -> Schema:
    """Return the schema of what a command prints with `--json`.

    Args:
        command: a key of `OUTPUTS`.

    Returns:
        A JSON schema (draft 2020-12) that allows no other properties.

    Raises:
        TypeError: a type in it has no schema, such as a class that converts itself.
    """
    definitions: dict[str, Schema] = {}
    reference = _schema(OUTPUTS[command], definitions)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"headstart {command} --json",
        **reference,
        "$defs": definitions,
    }


def schema_text(command: str) -> str:
    """Return the schema as the text of a file."""
    return json.dumps(json_schema(command), indent=2) + "\n"


def _schema(kind: Any, definitions: dict[str, Schema]) -> Schema:
    """Return the schema of what `to_json` makes of a type; those of classes are definitions."""
    kind = CONVERTED.get(kind, kind)
    origin, inner = get_origin(kind), get_args(kind)
    if kind in _SCALARS:
        return {"type": _SCALARS[kind]}
    if kind is Interval:
        return {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}
    if origin in (Union, types.UnionType):
        options = [_schema(one, definitions) for one in inner if one is not types.NoneType]
        return {"anyOf": [*options, *([{"type": "null"}] if types.NoneType in inner else [])]}
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": _schema(inner[1], definitions)}
    if origin in (list, tuple):
        return {"type": "array", "items": _schema(inner[0], definitions)}
    if origin is np.ndarray:  # of any shape
        return {"type": "array"}
    if hasattr(kind, "as_dict") or not (hints := _hints(kind)):
        raise TypeError(f"there is no schema for {kind}")
    if kind.__name__ not in definitions:
        definitions[kind.__name__] = {}  # it may contain itself
        definitions[kind.__name__] = _object(kind, hints, definitions)
    return {"$ref": f"#/$defs/{kind.__name__}"}


def _hints(kind: Any) -> dict[str, Any]:
    """Return the types of the keys of a typed dictionary, a dataclass or a named tuple."""
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        return {one.name: hints[one.name] for one in fields(kind)}
    return get_type_hints(kind) if is_typeddict(kind) or hasattr(kind, "_fields") else {}


def _object(kind: Any, hints: dict[str, Any], definitions: dict[str, Schema]) -> Schema:
    properties = {}
    for key, hint in hints.items():
        about = options_of(kind)[key][1].help
        text = {"description": about} if about else {}
        properties[key] = {**text, **_schema(hint, definitions)}
    return {
        "type": "object",
        "description": (kind.__doc__ or "").partition("\n")[0],
        "properties": properties,
        "required": sorted(getattr(kind, "__required_keys__", hints)),
        "additionalProperties": False,
    }
