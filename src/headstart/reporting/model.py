"""The sections about a model's folder."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from headstart.evaluation import metrics
from headstart.evaluation.conformal import CalibrationSet
from headstart.evaluation.report import SKIPPED, TRAINING
from headstart.models.model_card import (
    METHODS,
    accuracy_text,
    novelty_text,
    review_text,
    scenes_text,
)
from headstart.models.saved_model import load_model
from headstart.models.trained_model import Model
from headstart.pages.page import Cell, Facts, Figure, Section, Table
from headstart.reporting.baseline import Baseline
from headstart.reporting.contents import Contents, left_out_sections
from headstart.reporting.evaluation import ClassRecall
from headstart.reporting.results_folder import Document, ResultsFolder, png_figure
from headstart.reporting.scored_images import CELLS, ScoredImages, accuracy_section, right_text
from headstart.reporting.tuning import tuning_sections
from headstart.system.text import join_names, pluralize
from headstart.types import Conflict, EstimateMethod, Skipped

if TYPE_CHECKING:
    from matplotlib.figure import Figure as DrawnFigure


class Training(Document):
    """training.json; see `headstart.evaluation.report.write_training`."""

    recalls: tuple[ClassRecall, ...] = ()
    conflicts: tuple[Conflict, ...] = ()


def model_contents(folder: ResultsFolder) -> Contents:
    """Return what a page says about a model.

    Raises:
        SavedModelError: The model is damaged.
        DataError: Another file cannot be read, or headstart did not write it.
    """
    model = load_model(folder.path)
    training = folder.document(TRAINING, Training) if folder.has(TRAINING) else Training()
    held_out = model.calibration
    scored = None if held_out is None else _scored(held_out, model.classes, training.recalls)
    baseline = _baseline(model, scored)
    missing = ["the most wrong images: a model has no names of images; test it with 'evaluate'"]
    if scored is None:
        missing.insert(0, "recall, confusion and reliability: too few images to hold any out")
    elif None in scored.recalls:
        missing.append(
            "the intervals of recalls: images in series tell less than as many others, and which "
            "ones these are is not in the folder"
        )
    images = pluralize(sum(model.data.images), "image")
    return Contents(
        title=f"Model of {model.data.name}",
        summary=[
            *_accuracy_words(model, baseline),
            f"It distinguishes {len(model.classes):,} classes, and was trained on {images}.",
            *(_words(scored, model) if scored else ()),
        ],
        sections=[
            *_accuracy(model, baseline),
            *(_measured(scored) if scored else ()),
            *_stages(model),
            *tuning_sections(folder),
            Section("Model", [_facts(model), _classes(model)]),
            *left_out_sections(
                _skipped(folder), training.conflicts, duplicates=model.data.duplicates
            ),
        ],
        missing=missing,
    )


def _baseline(model: Model, scored: ScoredImages | None) -> Baseline | None:
    """Return what the largest class would get right; compared if these images are independent."""
    found = model.calibration
    by_validation = model.accuracy.method is EstimateMethod.CROSS_VALIDATION
    if scored and found and by_validation and (found.weights == 1).all():
        return Baseline.of_confusion(scored.confusion, model.classes)
    return Baseline.of_counts(model.data.images, model.classes)


def _accuracy_words(model: Model, baseline: Baseline | None) -> Iterator[str]:
    estimate = model.accuracy
    if estimate.value is None or estimate.interval is None:
        yield "Its accuracy is unknown: there were too few images or scenes to hold any out."
        return
    which = METHODS[estimate.method].images
    yield right_text(estimate.value, estimate.interval, estimate.images, which)
    if baseline:
        yield baseline.text


def _accuracy(model: Model, baseline: Baseline | None) -> Iterator[Section]:
    estimate = model.accuracy
    if estimate.value is None or estimate.interval is None:
        return
    rows = [
        ("this model", Cell.percent(estimate.value, estimate.interval), Cell.of(estimate.images)),
        *([baseline.row] if baseline else []),
    ]
    same = model.accuracy_same_scenes
    if same and same.value is not None and same.method is estimate.method:
        name = "this model on more images of the same scenes"
        rows.append((name, Cell.percent(same.value, same.interval), Cell.of(same.images)))
    yield accuracy_section(rows, Facts([("measured", METHODS[estimate.method].measured)]))


def _scored(
    found: CalibrationSet, classes: tuple[str, ...], recalls: Sequence[ClassRecall]
) -> ScoredImages:
    """Return the predictions of images by heads that were trained without them.

    The intervals are those of the training, if `recalls` are about the same images.
    """
    labels = found.labels.astype(np.int64)
    counts = metrics.confusion(labels, found.predicted.astype(np.int64), len(classes))
    right, images = np.diagonal(counts).tolist(), counts.sum(axis=1).tolist()
    known = {(one.label, one.correct, one.images): one.interval for one in recalls}
    # The calibration images only tell how many series each class has, not which images are one.
    independent = bool((found.class_weights == 1).all())
    return ScoredImages(
        classes=classes,
        confusion=counts,
        recalls=[
            known.get((name, k, n), metrics.wilson(k, n) if independent or not n else None)
            for name, k, n in zip(classes, right, images, strict=True)
        ],
        confidence=1.0 - found.doubt.astype(np.float64),
        correct=found.correct,
    )


def _words(scored: ScoredImages, model: Model) -> Iterator[str]:
    if model.accuracy.method is EstimateMethod.CROSS_VALIDATION:
        return scored.words()
    if model.tuning is not None:  # see `headstart.finetuning.assembly.with_validation`
        return scored.words("On its validation images it")
    return scored.words("In cross-validation on its own training images it")


def _measured(scored: ScoredImages) -> Iterator[Section]:
    from headstart import plots

    yield scored.recall_section()
    many = len(scored.classes) > CELLS
    matrix = plots.confusion_matrix(scored.confusion, scored.classes) if many else None
    yield scored.confusion_section(_drawn(matrix, "Confusion matrix"))
    if scored.confidence is not None:
        bins = metrics.confidence_bins(scored.confidence, scored.correct)
        diagram = plots.reliability(bins, ece=metrics.calibration_error(bins))
        yield scored.reliability_section(_drawn(diagram, "Reliability diagram"))


def _drawn(figure: DrawnFigure | None, text: str) -> Figure | None:
    if figure is None:
        return None
    figure.savefig(content := io.BytesIO(), format="png")
    return png_figure(content.getvalue(), text)


def _stages(model: Model) -> Iterator[Section]:
    from headstart.plots.report_folder import stage_figure

    if figure := _drawn(stage_figure(model), "Accuracy of a head on each stage"):
        yield Section("Accuracy by stage", [figure])


def _facts(model: Model) -> Facts:
    origin = model.origin
    tuning = model.tuning
    views = [f"{one.origin.name} ({one.weight:.0%})" for one in model.members]
    return Facts(
        [
            ("accuracy", accuracy_text(model.accuracy)),
            ("scenes", scenes_text(model)),
            ("network", None if views else f"{origin.name}, stages {' + '.join(origin.stages)}"),
            ("views", join_names(views, len(views)) or None),
            ("fine-tuned", f"the last {pluralize(tuning.depth, 'stage')}" if tuning else None),
            ("weights", f"from {origin.source}, license: {origin.license}"),
            ("data", f"{model.data.name}, license: {model.data.license}"),
            ("review", review_text(model)),
            ("unknown images", novelty_text(model)),
            ("seed", f"{model.seed}"),
        ]
    )


def _classes(model: Model) -> Table:
    rows = [
        (name, Cell.of(count)) for name, count in zip(model.classes, model.data.images, strict=True)
    ]
    return Table(name="Classes", columns=["class", "training images"], rows=rows)


def _skipped(folder: ResultsFolder) -> list[Skipped]:
    rows = folder.rows(SKIPPED) if folder.has(SKIPPED) else ()
    return [Skipped(row.get("path", ""), row.get("reason", "")) for row in rows]
