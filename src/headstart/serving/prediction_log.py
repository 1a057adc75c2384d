"""A CSV file of predictions that grows by a row for each image, and survives restarts."""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import IO, Final, Self

from headstart.errors import HeadstartError, UserError
from headstart.system.files import locked
from headstart.system.serialization import csv_text


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedPrediction:
    """A row of the file; its columns are the attributes.

    Attributes:
        time: When it was predicted: ISO 8601, UTC.
        image: Path of the image, relative to the watched folder.
        digest: Digest of the file's bytes, 32 hex digits.
        label: Its most probable class; empty if it cannot be read.
        probability: The probability of that class; None if it cannot be read.
        novelty: As in `headstart.models.prediction.Predictions`; None if the model cannot tell.
        known: Whether it shows one of the classes; None if the model cannot tell.
        answer: The label, "unknown" or "unsure"; empty if it cannot be read.
        error: Why it cannot be read; empty if it can.
        model: Digest of the model, 32 hex digits.
    """

    time: str
    image: str
    digest: str
    label: str = ""
    probability: float | None = None
    novelty: float | None = None
    known: bool | None = None
    answer: str = ""
    error: str = ""
    model: str = ""


_HEADER: Final = [one.name for one in fields(LoggedPrediction)]
_NEWER: Final = ("answer", "model")
"""The columns that earlier versions did not write, the oldest first."""


class PredictionLog:
    """Appends rows to a CSV file, and knows which images have one. Use it as a context manager.

    Of several rows of one image, whose file was replaced, the last one is about what is there now.
    A row is on disk before `append` returns. What a crash left of an incomplete last row is removed
    when the file is opened.

    Args:
        path: The file; it is created if there is none.

    Raises:
        UserError: The file is something else, cannot be opened, or another process writes to it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: IO[bytes] = path.open("a+b")
        except OSError as error:
            raise UserError(
                f"cannot write to {path}: {error.strerror or error}; choose another file"
            ) from error
        self._last: dict[str, LoggedPrediction] = {}
        self._earlier: dict[str, set[str]] = {}
        self._models: Counter[str] = Counter()
        self._at_end = ExitStack()
        self._at_end.callback(self._close)
        try:
            if not self._at_end.enter_context(locked(path, wait=0)):
                raise UserError(
                    f"another process is writing to {path}; stop it, or choose another file"
                )
            self._add(self._read())
        except BaseException:
            self._at_end.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._at_end.close()

    def __len__(self) -> int:
        return self._models.total()

    def row(self, image: str, digest: str) -> LoggedPrediction | None:
        """Return the last row of an image; None if there is none, or if its content was another."""
        last = self._last.get(image)
        return last if last and last.digest == digest else None

    def earlier_answers(self, image: str) -> frozenset[str]:
        """Return the answers in the rows of an image before the last one."""
        return frozenset(self._earlier.get(image, ()))

    def count_of_others(self, model: str) -> int:
        """Return how many rows another model than this one wrote, given by its digest."""
        return sum(count for name, count in self._models.items() if name != model)

    def append(self, rows: Sequence[LoggedPrediction]) -> None:
        """Write rows, all of them or, after a power failure, the first ones.

        Raises:
            HeadstartError: The disk is full, or the file is no longer writable.
        """
        cells = [["" if cell is None else cell for cell in astuple(row)] for row in rows]
        self._write(csv_text(cells))
        self._add(rows)

    def _add(self, rows: Sequence[LoggedPrediction]) -> None:
        for row in rows:
            self._models[row.model] += 1
            if before := self._last.get(row.image):
                self._earlier.setdefault(row.image, set()).add(before.answer)
            self._last[row.image] = row

    def _close(self) -> None:
        with suppress(OSError):  # of rows that could not be written, which `append` has said
            self._file.close()

    def _write(self, text: str) -> None:
        try:
            self._file.write(text.encode(errors="surrogateescape"))
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise HeadstartError(
                f"cannot write {self.path}: {error.strerror or error}; free some space, and start "
                "again: images that have a row are left out"
            ) from error

    def _read(self) -> list[LoggedPrediction]:
        self._file.seek(0)
        content = self._file.read()
        if not content:
            self._write(csv_text([_HEADER]))
            return []
        lines = content.decode(errors="surrogateescape")
        columns = lines.splitlines()[0].split(",")
        for place, name in enumerate(_NEWER):
            if columns == [one for one in _HEADER if one not in _NEWER[place:]]:
                raise UserError(
                    f"{self.path} was written by an earlier version, without the column '{name}'; "
                    "choose another file with --out, or move this one away"
                )
        if columns[: len(_HEADER)] != _HEADER:
            raise UserError(
                f"{self.path} exists and is not a file of 'headstart watch'; choose another file "
                "with --out"
            )
        whole = lines[: lines.rfind("\n") + 1]
        self._file.truncate(len(whole.encode(errors="surrogateescape")))
        try:
            return [_row(cells) for cells in csv.DictReader(io.StringIO(whole, newline=""))]
        except (TypeError, ValueError, KeyError) as error:
            raise UserError(
                f"{self.path} has been changed, and row {whole.count(chr(10))} or an earlier one "
                "cannot be read; choose another file with --out"
            ) from error


def _row(cells: Mapping[str, str]) -> LoggedPrediction:
    return LoggedPrediction(
        time=cells["time"],
        image=cells["image"],
        digest=cells["digest"],
        label=cells["label"],
        probability=_number(cells["probability"]),
        novelty=_number(cells["novelty"]),
        known={"True": True, "False": False, "": None}[cells["known"]],
        answer=cells["answer"],
        error=cells["error"],
        model=cells["model"],
    )


def _number(cell: str) -> float | None:
    return float(cell) if cell else None
