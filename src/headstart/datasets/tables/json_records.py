"""Tables in JSON: one object per line, or one document of objects or columns."""

import json
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from headstart.datasets.tables.column_names import ID_NAMES, IMAGE_NAMES, is_common_name, plain_name
from headstart.datasets.tables.table import Table, records_table
from headstart.datasets.tables.table_limits import (
    MOST_JSON_COMMAS,
    MOST_JSON_OBJECTS,
    MOST_ROWS,
    check_count,
    text_lines,
)
from headstart.errors import DataError

_ADVICE: Final = "write it as CSV, which may be larger, or divide it"
_DEPTH: Final = 3  # objects in objects whose values become columns of their own


class _RepeatedKeyError(ValueError):
    """An object that has a key twice."""


def read_json_lines(path: Path, text: str) -> Table:
    """Read one JSON object per line; a file that begins with "[" is one document.

    Raises:
        DataError: The document is not valid.
    """
    _check_size(path, text)
    if text.lstrip().startswith("[") and (document := _parse(text)[0]) is not None:
        return _document_table(path, document)
    return _lines_table(path, text)


def _lines_table(path: Path, text: str) -> Table:
    records: list[dict[str, Any]] = []
    lines, problems = array("Q"), {}
    for number, line in enumerate(text_lines(path, text), start=1):
        if not line.strip():
            continue
        value, problem = _parse(line)
        if not isinstance(value, dict):
            problems[len(records)] = problem or "not a JSON object"
            value = {}
        records.append(_flat(value))
        lines.append(number)
    return records_table(path, records, "line", lines, problems)


def read_json(path: Path, text: str) -> Table:
    """Read a document: an array of objects, an object of columns, or files and their labels.

    Raises:
        DataError: It is neither that nor JSON lines.
    """
    _check_size(path, text)
    document, problem = _parse(text)
    if document is None:
        table = _lines_table(path, text)
        if len(table) == len(table.problems):
            raise DataError(
                f"{path} cannot be read as JSON: {problem or 'no objects'}; fix the file"
            )
        return table
    return _document_table(path, document)


def _check_size(path: Path, text: str) -> None:
    """Refuse a text with more values than fit in memory, before they are read."""
    objects = text.count("{") + text.count("[")
    check_count(path, objects, MOST_JSON_OBJECTS, "objects and lists", _ADVICE)
    check_count(path, text.count(","), MOST_JSON_COMMAS, "commas", _ADVICE)


def _parse(text: str) -> tuple[Any, str]:
    """Return a value, or None and why there is none."""
    try:
        return json.loads(text, object_pairs_hook=_object), ""
    except _RepeatedKeyError as error:
        return None, str(error)
    except (ValueError, RecursionError):
        return None, "not a JSON object"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        ((repeated, _),) = Counter(key for key, _ in pairs).most_common(1)
        raise _RepeatedKeyError(f"the key '{repeated}' occurs twice")
    return found


def _document_table(path: Path, document: Any) -> Table:
    values = _rows(path, document)
    check_count(path, len(values), MOST_ROWS, "rows")
    problems = {
        index: "not a JSON object" for index, one in enumerate(values) if not isinstance(one, dict)
    }
    records = [_flat(one) if isinstance(one, dict) else {} for one in values]
    return records_table(path, records, "row", range(1, len(values) + 1), problems)


def _rows(path: Path, document: Any) -> Sequence[Any]:
    """Return the rows of a document, whichever way it is oriented."""
    if isinstance(document, list):
        return document
    if not isinstance(document, dict):
        return []
    if {"images", "annotations"} <= set(document):
        raise DataError(
            f"{path} has the form of COCO annotations, which is not supported; write a table with "
            "one row per image: its file and its label"
        )
    keys, values = list(document), list(document.values())
    match document:
        case {"columns": [*names], "data": [*data]} if all(isinstance(row, list) for row in data):
            return [dict(zip(names, row, strict=False)) for row in data]  # pandas, orient="split"
    rows = len(keys) > 1 and all(isinstance(one, dict) for one in values)
    if rows and any(map(is_common_name, keys)):  # columns, as pandas writes
        return [{key: document[key].get(row) for key in keys} for row in values[0]]
    scalars = all(isinstance(one, str | int | float) for one in values)
    if keys and (rows or (scalars and not any(map(is_common_name, keys)))):
        # Labels, or rows, by the name of the file; pandas writes rows by their number.
        if rows and any(plain_name(key) in IMAGE_NAMES | ID_NAMES for key in values[0]):
            return values
        return [
            {"file": key, **(value if rows else {"label": value})}
            for key, value in document.items()
        ]
    if len(keys) > 1 and all(isinstance(one, list) for one in values):
        if len({len(one) for one in values}) > 1:
            raise DataError(f"{path} has columns of different lengths; fix the file")
        return [dict(zip(keys, cells, strict=True)) for cells in zip(*values, strict=True)]
    lists = [one for one in values if isinstance(one, list) and one and isinstance(one[0], dict)]
    return lists[0] if len(lists) == 1 else [document]


def _flat(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record with the values of inner objects, named "outer.inner"."""
    if not any(isinstance(value, dict) for value in record.values()):
        return record  # a copy of millions would take as much memory again
    return dict(_leaves(record, "", _DEPTH))


def _leaves(record: Mapping[str, Any], prefix: str, depth: int) -> Iterator[tuple[str, Any]]:
    for key, value in record.items():
        if depth and isinstance(value, dict) and "bytes" not in value:
            yield from _leaves(value, f"{prefix}{key}.", depth - 1)
        else:
            yield f"{prefix}{key}", value
