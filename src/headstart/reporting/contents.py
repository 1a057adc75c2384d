"""What a page says about the results of one command."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from headstart.pages.page import Part, Section, Table
from headstart.system.text import count_reasons, join_names, pluralize
from headstart.types import Conflict, Skipped

_LISTED: Final = 500
"""Files at most; skipped.csv has all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a page says about the results of one command.

    Attributes:
        title: What they are.
        summary: The results in plain words, a sentence or two each.
        sections: The details.
        missing: What is left out, and why: "the figure: there is no figure.png".
    """

    title: str
    summary: Sequence[str]
    sections: Sequence[Section]
    missing: Sequence[str] = ()


def left_out_sections(
    skipped: Sequence[Skipped],
    conflicts: Sequence[Conflict] = (),
    *,
    seen: int = 0,
    duplicates: int = 0,
) -> Iterator[Section]:
    """Yield a section about the files that were not used, if there are any.

    Args:
        skipped: Files that could not be used.
        conflicts: Identical files with different labels.
        seen: Number of test images that the model was trained on.
        duplicates: Number of copies of other images.
    """
    parts: list[Part] = []
    if duplicates:
        parts.append(f"{pluralize(duplicates, 'copy', 'copies')} of other images, used once.")
    if seen:
        parts.append(f"{pluralize(seen, 'test image')} that the model was trained on.")
    if conflicts:
        files = [join_names(one.paths) for one in conflicts]
        labels = [join_names(one.labels) for one in conflicts]
        copies = pluralize(sum(len(one.paths) for one in conflicts), "file")
        parts += [
            f"{copies} of {pluralize(len(conflicts), 'image')} with conflicting labels:",
            _files_table("Conflicting labels", "labels", list(zip(files, labels, strict=True))),
        ]
    if skipped:
        rows = [(one.path, one.reason) for one in skipped]
        listed = f"; the first {_LISTED} are listed" if len(rows) > _LISTED else ""
        reasons = count_reasons(one.reason for one in skipped)
        parts += [
            f"{pluralize(len(rows), 'file')} could not be used ({reasons}){listed}.",
            _files_table("Skipped files", "reason", rows),
        ]
    if parts:
        yield Section("Files left out", parts)


def _files_table(name: str, what: str, rows: Sequence[tuple[str, str]]) -> Table:
    return Table(name=name, columns=["file", what], rows=rows[:_LISTED])
