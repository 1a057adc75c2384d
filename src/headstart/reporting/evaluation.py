"""The sections about metrics.json and the predictions beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from pydantic import Field, NonNegativeInt, model_validator

from headstart.evaluation import metrics
from headstart.evaluation.report import METRICS
from headstart.pages.page import Cell, Facts, Section
from headstart.reporting.baseline import Baseline
from headstart.reporting.contents import Contents, left_out_sections
from headstart.reporting.predictions_file import PREDICTIONS, PredictionsFile
from headstart.reporting.results_folder import Document, Pair, ResultsFolder, Share
from headstart.reporting.scored_images import ScoredImages, accuracy_section, right_text
from headstart.reporting.tuning import tuning_sections
from headstart.system.text import join_names, pluralize
from headstart.types import Conflict, Interval, Labels, Skipped


class LargestClass(Document):
    """See `headstart.evaluation.breakdown.LargestClass`."""

    label: str = Field(alias="class")
    accuracy: Share
    better: bool


class ClassRecall(Document):
    """See `headstart.evaluation.breakdown.ClassRecall`."""

    label: str = Field(alias="class")
    interval: Pair
    correct: NonNegativeInt = 0
    images: NonNegativeInt = 0


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
    skipped: tuple[Skipped, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    seen: NonNegativeInt = 0
    duplicates: NonNegativeInt = 0
    shared_scenes: NonNegativeInt | None = None
    accuracy_new_scenes: Share | None = None
    interval_new_scenes: Pair | None = None
    unknown: Share | None = None
    unknown_classes: Mapping[str, NonNegativeInt] = Field(default_factory=dict)
    accuracy_known_classes: Share | None = None
    missing_classes: tuple[str, ...] = ()
    largest_class: LargestClass | None = None
    recalls: tuple[ClassRecall, ...] = ()

    @property
    def cells(self) -> Labels:
        """The confusion matrix (K, K)."""
        return np.array(self.confusion, dtype=np.int64)

    @property
    def baseline(self) -> Baseline | None:
        """What always answering the largest class gets right; None if all are of one class."""
        found = self.largest_class
        if found is None:  # older files have none
            return Baseline.of_confusion(self.cells, self.classes)
        return Baseline(label=found.label, accuracy=found.accuracy, better=found.better)

    @property
    def recall_intervals(self) -> list[Interval]:
        """The 95% interval of each class's recall; wider for images in series, in newer files."""
        known = {one.label: one.interval for one in self.recalls}
        counts = zip(np.diagonal(self.cells).tolist(), self.cells.sum(axis=1).tolist(), strict=True)
        return [
            known.get(name) or metrics.wilson(hit, own)
            for name, (hit, own) in zip(self.classes, counts, strict=True)
        ]

    @model_validator(mode="after")
    def _check(self) -> Metrics:
        k = len(self.classes)
        if not k or len(self.confusion) != k or any(len(row) != k for row in self.confusion):
            raise ValueError("the confusion matrix does not fit the classes")
        if not sum(map(sum, self.confusion)):
            raise ValueError("the confusion matrix is empty")
        return self


def evaluation_contents(folder: ResultsFolder) -> Contents:
    """Return what a page says about a test on labeled images.

    Raises:
        DataError: A file cannot be read, or headstart did not write it.
    """
    found = folder.document(METRICS, Metrics)
    predictions = PredictionsFile.read(folder) if folder.has(PREDICTIONS) else None
    missing = []
    if predictions is None:
        missing.append(f"reliability and the most wrong images: there is no {PREDICTIONS}")
    scored = ScoredImages(
        classes=found.classes,
        confusion=found.cells,
        recalls=found.recall_intervals,
        confidence=predictions.confidence if predictions else None,
        correct=predictions.correct if predictions else np.zeros(0, bool),
    )
    confusion = folder.figure("confusion.png", "Confusion matrix")
    reliability = folder.figure("reliability.png", "Reliability diagram")
    stages = folder.figure("accuracy_by_stage.png", "Accuracy of a head on each stage")
    if reliability is None and predictions is not None:
        missing.append("the reliability diagram: there is no reliability.png")
    return Contents(
        title=f"Test on {pluralize(found.images, 'image')}",
        summary=[*_summary(found), *scored.words()],
        sections=[
            accuracy_section(_accuracies(found), _facts(found)),
            scored.recall_section(),
            scored.confusion_section(confusion),
            *([scored.reliability_section(reliability)] if predictions else []),
            *([predictions.most_wrong()] if predictions else []),
            *tuning_sections(folder),
            *([Section("Accuracy by stage", [stages])] if stages else []),
            *left_out_sections(
                found.skipped, found.conflicts, seen=found.seen, duplicates=found.duplicates
            ),
        ],
        missing=missing,
    )


def _summary(found: Metrics) -> Iterator[str]:
    yield right_text(found.accuracy, found.interval, found.images)
    if found.baseline:
        yield found.baseline.text
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


def _accuracies(found: Metrics) -> list[tuple[str, Cell, Cell]]:
    others = sum(found.unknown_classes.values())
    rows = [
        ("this model", Cell.percent(found.accuracy, found.interval), Cell.of(found.images)),
        *([found.baseline.row] if found.baseline else []),
    ]
    if found.shared_scenes and found.accuracy_new_scenes is not None:
        count = found.images - others - found.shared_scenes
        share = Cell.percent(found.accuracy_new_scenes, found.interval_new_scenes)
        rows.append(("this model on new scenes", share, Cell.of(count)))
    if others:
        share = Cell.percent(found.accuracy_known_classes)
        rows.append(
            ("this model on the classes that it knows", share, Cell.of(found.images - others))
        )
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
