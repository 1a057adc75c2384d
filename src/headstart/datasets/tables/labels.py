"""Labels in cells: one class as text, or several classes, which are refused."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any, Final

_BRACKETS: Final = {"[": "]", "(": ")", "{": "}"}
_QUOTED: Final = re.compile(r"""(['"])(.*?)\1""")
_NUMBER: Final = re.compile(r"[+-]?\d+(?:\.\d*)?")
_MISSING: Final = frozenset({"nan", "na", "n/a", "<na>", "null", "none", "-", "?"})
_ALWAYS_SEPARATE: Final = ("|", ";")
_MAY_SEPARATE: Final = (",", "+", "&")
_FEW: Final = 0.1  # share of labels with a comma that may contain another label by chance


def cell_labels(value: Any, names: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the labels in a cell, none if it is empty.

    Args:
        value: A text or a number; a list of them; or a list as text, such as "['cat', 'indoor']".
        names: The classes that the numbers stand for; a negative number is no class.
    """
    if isinstance(value, list | tuple | set):
        return tuple(dict.fromkeys(label for one in value for label in cell_labels(one, names)))
    if isinstance(value, dict) and len(value) == 1:
        (value,) = value.values()
    if names and isinstance(value, int):
        return (names[value],) if 0 <= value < len(names) else ()
    text = cell_text(value)
    if text is None:
        return ()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'`":
        text = text[1:-1].strip()
    return _listed(text) if text[:1] in _BRACKETS else (text,) if text else ()


def cell_text(value: Any) -> str | None:
    """Return a cell as text; None for empty cells, NaN, lists and other objects."""
    if isinstance(value, float):
        if value != value:
            return None
        # Integer columns with missing values are read as floats.
        value = int(value) if value.is_integer() else value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str | int | float | Decimal | date | time | timedelta):
        return str(value).strip() or None
    return None


def _listed(text: str) -> tuple[str, ...]:
    """Return the items of a list written as text; the text itself if it is not a list."""
    if text[-1] != _BRACKETS[text[0]]:
        return (text,)
    with suppress(ValueError, RecursionError):
        if isinstance(items := json.loads(text), list):
            return cell_labels(items)
    quoted = [match[2].strip() for match in _QUOTED.finditer(text[1:-1])]
    if not quoted and text[0] != "[":
        return (text,)
    items = quoted or text[1:-1].split(",")
    return tuple(dict.fromkeys(item.strip() for item in items if item.strip()))


def is_missing_word(label: str) -> bool:
    """Whether a label is how programs write a missing value: "NaN", "NA", "null", "None"."""
    return label.casefold() in _MISSING


def are_numbers(labels: Iterable[str]) -> bool:
    """Whether all labels that are not missing are numbers, and there is one."""
    numbers = [_NUMBER.fullmatch(one) is not None for one in labels if not is_missing_word(one)]
    return bool(numbers) and all(numbers)


def joint_labels(labels: Iterable[str], *, plural: bool) -> dict[str, tuple[str, ...]]:
    """Return the labels that are several classes in one text, with these classes.

    - "|" and ";" separate classes if a part occurs in another label as well: "cat|indoor" beside
      "cat", or "cat|indoor" beside "dog|indoor".
    - ",", "+" and "&" do if a part is a label of its own, for more than a few of these labels:
      "cat, indoor" beside "cat". "Labrador Retriever, black" beside "Labrador Retriever, yellow"
      are two classes.
    - Blanks do if all parts are labels of their own: "scab rust" beside "scab" and "rust". In a
      column with a plural name, most labels may also consist of parts that occur in others: "cat
      indoor" and "dog indoor" beside "cat"; "haze road" and "haze primary road".

    Args:
        labels: The different labels of a column.
        plural: Whether the column has a name such as "labels" or "tags".
    """
    known = set(labels)
    for separator in (*_ALWAYS_SEPARATE, *_MAY_SEPARATE, None):
        parts = {one: _parts(one, separator) for one in known}
        joint = {one: set(made) for one, made in parts.items() if len(made) > 1}
        alone = known - set(joint)
        shared = Counter(part for made in joint.values() for part in made)
        several = alone | {part for part, count in shared.items() if count > 1}
        if separator in _ALWAYS_SEPARATE:
            found = {one for one, made in joint.items() if several & made}
        elif separator is not None:
            found = {one for one, made in joint.items() if alone & made}
            found = found if len(found) > _FEW * len(joint) else set()
        else:
            found = {one for one, made in joint.items() if alone >= made}
            if plural and not found:
                varied = len({len(made) for made in joint.values()}) > 1
                found = {
                    one
                    for one, made in joint.items()
                    if several >= made and (varied or alone & made)
                }
                found = found if 2 * len(found) > len(joint) else set()
        if found:
            return {one: parts[one] for one in found}
    return {}


def _parts(label: str, separator: str | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in label.split(separator) if part.strip()))


def equal_numbers(labels: Iterable[str]) -> list[list[str]]:
    """Return the groups of labels that are the same number: "1", "1.0" and "01"."""
    groups: dict[float, list[str]] = defaultdict(list)
    for label in labels:
        if _NUMBER.fullmatch(label):
            groups[float(label)].append(label)
    return [sorted(group) for _, group in sorted(groups.items()) if len(group) > 1]
