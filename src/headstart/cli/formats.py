"""The output formats of predictions.

A format is a function from predictions to text. To add one, put it in `FORMATS` under the name
that `--format` takes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from headstart.cli.console import columns, json_document
from headstart.system.serialization import csv_text
from headstart.types import ClassProbability

if TYPE_CHECKING:
    from headstart.models.deciding_places import DecidingPlace


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
        answer: the most probable class, "unknown" or "unsure"; None after an error, and for
            classifiers without such answers.
        labels: the classes of the prediction set, the most probable first; None if not asked for.
        where: the places by which the most probable class was decided; None if not asked for.
    """

    image: str
    top: tuple[ClassProbability, ...] = ()
    error: str | None = None
    test: NoveltyTest | None = None
    answer: str | None = None
    labels: tuple[str, ...] | None = None
    where: Sequence[DecidingPlace] | None = None

    @property
    def label(self) -> str:
        """The most probable class, or that it is not the answer."""
        label = self.top[0].label
        return label if self.answer in (None, label) else f"{self.answer} (would say {label})"

    def as_dict(self) -> dict[str, Any]:
        """Return the prediction as a JSON object."""
        if self.error is not None:
            return {"image": self.image, "error": self.error}
        test = {**self.test._asdict(), "answer": self.answer} if self.test else {}
        sets = {} if self.labels is None else {"set": self.labels}
        where = {} if self.where is None else {"where": self.where}
        first = self.top[0]._asdict()
        return {"image": self.image, **first, **test, "top": self.top, **sets, **where}


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPrediction:
    """The predictions for all images of a command.

    Attributes:
        images: the prediction for each image, in the order given.
        details: what is known about the images as a whole, for JSON.
        remarks: the same as lines of text.
        with_sets: whether the predictions include prediction sets.
    """

    images: Sequence[ImagePrediction]
    details: Mapping[str, Any] = field(default_factory=dict)
    remarks: Sequence[str] = ()
    with_sets: bool = False


PredictionFormat: TypeAlias = Callable[[BatchPrediction, int], str]
"""A function from predictions and the number of classes per image to the text to print."""


def as_table(batch: BatchPrediction, count: int) -> str:
    """Return aligned columns for people, with one line per image and class; then the remarks."""
    del count
    rows = []
    for one in batch.images:
        if one.error is not None:
            rows.append([one.image, f"error: {one.error}", "", "", "", ""])
        for place, (label, probability) in enumerate(one.top):
            members = ", ".join(one.labels or ())
            own = one.image, one.label, _novelty(one), members, ", ".join(_boxes(one))
            first = ("", label, "", "", "") if place else own
            rows.append([*first[:2], f"{probability:.4f}", *first[2:]])
    tested = any(one.test and one.test.novelty is not None for one in batch.images)
    located = any(one.where is not None for one in batch.images)
    shown = [True, True, True, tested, batch.with_sets, located]
    header = list(compress(["image", "label", "probability", "novelty", "set", "where"], shown))
    right = {2, 3} if tested else {2}
    text = columns(header, [list(compress(row, shown)) for row in rows], right=right)
    return "\n".join([text, *(["", *batch.remarks] if batch.remarks else [])])


def _boxes(one: ImagePrediction) -> list[str]:
    """Return the places that decided, each as left, top, right and bottom in pixels."""
    return [" ".join(map(str, place.box)) for place in one.where or ()]


def _novelty(one: ImagePrediction) -> str:
    return f"{one.test.novelty:.4f}" if one.test and one.test.novelty is not None else ""


def as_csv(batch: BatchPrediction, count: int) -> str:
    """Return one line per image; classes after the first are in further columns.

    The classes of a prediction set, and the places that decided, are separated by "|".
    """
    further = [
        f"{name}{place}" for place in range(2, count + 1) for name in ("label", "probability")
    ]
    tested = any(one.test for one in batch.images)
    located = any(one.where is not None for one in batch.images)
    added = [*(["set"] if batch.with_sets else []), *(["where"] if located else [])]
    tests = [*((*NoveltyTest._fields, "answer") if tested else ()), *added]
    rows: list[list[Any]] = [["image", "label", "probability", *further, *tests, "error"]]
    for one in batch.images:
        cells = [cell for guess in one.top for cell in guess]
        empty = [""] * (2 * count - len(cells))
        test = (
            ["" if cell is None else cell for cell in (*one.test, one.answer)] if one.test else []
        )
        members = ["|".join(one.labels or ())] if batch.with_sets else []
        where = ["|".join(_boxes(one))] if located else []
        rows.append([one.image, *cells, *empty, *test, *members, *where, one.error or ""])
    return csv_text(rows).rstrip("\n")


def as_json(batch: BatchPrediction, count: int) -> str:
    """Return one JSON document: the predictions, and what is known about all images together."""
    del count
    return json_document({"predictions": batch.images, **batch.details})


FORMATS: dict[str, PredictionFormat] = {"table": as_table, "csv": as_csv, "json": as_json}
