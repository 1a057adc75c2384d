"""The JSON schema of what `headstart.system.serialization.to_json` makes of a type."""

import types
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final, TypeAlias, Union, get_args, get_origin, get_type_hints, is_typeddict

import numpy as np

from headstart.auditing.audit import Audit
from headstart.cli.documents import inspection, training
from headstart.comparison.result import Comparison
from headstart.evaluation.breakdown import ClassRecall, LargestClass
from headstart.evaluation.metrics import Accuracy
from headstart.evaluation.paired_tests import PairedTest
from headstart.exporting.proof import Proof
from headstart.models.deciding_places import DecidingPlace
from headstart.system.option import options_of
from headstart.transfer.imagenet_distance import ImageNetDistance
from headstart.transfer.learning_curve import SampleCost
from headstart.transfer.result import TransferReport
from headstart.types import Interval
from website import result_types, transfer_types

Schema: TypeAlias = dict[str, Any]
CONVERTED: Final[dict[type, Any]] = {
    Accuracy: result_types.AccuracyOutput,
    Audit: result_types.AuditOutput,
    ClassRecall: result_types.RecallOutput,
    Comparison: result_types.CompareOutput,
    DecidingPlace: result_types.Place,
    ImageNetDistance: transfer_types.DistanceOutput,
    LargestClass: result_types.LargestClassOutput,
    PairedTest: result_types.DifferenceOutput,
    Proof: result_types.ProofOutput,
    SampleCost: transfer_types.CostOutput,
    TransferReport: transfer_types.TransferOutput,
}
"""What `as_dict` of a class returns, where it has one."""
EXTENDED: Final[dict[type, Any]] = {
    inspection.AttackedAccuracy: inspection.TestedAccuracy,
    inspection.CorruptedAccuracy: inspection.TestedAccuracy,
    result_types.ComparedBackbone: result_types.NamedAccuracy,
    result_types.NamedAccuracy: result_types.AccuracyOutput,
    training.FineTuneDocument: training.TrainingDocument,
    training.FitDocument: training.TrainingDocument,
    transfer_types.BaselineOutput: result_types.AccuracyOutput,
    transfer_types.ChosenStages: result_types.AccuracyOutput,
    transfer_types.NamedGain: transfer_types.Gain,
    transfer_types.PlainClassifier: transfer_types.BaselineOutput,
    transfer_types.RandomWeights: transfer_types.BaselineOutput,
}
"""The typed dictionary that another one extends; Python 3.11 does not remember it."""
_SCALARS: Final = {str: "string", bool: "boolean", int: "integer", float: "number", Path: "string"}


def type_schema(kind: Any, definitions: dict[str, Schema]) -> Schema:
    """Return the schema of a type; those of classes in it are added to `definitions`.

    Raises:
        TypeError: a type in it has no schema, such as a class that converts itself.
    """
    kind = CONVERTED.get(kind, kind)
    origin, inner = get_origin(kind), get_args(kind)
    if kind in _SCALARS:
        return {"type": _SCALARS[kind]}
    if isinstance(kind, type) and issubclass(kind, Enum):
        return {"enum": [one.value for one in kind]}
    if kind is Interval:
        return _pair((float, float), definitions)
    if origin in (Union, types.UnionType):
        options = [type_schema(one, definitions) for one in inner if one is not types.NoneType]
        return {"anyOf": [*options, *([{"type": "null"}] if types.NoneType in inner else [])]}
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": type_schema(inner[1], definitions)}
    if origin is tuple and inner[1] is not Ellipsis:
        return _pair(inner, definitions)
    if origin in (list, tuple, Sequence):
        return {"type": "array", "items": type_schema(inner[0], definitions)}
    if origin is np.ndarray:  # of any shape
        return {"type": "array"}
    if hasattr(kind, "as_dict") or not (hints := _hints(kind)):
        raise TypeError(f"there is no schema for {kind}")
    if kind.__name__ not in definitions:
        definitions[kind.__name__] = {}  # it may contain itself
        definitions[kind.__name__] = _object(kind, hints, definitions)
    return {"$ref": f"#/$defs/{kind.__name__}"}


def described(kind: Any, properties: dict[str, Schema]) -> dict[str, Schema]:
    """Return properties with what the docstring of a class says about its attributes."""
    helps: dict[str, str] = {}
    one = kind
    while one is not None:
        own = {name: option.help for name, (_, option) in options_of(one).items() if option.help}
        helps, one = own | helps, EXTENDED.get(one)
    return {
        name: {**({"description": helps[name]} if name in helps else {}), **schema}
        for name, schema in properties.items()
    }


def summary_of(kind: Any) -> str:
    """Return the first line of a docstring."""
    return (kind.__doc__ or "").partition("\n")[0]


def _pair(kinds: Sequence[Any], definitions: dict[str, Schema]) -> Schema:
    both = [type_schema(one, definitions) for one in kinds]
    return {"type": "array", "prefixItems": both, "minItems": 2, "maxItems": 2}


def _hints(kind: Any) -> dict[str, Any]:
    """Return the types of the keys of a typed dictionary, a dataclass or a named tuple."""
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        return {one.name: hints[one.name] for one in fields(kind)}
    return get_type_hints(kind) if is_typeddict(kind) or hasattr(kind, "_fields") else {}


def _object(kind: Any, hints: dict[str, Any], definitions: dict[str, Schema]) -> Schema:
    own = fields(kind) if is_dataclass(kind) else ()
    keys = {one.name: one.metadata["json"] for one in own if "json" in one.metadata}
    properties = described(
        kind, {name: type_schema(hint, definitions) for name, hint in hints.items()}
    )
    return {
        "type": "object",
        "description": summary_of(kind),
        "properties": {keys.get(name, name): one for name, one in properties.items()},
        "required": sorted(
            keys.get(name, name) for name in getattr(kind, "__required_keys__", hints)
        ),
        "additionalProperties": False,
    }
