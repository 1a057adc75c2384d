"""The output formats of predictions.

A format is a function from predictions to text. To add one, put it in `FORMATS` under the name
that `--format` takes.
"""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from headstart.cli.console import columns, json_document
from headstart.types import ClassProbability


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePrediction:
    """The prediction for one image file.

    Attributes:
        image: path of the file, as it was given.
        top: the most probable classes, the most probable first; empty after an error.
        error: why the file could not be read; None if it could.
    """

    image: str
    top: tuple[ClassProbability, ...] = ()
    error: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the prediction as a JSON object."""
        if self.error is not None:
            return {"image": self.image, "error": self.error}
        return {"image": self.image, **self.top[0]._asdict(), "top": self.top}


PredictionFormat: TypeAlias = Callable[[Sequence[ImagePrediction], int], str]
"""A function from predictions and the number of classes per image to the text to print."""


def as_table(predictions: Sequence[ImagePrediction], count: int) -> str:
    """Return aligned columns for people, with one line per image and class."""
    del count
    rows = []
    for one in predictions:
        if one.error is not None:
            rows.append([one.image, f"error: {one.error}", ""])
        for place, guess in enumerate(one.top):
            rows.append(["" if place else one.image, guess.label, f"{guess.probability:.4f}"])
    return columns(["image", "label", "probability"], rows, right={2})


def as_csv(predictions: Sequence[ImagePrediction], count: int) -> str:
    """Return one line per image; classes after the first are in further columns."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    further = [
        f"{name}{place}" for place in range(2, count + 1) for name in ("label", "probability")
    ]
    writer.writerow(["image", "label", "probability", *further, "error"])
    for one in predictions:
        cells = [cell for guess in one.top for cell in guess]
        empty = [""] * (2 * count - len(cells))
        writer.writerow([one.image, *cells, *empty, one.error or ""])
    return text.getvalue().rstrip("\n")


def as_json(predictions: Sequence[ImagePrediction], count: int) -> str:
    """Return one JSON document."""
    del count
    return json_document(predictions)


FORMATS: dict[str, PredictionFormat] = {"table": as_table, "csv": as_csv, "json": as_json}
