"""Results as JSON, by one conversion for every dataclass, array, enum and path; and as CSV."""

import csv
import io
import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from headstart.system.files import atomic_write
from headstart.types import Interval


def to_json(value: Any, *, without: Collection[str] = ()) -> Any:
    """Return a value as dictionaries, lists, text, numbers, booleans and None.

    A dataclass or named tuple becomes an object of its fields, or of what its method `as_dict`
    returns, which may contain anything that this function converts. The metadata of a dataclass
    field may give its key: `field(metadata={"json": "key"})`. An `Interval` becomes [low, high], an
    enum its value, a path its text, an array nested lists, and a number that is not finite null:
    JSON has no name for it.

    `without` names fields of a dataclass to omit, such as large arrays.

    Raises:
        TypeError: JSON cannot express the value.
    """
    if isinstance(value, Enum):
        return to_json(value.value)
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Interval):
        return [to_json(value.low), to_json(value.high)]
    if hasattr(value, "as_dict"):
        return to_json(value.as_dict())
    if is_dataclass(value) and not isinstance(value, type):
        return {
            one.metadata.get("json", one.name): to_json(getattr(value, one.name))
            for one in fields(value)
            if one.name not in without
        }
    if hasattr(value, "_asdict"):
        return to_json(value._asdict())
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # an array of NumPy, or one of its numbers
        return to_json(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, Iterable):
        return [to_json(item) for item in value]
    raise TypeError(f"JSON has no form for a {type(value).__name__}")


def json_text(value: Any, *, ascii_only: bool = False) -> str:
    """Return what `to_json` converts as an indented document; `ascii_only` escapes the rest."""
    return json.dumps(to_json(value), indent=2, ensure_ascii=ascii_only, allow_nan=False)


def write_json(path: Path, value: Any) -> None:
    r"""Write what `to_json` converts as a JSON file: UTF-8.

    Bytes of names that are not text are written as an escape (\udcff), which JSON readers turn into
    what `os.fsencode` turns into the bytes.

    Raises:
        HeadstartError: the file cannot be written.
    """
    atomic_write(path, f"{json_text(value)}\n".encode(errors="backslashreplace"))


def csv_text(rows: Iterable[Sequence[Any]]) -> str:
    """Return rows of cells as a CSV table; lines end with a line feed."""
    buffer = io.StringIO(newline="")
    # Python's csv does not quote a bare carriage return, which readers take for the end of a line.
    plain = csv.writer(buffer, lineterminator="\n")
    quoted = csv.writer(buffer, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for row in rows:
        returns = any(isinstance(cell, str) and "\r" in cell for cell in row)
        (quoted if returns else plain).writerow(row)
    return buffer.getvalue()
