"""headstart predict and classify."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headstart.cli import options as shared
from headstart.cli.console import note, progress, say, warn
from headstart.cli.formats import FORMATS, BatchPrediction, ImagePrediction, NoveltyTest
from headstart.cli.marked_images import write_marked
from headstart.cli.remarks import batch_remarks, coverage_warnings
from headstart.cli.result_files import check_not_among
from headstart.cli.summary import cost_text, skipped_warnings, total_cost
from headstart.errors import UserError
from headstart.system.files import check_writable
from headstart.system.option import Option
from headstart.system.text import pluralize
from headstart.types import DEFAULT_BACKBONE

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
    where: Annotated[Path | None, Option(unset="no images are written", metavar="FOLDER")] = None,
    allow_download: shared.AllowDownload = False,
    runtime: shared.RuntimeOptions,
    as_json: shared.Json = False,
) -> None:
    """Predict the classes of images with a trained model.

    Options:
        where: Folder for copies of the images in which the places that decided are marked, for
            models that see the images in tiles.
    """
    from headstart.datasets.unlabeled import find_images
    from headstart.features.cost import costs_of
    from headstart.models.prediction import predict as run
    from headstart.models.saved_model import load_model

    output, rate = _format(output, as_json=as_json), shared.unknown_rate(unknown)
    if where is not None:
        check_not_among(images, where, "--where")
        check_writable(where)
    trained = load_model(model)
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
    details = {
        "cost": total_cost(costs),
        "skipped": listed.skipped,
        "coverage": coverage,
        "drift": drift,
        "estimated_accuracy": accuracy,
    }
    remarks = [f"{label}: {text}" for label, text in batch_remarks(drift, accuracy)]
    if output == "table" and (cost := cost_text(costs)):
        note(f"cost: {cost}")
    test = partial(_novelty_test, found, rate)
    _show(paths, found, top, output, test, sets=sets, details=details, remarks=remarks)
    if where is not None:
        note(f"{pluralize(len(marked), 'image')} with marks in {where}")


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
    _show(paths, found, top, output, _no_test, details={"skipped": listed.skipped})


def _format(output: str | None, *, as_json: bool) -> str:
    """Return the format that both options ask for, which must not contradict each other."""
    if as_json and output not in (None, "json"):
        raise UserError(f"--json and --format {output} contradict each other; remove one of them")
    return "json" if as_json else output or "table"


def _novelty_test(found: Predictions, rate: float | None, row: int | None) -> NoveltyTest:
    """Test one of the readable images; None stands for an unreadable one."""
    from headstart.models.prediction import is_known

    if found.novelty is None or row is None:
        return NoveltyTest()
    novelty = float(found.novelty[row])
    return NoveltyTest(novelty, is_known(novelty, rate))


def _no_test(row: int | None) -> None:
    """Stand in for the test of a network that has none."""
    del row


def _show(
    paths: list[Path],
    found: Predictions,
    top: int,
    output: str,
    test: Callable[[int | None], NoveltyTest | None],
    *,
    sets: np.ndarray | None = None,
    details: Mapping[str, Any] | None = None,
    remarks: Sequence[str] = (),
) -> None:
    """Print all images in the order given; exit with 1 if one could not be read."""
    count = min(top, len(found.classes))
    batch = BatchPrediction(
        images=_predictions(paths, found, count, test, sets),
        details=details or {},
        remarks=remarks,
        with_sets=sets is not None,
    )
    say(FORMATS[output](batch, count))
    if output not in ("table", "json"):  # these two have a place for the remarks
        warn(remarks)
    if found.skipped:
        warn([f"{len(found.skipped)} of {pluralize(len(paths), 'image')} could not be read"])
        raise typer.Exit(1)


def _predictions(
    paths: list[Path],
    found: Predictions,
    count: int,
    test: Callable[[int | None], NoveltyTest | None],
    sets: np.ndarray | None,
) -> list[ImagePrediction]:
    places = {int(row): place for place, row in enumerate(found.rows)}
    errors = {one.path: one.reason for one in found.skipped}
    return [
        ImagePrediction(
            image=str(path),
            top=tuple(found.top(places[row], count)),
            test=test(places[row]),
            labels=None if sets is None else found.members(places[row], sets),
            where=None if found.where is None else found.where[places[row]],
        )
        if row in places
        else ImagePrediction(image=str(path), error=errors[str(path)], test=test(None))
        for row, path in enumerate(paths)
    ]
