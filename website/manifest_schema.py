"""The JSON schemas of model.json, which pydantic knows, and of what `headstart info` prints."""

from typing import Any, Final

from headstart.evaluation.breakdown import ClassRecall
from headstart.images.preprocessing import Preprocessing
from headstart.models import saved_model
from headstart.models.trained_model import (
    AccuracyEstimate,
    BackboneOrigin,
    FineTuning,
    Member,
    Model,
    TrainingData,
)
from headstart.novelty.estimate import Detection, NoveltyEstimate
from headstart.series.series import SeriesSummary
from headstart.types import Interval
from website.type_schema import Schema, described, summary_of, type_schema

_PARTS: Final[dict[str, Any]] = {
    "_Data": TrainingData,
    **{
        one.__name__: one
        for one in (
            *(AccuracyEstimate, BackboneOrigin, ClassRecall, Detection, FineTuning, Interval),
            *(Member, NoveltyEstimate, Preprocessing, SeriesSummary),
        )
    },
}
"""The class that describes each part."""
_OWN: Final = {
    "format": "What the file is.",
    "schema_version": "Grows when an older headstart could not read the file.",
    "head": "Kind of the classifier.",
    "arrays": "Name of the file with the arrays.",
}


def manifest_schema() -> Schema:
    """Return the schema of model.json."""
    schema = saved_model._Manifest.model_json_schema(mode="serialization")
    for name, part in schema["$defs"].items():
        part.pop("title")
        if name in _PARTS:
            part["description"] = summary_of(_PARTS[name])
            part["properties"] = described(_PARTS[name], _untitled(part["properties"]))
    properties = described(Model, _untitled(schema["properties"]))
    for name, text in _OWN.items():
        properties[name]["description"] = text
    return {**schema, "description": "A trained model.", "properties": properties}


def info_schema(definitions: dict[str, Schema]) -> Schema:
    """Return the schema of `headstart info --json`: the manifest with more about accuracy and cost.

    Args:
        definitions: the schemas of its parts are added to it.
    """
    manifest = manifest_schema()
    parts, properties = manifest["$defs"], manifest["properties"]
    estimate = type_schema(AccuracyEstimate, definitions)
    for name, part in parts.items():  # the manifest has other keys for an accuracy
        definitions[f"Saved{name.lstrip('_')}"] = _renamed(part)
    cost = {
        "description": "Core-milliseconds per image on this machine; null if not measured.",
        "anyOf": [{"type": "number"}, {"type": "null"}],
    }
    definitions["SavedMember"]["properties"]["cost"] = cost
    definitions["SavedMember"]["required"].append("cost")
    for name in ("probe", "tuned"):
        definitions["SavedFineTuning"]["properties"][name] |= estimate
    properties = _renamed({name: one for name, one in properties.items() if name != "arrays"})
    several = "; null with several members"
    for name, kind in (("head", "string"), ("setting", "number")):
        properties[name] = {
            "description": properties[name]["description"].rstrip(".") + f"{several}.",
            "anyOf": [{"type": kind}, {"type": "null"}],
        }
    properties["accuracy"] |= estimate
    properties["accuracy_by_stage"]["additionalProperties"] = estimate
    properties["cost"] = cost
    return {
        "type": "object",
        "description": "The document of `headstart info --json`.",
        "properties": properties,
        "required": sorted(properties),
        "additionalProperties": False,
    }


def _untitled(properties: dict[str, Schema]) -> dict[str, Schema]:
    return {
        name: {key: value for key, value in one.items() if key != "title"}
        for name, one in properties.items()
    }


def _renamed(schema: Any) -> Any:
    """Return a schema that refers to the parts of the manifest by the names they have in info's."""
    if isinstance(schema, dict):
        return {key: _renamed(value) for key, value in schema.items()}
    if isinstance(schema, list):
        return [_renamed(one) for one in schema]
    if isinstance(schema, str) and schema.startswith("#/$defs/"):
        return f"#/$defs/Saved{schema.removeprefix('#/$defs/').lstrip('_')}"
    return schema
