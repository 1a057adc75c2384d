"""Images dropped or relabeled by a reviewed audit; the files themselves are left alone.

A review is the table that `headstart audit` writes, with decisions in the column `action`:

    keep, or nothing    the image stays as it is
    drop                the image is not used
    relabel             the image gets the class in the column `suggested_label`

A changed cell in the column `label` relabels an image as well.
"""

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import numpy as np

from headstart.datasets.dataset import ImageDataset
from headstart.datasets.tables.table_file import read_rows, read_table
from headstart.errors import DataError
from headstart.system.text import join_names, pluralize
from headstart.types import Skipped

COLUMNS: Final = ("path", "kind", "score", "label", "suggested_label", "evidence", "action")
"""Columns of the table, in order."""


_DROPPED: Final = "dropped in "


class Action(StrEnum):
    """What to do with an image."""

    KEEP = "keep"
    DROP = "drop"
    RELABEL = "relabel"


@dataclass(frozen=True, slots=True)
class _Decision:
    """What a review says about an image.

    Attributes:
        label: The new class; None to drop the image.
        where: Position of the row in the table.
    """

    label: str | None
    where: str


def apply_review(dataset: ImageDataset, table: Path) -> ImageDataset:
    """Return a data set without the dropped images and with the mended labels.

    Args:
        dataset: The images that were audited.
        table: The reviewed table; its paths may be relative to the current folder.

    Returns:
        The images to use; `skipped` lists the dropped ones as well, and `warnings` says if the
        table changes nothing.

    Raises:
        DataError: The table cannot be read, contradicts itself, or names a class or an image that
            the data set does not have.
    """
    rows, damaged = read_rows(table)
    if damaged:
        raise DataError(f"{damaged[0].path}: {damaged[0].reason}; fix that line of the review")
    columns = list(rows[0][1] if rows else read_table(table).columns)
    if not {"path", "label", "action"} <= set(columns):
        state = f"has the columns {join_names(columns)}" if columns else "is empty"
        raise DataError(
            f"{table} {state}; a review needs path, label and action, as in the audit.csv of "
            "'headstart audit'"
        )
    places: dict[str, list[int]] = {}
    for place, file in enumerate(dataset.paths):
        places.setdefault(_key(str(file)), []).append(place)
    classes = tuple(map(escaped, dataset.classes))
    decisions: dict[int, _Decision] = {}
    missing, kept = [], 0
    for where, values in rows:
        path = _cell(values, "path")
        found = places.get(_key(path), []) if path else []
        now = {classes[dataset.labels[place]] for place in found}
        action = _action(values, now, f"{table}, {where}")
        if action is Action.KEEP:
            kept += 1
            continue
        if not path:
            raise DataError(f"{table}, {where}: {action} needs a path; clear the action")
        if not found:
            # A file that could not be read is not among the images anyway.
            if not (action is Action.DROP and _cell(values, "kind") == "unreadable"):
                missing.append(f"{path} ({where})")
            continue
        new = _new_label(values, now, classes, f"{table}, {where}")
        decision = _Decision(None if action is Action.DROP else new, where)
        for place in found:
            decisions[place] = _agreed(decisions.get(place), decision, f"{table}: {path}")
    if missing:
        raise DataError(
            f"{table} names {pluralize(len(missing), 'image')} that {dataset.name} does not have: "
            f"{join_names(missing, 3)}; give the data that was audited"
        )
    if rows and kept == len(rows):
        nothing = f"{table} changes nothing; write drop or relabel in its column action"
        return replace(dataset, warnings=(*dataset.warnings, nothing))
    return _decided(dataset, classes, decisions, table)


def count_actions(table: Path) -> int:
    """Return the number of rows with an action; 0 if there is no such table."""
    if not table.exists():
        return 0
    rows, _ = read_rows(table)
    return sum(1 for _, values in rows if _cell(values, "action").strip())


def was_dropped(skipped: Skipped) -> bool:
    """Whether an image was left out by a review, not because it cannot be used."""
    return skipped.reason.startswith(_DROPPED)


def escaped(path: str) -> str:
    r"""Return a path as a table states it: bytes that are not text as an escape (\udcff)."""
    return path.encode("utf-8", "backslashreplace").decode()


def _key(path: str) -> str:
    return os.path.abspath(escaped(path))  # noqa: PTH100 - Path would resolve nothing, but strip


def _cell(values: Mapping[str, Any], column: str) -> str:
    value = values.get(column)
    return "" if value is None else str(value)


def _action(values: Mapping[str, Any], now: set[str], where: str) -> Action:
    """Return the action of a row; a changed label counts as one."""
    text = _cell(values, "action").strip().lower()
    if text not in ("", *Action):
        raise DataError(f"{where}: unknown action {text!r}; use {', '.join(Action)} or nothing")
    if text:
        return Action(text)
    label = _cell(values, "label")
    return Action.RELABEL if now and label and label not in now else Action.KEEP


def _new_label(
    values: Mapping[str, Any], now: set[str], classes: tuple[str, ...], where: str
) -> str:
    """Return the class that a row asks for: its label if that was changed, or the suggested one."""
    label = _cell(values, "label")
    new = label if label and label not in now else _cell(values, "suggested_label")
    if _cell(values, "action").strip().lower() == Action.DROP or new in classes:
        return new
    if not new:
        raise DataError(f"{where}: relabel needs a class in the column suggested_label")
    similar = difflib.get_close_matches(new, classes, n=1)
    hint = f"did you mean {similar[0]!r}?" if similar else f"the classes are {join_names(classes)}"
    raise DataError(f"{where}: there is no class {new!r}; {hint}")


def _agreed(earlier: _Decision | None, later: _Decision, path: str) -> _Decision:
    """Combine two decisions about one image: dropping wins, two different labels contradict."""
    if earlier is None or later.label is None:
        return later
    if earlier.label is None or earlier.label == later.label:
        return earlier
    raise DataError(
        f"{path} is relabeled {earlier.label} ({earlier.where}) and {later.label} "
        f"({later.where}); keep one of them"
    )


def _decided(
    dataset: ImageDataset,
    classes: tuple[str, ...],
    decisions: Mapping[int, _Decision],
    table: Path,
) -> ImageDataset:
    labels, kept = dataset.labels.copy(), np.ones(len(dataset), bool)
    for place, decision in decisions.items():
        if decision.label is None:
            kept[place] = False
        else:
            labels[place] = classes.index(decision.label)
    dropped = [
        Skipped(str(dataset.paths[place]), f"{_DROPPED}{table.name}")
        for place in np.flatnonzero(~kept)
    ]
    mended = replace(
        dataset,
        labels=labels,
        skipped=(*dataset.skipped, *dropped),
        relabeled=int((labels != dataset.labels).sum()),
    )
    return mended if kept.all() else mended.subset(kept)
