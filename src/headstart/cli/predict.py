"""headstart predict and classify."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headstart.cli import options as shared
from headstart.cli.console import note, progress, say, warn
from headstart.cli.formats import FORMATS, BatchPrediction, ImagePrediction, NoveltyTest
from headstart.cli.marked_images import write_marked
from headstart.cli.model_argument import given_model
from headstart.cli.prediction_files import (
    check_predictions_file,
    check_sorting,
    sort_images,
    write_predictions,
)
from headstart.cli.remarks import batch_remarks, counts_text, coverage_warnings
from headstart.cli.result_files import check_image_results, check_not_among
from headstart.cli.summary import cost_text, skipped_warnings, total_cost
from headstart.errors import UserError
from headstart.models.answers import AnswerRule, is_known
from headstart.system.option import Option
from headstart.system.text import pluralize
from headstart.types import DEFAULT_BACKBONE, Placement

if TYPE_CHECKING:
    import numpy as np

    from headstart.models.prediction import Predictions

Top = Annotated[int, Option(low=1, help="Number of classes to show per image.")]
Format = Annotated[
    str | None,
    Option(flag="--format", help="Output format.", unset="table", choices=lambda: FORMATS),
]


def predict(
    model: shared.ModelFolder,
    images: shared.Images,
    *,
    top: Top = 1,
    coverage: shared.Coverage = None,
    coverage_by_class: shared.CoverageByClass = False,
    output: Format = None,
    unknown: shared.UnknownRate = shared.DEFAULT_UNKNOWN_RATE,
    min_probability: Annotated[float, Option(low=0, high=1)] = 0.0,
    out: Annotated[Path | None, Option(unset="nothing is written", metavar="FILE")] = None,
    sort_into: Annotated[Path | None, Option(folder=True, unset="nothing is sorted")] = None,
    placement: Annotated[Placement, Option(flag="--by")] = Placement.LINK,
    where: Annotated[Path | None, Option(unset="no images are written", metavar="FOLDER")] = None,
    force: bool = False,
    allow_download: shared.AllowDownload = False,
    runtime: shared.RuntimeOptions,
    as_json: shared.Json = False,
) -> None:
    """Predict the classes of images with a trained model.

    Options:
        min_probability: Call an image unsure if its most probable class is less probable than this.
        out: Also write the predictions to this file, NAME.csv or NAME.json.
        sort_into: Also put each image into a folder of its label here; unknown, unsure and
            unreadable ones into folders of these names.
        placement: How to put it there; images in archives are copied.
        where: Folder for copies of the images in which the places that decided are marked, for
            models that see the images in tiles.
        force: Replace a file for --out that predict has not written, and write to a folder that has
            other files: --where replaces those of the same names, --sort-into none.
    """
    from headstart.datasets.unlabeled import find_images
    from headstart.features.cost import costs_of
    from headstart.models.prediction import predict as run
    from headstart.system.cache_folder import cache_root

    output, rate = _format(output, as_json=as_json), shared.unknown_rate(unknown)
    rule = AnswerRule(unknown=rate, min_probability=min_probability)
    if placement is not Placement.LINK and sort_into is None:
        raise UserError(f"--by {placement} has no effect without --sort-into FOLDER")
    sorted_folder = None
    if sort_into is not None:
        from headstart.datasets.sorted_folder import SortedFolder  # would delay the start

        sorted_folder = SortedFolder(sort_into, placement)
        check_sorting(sorted_folder, images, force=force)
    if out is not None:
        check_predictions_file(out, images, force=force)
    if where is not None:
        check_not_among(images, where, "--where")
        check_image_results(where, force=force)
    trained = given_model("predict", model, images)
    warnings = coverage_warnings(trained, coverage, by_class=coverage_by_class)
    listed = find_images(images, cache=runtime.cache)
    paths = listed.paths
    extractor = runtime.extractor_of(trained, allow_download=allow_download)
    with progress() as bars:
        bar = bars.bar("images", "images")
        found = run(trained, extractor, paths, where=where is not None, progress=bar)
    marked = {} if where is None else write_marked(where, found.places(paths))
    sets = None
    if coverage is not None:
        sets = trained.prediction_sets(found.probabilities, coverage, by_class=coverage_by_class)
    warn([*extractor.warnings, *warnings, *skipped_warnings(listed.skipped)])
    drift, accuracy = found.drift, found.estimated_accuracy
    # Where the networks ran anyway, measuring takes a moment only.
    costs = costs_of(extractor, [paths[row] for row in found.rows] if found.computed else ())
    count = min(top, len(found.classes))
    counts = found.counts(unknown=rate, min_probability=min_probability)
    details = {
        "counts": counts,
        "cost": total_cost(costs),
        "skipped": listed.skipped,
        "coverage": coverage,
        "drift": drift,
        "estimated_accuracy": accuracy,
    }
    answers = _predictions(paths, found, count, rule, sets)
    share = _unknown_share(answers)
    remarks = batch_remarks(drift, accuracy, images=len(found.rows), unknown=share, rate=rate)
    batch = BatchPrediction(
        images=answers,
        details=details,
        remarks=[f"{label}: {text}" for label, text in remarks],
        with_sets=sets is not None,
    )
    if out is not None:
        write_predictions(out, batch, count)
    if output == "table" and (cost := cost_text(costs)):
        note(f"cost: {cost}")
    _show(batch, count, output)
    if where is not None:
        note(f"{pluralize(len(marked), 'image')} with marks in {where}")
    if sorted_folder:
        unpacked = cache_root(runtime.cache)
        placed = sort_images(sorted_folder, batch.images, found.classes, unpacked=unpacked)
        note(f"{pluralize(placed, 'image')} sorted into {sort_into}")
    if output == "table" and len(paths) > 1:
        note(counts_text(counts, listed.skipped))
    _end(batch)


def classify(
    images: shared.Images,
    *,
    top: Top = 5,
    output: Format = None,
    backbone: shared.BackboneName = DEFAULT_BACKBONE,
    runtime: shared.RuntimeOptions,
    as_json: shared.Json = False,
) -> None:
    """Predict ImageNet classes of images with a backbone."""
    from headstart.datasets.unlabeled import find_images
    from headstart.models.prediction import classify as run

    output = _format(output, as_json=as_json)
    listed = find_images(images, cache=runtime.cache)
    paths = listed.paths
    extractor = runtime.extractor(backbone)
    with progress() as bars:
        found = run(extractor, paths, progress=bars.bar("images", "images"))
    warn([*extractor.warnings, *skipped_warnings(listed.skipped)])
    count = min(top, len(found.classes))
    batch = BatchPrediction(
        images=_predictions(paths, found, count, None, None), details={"skipped": listed.skipped}
    )
    _show(batch, count, output)
    _end(batch)


def _format(output: str | None, *, as_json: bool) -> str:
    """Return the format that both options ask for, which must not contradict each other."""
    if as_json and output not in (None, "json"):
        raise UserError(f"--json and --format {output} contradict each other; remove one of them")
    return "json" if as_json else output or "table"


def _show(batch: BatchPrediction, count: int, output: str) -> None:
    """Print all images in the order given."""
    say(FORMATS[output](batch, count))
    if output not in ("table", "json"):  # these two have a place for the remarks
        warn(batch.remarks)


def _end(batch: BatchPrediction) -> None:
    """Exit with 1 if an image could not be read."""
    unreadable = sum(one.error is not None for one in batch.images)
    if unreadable:
        warn([f"{unreadable:,} of {pluralize(len(batch.images), 'image')} could not be read"])
        raise typer.Exit(1)


def _predictions(
    paths: list[Path],
    found: Predictions,
    count: int,
    rule: AnswerRule | None,
    sets: np.ndarray | None,
) -> list[ImagePrediction]:
    """Return the prediction for each file; without a rule there is no test for novelty."""
    places = {int(row): place for place, row in enumerate(found.rows)}
    errors = {one.path: one.reason for one in found.skipped}
    return [
        _prediction(path, found, places[row], count, rule, sets)
        if row in places
        else ImagePrediction(
            image=str(path), error=errors[str(path)], test=NoveltyTest() if rule else None
        )
        for row, path in enumerate(paths)
    ]


def _unknown_share(answers: Sequence[ImagePrediction]) -> float | None:
    """Return the share of the readable images that are called unknown; None if none can be."""
    known = [one.test.known for one in answers if one.test and one.test.known is not None]
    return 1 - sum(known) / len(known) if known else None


def _prediction(
    path: Path,
    found: Predictions,
    place: int,
    count: int,
    rule: AnswerRule | None,
    sets: np.ndarray | None,
) -> ImagePrediction:
    top = tuple(found.top(place, count))
    novelty = None if found.novelty is None else float(found.novelty[place])
    return ImagePrediction(
        image=str(path),
        top=top,
        test=NoveltyTest(novelty, is_known(novelty, rule.unknown)) if rule else None,
        answer=rule.answer(*top[0], novelty) if rule else None,
        labels=None if sets is None else found.members(place, sets),
        where=None if found.where is None else found.where[place],
    )
