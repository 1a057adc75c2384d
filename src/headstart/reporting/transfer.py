"""The sections about transfer.json."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pydantic import NonNegativeInt

from headstart.pages.page import Cell, Command, Part, Section, Table
from headstart.reporting.contents import Contents, left_out_sections
from headstart.reporting.results_folder import Document, Pair, ResultsFolder, Share
from headstart.system.text import join_names, pluralize
from headstart.types import Conflict, Skipped

TRANSFER: Final = "transfer.json"
_FIGURE: Final = "transfer.png"


class Score(Document):
    """The accuracy of a classifier."""

    accuracy: Share
    interval: Pair
    images: NonNegativeInt


class StageScore(Score):
    """That of a head on one stage."""

    name: str


class ChosenScore(Score):
    """That of a head on the chosen stages."""

    stages: tuple[str, ...]


class ReferenceScore(Score):
    """That of a classifier without pre-training."""

    classifier: str = ""


class Difference(Document):
    """A difference of two accuracies, [-1, 1]."""

    value: float
    interval: tuple[float, float]


class NegativeTransfer(Document):
    """Which classifiers without pre-training are better."""

    beat_last: tuple[str, ...]


class Size(Score):
    """The accuracy at one size of the training set, which is a mean."""

    images: float  # type: ignore[assignment]


class Curve(Document):
    """The accuracy by number of training images."""

    points: tuple[Size, ...]


class Advice(Document):
    """The recommended next step."""

    sentence: str
    command: str


class TransferFile(Document):
    """transfer.json; see `headstart.transfer.result.TransferReport.as_dict`."""

    data: str
    backbone: str
    images: NonNegativeInt
    classes: tuple[str, ...]
    stages: tuple[StageScore, ...]
    chosen: ChosenScore
    raw_pixels: ReferenceScore
    descriptors: ReferenceScore
    random_weights: ReferenceScore
    gain: Difference
    negative_transfer: NegativeTransfer
    learning_curve: Curve
    advice: Advice
    skipped: tuple[Skipped, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    duplicates: NonNegativeInt = 0


def transfer_contents(folder: ResultsFolder) -> Contents:
    """Return what a page says about how well a backbone transfers.

    Raises:
        DataError: A file cannot be read, or headstart did not write it.
    """
    found = folder.document(TRANSFER, TransferFile)
    figure = folder.figure(_FIGURE, "Accuracy by stage and by number of training images")
    parts: list[Part] = [figure] if figure else []
    return Contents(
        title=f"Transfer of {found.backbone} to {found.data}",
        summary=[found.advice.sentence, *_words(found)],
        sections=[
            Section("Next step", [Command(found.advice.command)]),
            Section("Accuracy", [*parts, _scores(found)]),
            Section("Number of training images", [_curve(found.learning_curve)]),
            *left_out_sections(found.skipped, found.conflicts, duplicates=found.duplicates),
        ],
        missing=[] if figure else [f"the figure: there is no {_FIGURE}"],
    )


def _words(found: TransferFile) -> Iterator[str]:
    low, high = found.gain.interval
    yield (
        f"On {pluralize(found.images, 'image')} of {len(found.classes):,} classes the chosen "
        f"stages ({' + '.join(found.chosen.stages)}) are right on {found.chosen.accuracy:.1%}, "
        f"{100 * found.gain.value:+.1f} points against the same network with random weights "
        f"({100 * low:+.1f} to {100 * high:+.1f})."
    )
    if ahead := [name.replace("_", " ") for name in found.negative_transfer.beat_last]:
        yield f"Negative transfer: {join_names(ahead)} are better than the network's last stage."


def _scores(found: TransferFile) -> Table:
    without = {
        "raw pixels": found.raw_pixels,
        "descriptors": found.descriptors,
        "the same network with random weights": found.random_weights,
    }
    scores = [
        *((one.name, one) for one in found.stages),
        (f"chosen: {' + '.join(found.chosen.stages)}", found.chosen),
        *(
            (f"{name} ({one.classifier})" if one.classifier else name, one)
            for name, one in without.items()
        ),
    ]
    rows = [
        (name, Cell.percent(one.accuracy, one.interval), Cell.of(one.images))
        for name, one in scores
    ]
    columns = ["classifier on", "accuracy (95% interval)", "images"]
    return Table(name="Accuracy", columns=columns, rows=rows)


def _curve(curve: Curve) -> Table:
    rows = [
        (Cell.of(one.images, ",.0f"), Cell.percent(one.accuracy, one.interval))
        for one in curve.points
    ]
    columns = ["training images", "accuracy (95% interval)"]
    return Table(name="Accuracy by number of training images", columns=columns, rows=rows)
