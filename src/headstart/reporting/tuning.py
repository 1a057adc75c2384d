"""The section about how fine-tuning went."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from headstart.errors import DataError
from headstart.pages.page import Cell, Section, Table
from headstart.reporting.results_folder import ResultsFolder

_HISTORY: Final = "history.csv"
_COLUMNS: Final = {
    "epoch": ("epoch", ",.0f"),
    "loss": ("loss", ".3f"),
    "accuracy": ("accuracy", ".1%"),
    "validation_loss": ("validation loss", ".3f"),
    "validation_accuracy": ("validation accuracy", ".1%"),
    "seconds": ("seconds", ",.1f"),
}
"""Columns of the table -> their headings and formats."""


def tuning_sections(folder: ResultsFolder) -> Iterator[Section]:
    """Yield a section about the epochs if there were any.

    Raises:
        DataError: A file cannot be read, or headstart did not write it.
    """
    if not folder.has(_HISTORY):
        return
    try:
        rows: list[Sequence[str | Cell]] = [
            (row["phase"], *(_cell(row[key], form) for key, (_, form) in _COLUMNS.items()))
            for row in folder.rows(_HISTORY)
        ]
    except (KeyError, ValueError) as error:
        raise DataError(
            f"{folder.path / _HISTORY} is damaged ({error}); run the command that wrote it again"
        ) from error
    columns = ["phase", *(heading for heading, _ in _COLUMNS.values())]
    figure = folder.figure("curves.png", "Loss and accuracy by epoch")
    table = Table(name="Epochs", columns=columns, rows=rows)
    yield Section("Fine-tuning", [*([figure] if figure else []), table])


def _cell(text: str, form: str) -> Cell:
    return Cell.of(float(text) if text else None, form)
