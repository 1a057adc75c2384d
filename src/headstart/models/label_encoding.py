"""Labels of any type in Python, and the class names that stand for them in a model.

Labels are told apart by value, whatever their type: 1, 1.0 and `np.int8(1)` are one label, and so
are "cat" and b"cat" (as HDF5 stores text). Of an enum's members, the values are the labels. Text,
numbers and booleans are different kinds, which one model does not mix.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Literal, TypeAlias, cast, get_args

import numpy as np

from headstart.errors import DataError
from headstart.system.text import join_names, pluralize

LabelType: TypeAlias = Literal[
    "str", "bool",
    "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "float16", "float32", "float64",
]  # fmt: skip
"""The type of a model's labels, by its name in NumPy."""

_TEXT, _NUMBERS, _BOOLEANS = "text", "numbers", "booleans"
_EXACT: Final = 2**53
"""Up to here, floats represent every integer exactly."""


@dataclass(frozen=True, slots=True)
class EncodedLabels:
    """Labels as class names.

    Attributes:
        names: The class name of each label.
        classes: The different ones, sorted: numbers by value, text by its characters.
        label_type: What `decode_labels` needs to give the labels back.
    """

    names: tuple[str, ...]
    classes: tuple[str, ...]
    label_type: LabelType


def encode_labels(y: Iterable[object]) -> EncodedLabels:
    """Return the class names of labels.

    Raises:
        DataError: A label is missing, is neither text, a number nor a boolean, or is of another
            kind than the others.
    """
    labels = _present(y)
    kinds = [_kind(label) for label in labels]
    for place, kind in enumerate(kinds):
        if kind is None or labels[place] in (float("inf"), float("-inf")):
            raise DataError(
                f"label {place} is {_shortened(labels[place])}; each label must be text, a number "
                "or a boolean"
            )
    if len(set(kinds)) > 1:
        found = Counter(str(kind) for kind in kinds)
        examples = [
            f"{n:,} {kind} such as {labels[kinds.index(kind)]!r}" for kind, n in found.items()
        ]
        raise DataError(
            f"the labels mix kinds ({' and '.join(examples)}); give labels of one kind, such as "
            "text"
        )
    names = tuple(label_name(label) for label in labels)
    label_type = _type(labels, kinds[0]) if labels else "str"
    different = sorted(set(names))
    values = decode_labels(different, label_type)
    classes = tuple(different[place] for place in np.argsort(values, kind="stable"))
    return EncodedLabels(names, classes, label_type)


def decode_labels(classes: Sequence[str], label_type: LabelType) -> np.ndarray:
    """Return the labels of class names, in the same order.

    Raises:
        ValueError: A name is none of a label of this type.
    """
    if label_type == "str":
        return np.array(classes, dtype=str)
    if label_type == "bool":
        if unknown := sorted(set(classes) - {"False", "True"}):
            raise ValueError(f"{unknown[0]!r} is not a boolean")
        return np.array([name == "True" for name in classes], dtype=bool)
    dtype = np.dtype(label_type)
    return np.array([dtype.type(name) for name in classes], dtype)


def match_labels(y: Iterable[object], classes: Sequence[str], label_type: LabelType) -> list[str]:
    """Return the name of each label as a model calls it, whatever its type: 1, 1.0, "1" or True.

    A label that the model does not know is returned as text.

    Raises:
        DataError: A label is missing.
    """
    known = set(classes)
    return [_match(label, known, label_type) for label in _present(y)]


def _match(label: Any, known: Set[str], label_type: LabelType) -> str:
    name = label_name(label)
    candidates = [name, str(label)]
    try:
        number = float(label)  # also of text
        if label_type == "bool" and number in (0, 1):
            candidates.append(str(number == 1))
        elif label_type != "str":
            candidates.append(label_name(number))
    except (OverflowError, TypeError, ValueError):
        pass
    return next((one for one in candidates if one in known), name)


def label_name(label: Any) -> str:
    """Return a label as text; that of equal numbers is equal.

    Raises:
        DataError: It consists of bytes that are not text.
    """
    if isinstance(label, bytes):
        try:
            return label.decode()
        except UnicodeDecodeError as error:
            raise DataError(f"the label {bytes(label)!r} is not UTF-8 text; decode it") from error
    if isinstance(label, float | np.floating):
        number = float(label)
        if abs(number) < _EXACT and number.is_integer():
            return str(int(number))
    return str(label)


def listed(values: Any, what: str) -> list[Any]:
    """Return the values of a list, array, Series, one-column table or generator.

    Args:
        values: What was given.
        what: What it should be, such as "labels", for the error message.

    Raises:
        DataError: It has no order, or several columns.
    """
    if isinstance(values, str | bytes | Mapping | Set) or not isinstance(values, Iterable):
        raise DataError(f"give a list of {what}, not {_shortened(values)}")
    if hasattr(values, "columns") and hasattr(values, "to_numpy"):  # a table of pandas or Polars
        names = [repr(name) for name in values.columns]
        if len(names) != 1:
            raise DataError(
                f"the table has the columns {join_names(names) or '(none)'}; give only the one "
                f"with the {what}, such as table['path']"
            )
        values = values.to_numpy()
    if hasattr(values, "__array__"):  # also a Series, a Categorical or a tensor
        values = np.asarray(values)
        if values.ndim != 1 and values.shape[1:] != (1,):
            raise DataError(f"the {what} have the shape {values.shape}; give a list of {what}")
        values = values.reshape(-1)
    return [_scalar(value) for value in values]


def is_missing(value: Any) -> bool:
    """Whether a value is None, NaN or pandas' NA."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float | np.floating) and bool(np.isnan(value))


def _present(y: Iterable[object]) -> list[Any]:
    """Return the labels as a list, after a check that none is missing."""
    labels = [label.value if isinstance(label, Enum) else label for label in listed(y, "labels")]
    missing = [
        place
        for place, label in enumerate(labels)
        if is_missing(label) or (_kind(label) == _TEXT and not label)
    ]
    check_none_missing(missing, len(labels), "label")
    return labels


def check_none_missing(missing: Sequence[int], total: int, what: str) -> None:
    """Refuse labels or paths of which some are missing, at the positions in `missing`."""
    if missing:
        raise DataError(
            f"{len(missing):,} of {pluralize(total, what)} {'is' if len(missing) == 1 else 'are'} "
            f"missing (None, NaN or empty), the first at position {missing[0]}; leave these images "
            "out"
        )


def _scalar(value: Any) -> Any:
    """Return the content of an array or tensor without dimensions."""
    inside = not isinstance(value, np.generic) and getattr(value, "shape", None) == ()
    return value.item() if inside else value


def _kind(label: Any) -> str | None:
    if isinstance(label, bool | np.bool_):
        return _BOOLEANS
    if isinstance(label, str | bytes):
        return _TEXT
    return _NUMBERS if isinstance(label, int | float | np.integer | np.floating) else None


def _type(labels: list[Any], kind: str | None) -> LabelType:
    """Return the smallest type that holds all labels, which are of one kind."""
    if kind == _TEXT:
        return "str"
    dtype = np.array(labels).dtype
    if dtype.kind == "f":
        if all(isinstance(label, int | np.integer) for label in labels):  # NumPy rounds these
            dtype = np.dtype(np.uint64 if min(labels) >= 0 and max(labels) < 2**64 else object)
        elif dtype.itemsize > 8:
            dtype = np.dtype(np.float64)
    if dtype.name not in get_args(LabelType):
        raise DataError(
            f"the label {max(labels, key=abs)} does not fit into 64 bits; give such labels as text"
        )
    return cast("LabelType", dtype.name)


def _shortened(value: object) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."
