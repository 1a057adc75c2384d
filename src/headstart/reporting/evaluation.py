"""The sections about metrics.json and the predictions beside it."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from heapq import nlargest
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from pydantic import Field, NonNegativeInt, model_validator

from headstart.errors import DataError
from headstart.evaluation import metrics
from headstart.evaluation.metrics import ClassScore
from headstart.evaluation.report import METRICS
from headstart.images.thumbnails import thumbnail
from headstart.pages.page import Card, Cards, Cell, Facts, Section
from headstart.reporting.contents import Contents, left_out_sections
from headstart.reporting.results_folder import Document, Pair, ResultsFolder, Share
from headstart.reporting.scored_images import ScoredImages, accuracy_section, right_text
from headstart.reporting.tuning import tuning_sections
from headstart.system.prefetch import prefetch
from headstart.system.text import join_names, pluralize
from headstart.types import Conflict, Doubles, Skipped

_PREDICTIONS: Final = "predictions.csv"
_SHOWN: Final = ("path", "truth", "predicted", "probability")
_WRONG: Final = 24
_SIDE: Final = 160  # pixels of a thumbnail


class Metrics(Document):
    """metrics.json; see `headstart.evaluation.report.Report`."""

    accuracy: Share
    interval: Pair
    images: NonNegativeInt
    classes: tuple[str, ...]
    confusion: tuple[tuple[NonNegativeInt, ...], ...]
    balanced_accuracy: Share
    nll: float
    ece: Share
    top5: Share | None = None
    per_class: Mapping[str, ClassScore]
    skipped: tuple[Skipped, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    seen: NonNegativeInt = 0
    shared_scenes: NonNegativeInt | None = None
    accuracy_new_scenes: Share | None = None
    interval_new_scenes: Pair | None = None
    unknown: Share | None = None
    unknown_classes: Mapping[str, NonNegativeInt] = Field(default_factory=dict)
    accuracy_known_classes: Share | None = None
    missing_classes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Metrics:
        k = len(self.classes)
        if not k or len(self.confusion) != k or any(len(row) != k for row in self.confusion):
            raise ValueError("the confusion matrix does not fit the classes")
        if not sum(map(sum, self.confusion)):
            raise ValueError("the confusion matrix is empty")
        return self


@dataclass(frozen=True, slots=True, eq=False)
class _Predictions:
    """predictions.csv.

    Attributes:
        confidence: (N,) probability of the predicted class.
        correct: (N,) bool.
        wrong: The rows of the others.
    """

    confidence: Doubles
    correct: npt.NDArray[np.bool_]
    wrong: Sequence[Mapping[str, str]]

    @classmethod
    def of(cls, folder: ResultsFolder) -> _Predictions:
        confidence, correct, wrong = array("d"), bytearray(), []
        try:
            for row in folder.rows(_PREDICTIONS):  # millions, perhaps
                confidence.append(float(row["probability"]))
                correct.append(row["correct"] == "True")
                if not correct[-1]:
                    wrong.append({key: row[key] for key in _SHOWN})
        except (KeyError, ValueError) as error:
            raise _damaged(folder, str(error)) from error
        found = cls(np.array(confidence), np.array(correct, bool), wrong)
        if not len(correct) or not ((found.confidence >= 0) & (found.confidence <= 1.001)).all():
            raise _damaged(folder, "it has no probabilities from 0 to 1")
        return found


def _damaged(folder: ResultsFolder, reason: str) -> DataError:
    return DataError(
        f"{folder.path / _PREDICTIONS} is damaged ({reason}); run the command that wrote it again"
    )


def evaluation_contents(folder: ResultsFolder) -> Contents:
    """Return what a page says about a test on labeled images.

    Raises:
        DataError: A file cannot be read, or headstart did not write it.
    """
    found = folder.document(METRICS, Metrics)
    predictions = _Predictions.of(folder) if folder.has(_PREDICTIONS) else None
    missing = []
    if predictions is None:
        missing.append(f"reliability and the most wrong images: there is no {_PREDICTIONS}")
    scored = _scored(found, predictions)
    confusion = folder.figure("confusion.png", "Confusion matrix")
    reliability = folder.figure("reliability.png", "Reliability diagram")
    stages = folder.figure("accuracy_by_stage.png", "Accuracy of a head on each stage")
    if reliability is None and predictions is not None:
        missing.append("the reliability diagram: there is no reliability.png")
    return Contents(
        title=f"Test on {pluralize(found.images, 'image')}",
        summary=[*_summary(found, scored), *scored.words()],
        sections=[
            accuracy_section(_accuracies(found, scored), _facts(found)),
            scored.recall_section(),
            scored.confusion_section(confusion),
            *([scored.reliability_section(reliability)] if predictions else []),
            *([_most_wrong(predictions.wrong)] if predictions else []),
            *tuning_sections(folder),
            *([Section("Accuracy by stage", [stages])] if stages else []),
            *left_out_sections(found.skipped, found.conflicts, seen=found.seen),
        ],
        missing=missing,
    )


def _scored(found: Metrics, predictions: _Predictions | None) -> ScoredImages:
    cells = np.array(found.confusion, dtype=np.int64)
    scores = zip(np.diagonal(cells).tolist(), cells.sum(axis=1).tolist(), strict=True)
    return ScoredImages(
        classes=found.classes,
        confusion=cells,
        recalls=[metrics.wilson(hit, own) for hit, own in scores],
        confidence=predictions.confidence if predictions else None,
        correct=predictions.correct if predictions else np.zeros(0, bool),
    )


def _summary(found: Metrics, scored: ScoredImages) -> Iterator[str]:
    yield right_text(found.accuracy, found.interval, found.images)
    yield scored.largest_text(found.interval)
    if found.shared_scenes and found.accuracy_new_scenes is not None:
        yield (
            f"{pluralize(found.shared_scenes, 'image shows', 'images show')} a scene of the "
            f"training images; of the others {found.accuracy_new_scenes:.1%} are right."
        )
    if found.unknown_classes:
        count = sum(found.unknown_classes.values())
        yield (
            f"{pluralize(count, 'image')} of classes that the model does not know "
            f"({join_names(list(found.unknown_classes))}) count as wrong."
        )


def _accuracies(found: Metrics, scored: ScoredImages) -> list[tuple[str, Cell, Cell]]:
    others = sum(found.unknown_classes.values())
    rows = [
        ("this model", Cell.percent(found.accuracy, found.interval), Cell.of(found.images)),
        scored.largest_row(),
    ]
    if found.shared_scenes and found.accuracy_new_scenes is not None:
        count = found.images - others - found.shared_scenes
        share = Cell.percent(found.accuracy_new_scenes, found.interval_new_scenes)
        rows.append(("this model on new scenes", share, Cell.of(count)))
    if others:
        share = Cell.percent(found.accuracy_known_classes)
        rows.append(("this model on the classes that it knows", share, Cell.of(scored.images)))
    return rows


def _facts(found: Metrics) -> Facts:
    return Facts(
        [
            ("top-5 accuracy", None if found.top5 is None else f"{found.top5:.1%}"),
            ("balanced accuracy", f"{found.balanced_accuracy:.1%}, the mean recall of the classes"),
            ("log loss", f"{found.nll:.3f}"),
            ("calibration error", f"{found.ece:.1%}, the mean gap between confidence and accuracy"),
            ("called unknown", None if found.unknown is None else f"{found.unknown:.1%}"),
            ("classes without images", join_names(found.missing_classes) or None),
        ]
    )


def _most_wrong(wrong: Sequence[Mapping[str, str]]) -> Section:
    """Show the errors with the highest confidence."""
    if not wrong:
        return Section("The most wrong images", ["No image was predicted wrongly."])
    shown = nlargest(_WRONG, wrong, key=lambda row: float(row["probability"]))
    paths = [Path(row["path"]) for row in shown]
    images = [image for _, image in prefetch(partial(thumbnail, side=_SIDE), paths)]
    folder = _common_folder(paths)
    cards = [
        Card(
            images=[image],
            title=f"{row['predicted']} {float(row['probability']):.1%}",
            note=f"true: {row['truth']}",
            path=str(path.relative_to(folder)) if folder else str(path),
        )
        for row, path, image in zip(shown, paths, images, strict=True)
    ]
    count = f"{pluralize(len(wrong), 'error')}, the most confident first"
    more = f" ({len(shown)} shown; {_PREDICTIONS} has all)" if len(shown) < len(wrong) else ""
    words = f"{count}{more}. Such images often have a wrong label."
    where = f" The files are in {folder}." if folder else ""
    return Section("The most wrong images", [f"{words}{where}", Cards(cards)])


def _common_folder(paths: Sequence[Path]) -> Path | None:
    """Return the innermost folder that contains the folders of all files; None if there is none."""
    try:
        folder = Path(os.path.commonpath([path.parent.parent for path in paths]))
    except ValueError:  # on several drives, or some relative
        return None
    return folder if folder.name else None
