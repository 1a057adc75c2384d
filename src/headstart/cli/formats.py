"""The output formats of predictions.

A format is a function from predictions to text. To add one, put it in `FORMATS` under the name
that `--format` takes.
"""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from headstart.cli.console import columns, json_document
from headstart.types import ClassProbability


class NoveltyTest(NamedTuple):
    """Whether an image shows one of the classes at all.

    Attributes:
        novelty: share of images of the known classes that are at least as unlike the training
            images; None if the model cannot tell.
        known: whether the novelty is above the false-alarm rate; None without either.
    """

    novelty: float | None = None
    known: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePrediction:
    """The prediction for one image file.

    Attributes:
        image: path of the file, as it was given.
        top: the most probable classes, the most probable first; empty after an error.
        error: why the file could not be read; None if it could.
        test: the test for novelty; None for classifiers that have none.
    """

    image: str
    top: tuple[ClassProbability, ...] = ()
    error: str | None = None
    test: NoveltyTest | None = None

    @property
    def label(self) -> str:
        """The most probable class, or that the image shows none of them."""
        label = self.top[0].label
        unknown = self.test is not None and self.test.known is False
        return f"unknown (would say {label})" if unknown else label

    def as_dict(self) -> dict[str, Any]:
        """Return the prediction as a JSON object."""
        if self.error is not None:
            return {"image": self.image, "error": self.error}
        test = self.test._asdict() if self.test else {}
        return {"image": self.image, **self.top[0]._asdict(), **test, "top": self.top}


PredictionFormat: TypeAlias = Callable[[Sequence[ImagePrediction], int], str]
"""A function from predictions and the number of classes per image to the text to print."""


def as_table(predictions: Sequence[ImagePrediction], count: int) -> str:
    """Return aligned columns for people, with one line per image and class."""
    del count
    rows = []
    for one in predictions:
        if one.error is not None:
            rows.append([one.image, f"error: {one.error}", "", ""])
        for place, (label, probability) in enumerate(one.top):
            first = ("", label, "") if place else (one.image, one.label, _novelty(one))
            rows.append([*first[:2], f"{probability:.4f}", first[2]])
    tested = any(one.test and one.test.novelty is not None for one in predictions)
    names = ["image", "label", "probability", *(["novelty"] if tested else [])]
    return columns(names, [row[: len(names)] for row in rows], right={2, 3})


def _novelty(one: ImagePrediction) -> str:
    return f"{one.test.novelty:.4f}" if one.test and one.test.novelty is not None else ""


def as_csv(predictions: Sequence[ImagePrediction], count: int) -> str:
    """Return one line per image; classes after the first are in further columns."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    further = [
        f"{name}{place}" for place in range(2, count + 1) for name in ("label", "probability")
    ]
    tested = any(one.test for one in predictions)
    tests = NoveltyTest._fields if tested else ()
    writer.writerow(["image", "label", "probability", *further, *tests, "error"])
    for one in predictions:
        cells = [cell for guess in one.top for cell in guess]
        empty = [""] * (2 * count - len(cells))
        test = ["" if cell is None else cell for cell in one.test or ()]
        writer.writerow([one.image, *cells, *empty, *test, one.error or ""])
    return text.getvalue().rstrip("\n")


def as_json(predictions: Sequence[ImagePrediction], count: int) -> str:
    """Return one JSON document."""
    del count
    return json_document(predictions)


FORMATS: dict[str, PredictionFormat] = {"table": as_table, "csv": as_csv, "json": as_json}
