"""headstart predict and classify."""

from __future__ import annotations

import csv
import io
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headstart.cli import options as shared
from headstart.cli.console import print_json, progress, say, table, warn
from headstart.errors import UserError
from headstart.types import EngineName, Precision

if TYPE_CHECKING:
    from headstart.models.prediction import Predictions


class Format(StrEnum):
    """How predictions are printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


Top = Annotated[int, typer.Option("--top", min=1, help="How many classes to give for each image.")]
FormatOption = Annotated[
    Format | None, typer.Option("--format", help="How to print the predictions. [default: table]")
]


def predict(
    model: shared.ModelFolder,
    images: shared.Images,
    top: Top = 1,
    form: FormatOption = None,
    weights: shared.WeightsFile = None,
    engine: shared.EngineOption = EngineName.AUTO,
    precision: shared.PrecisionOption = Precision.AUTO,
    cache: shared.CacheFolder = None,
    as_json: shared.Json = False,
) -> None:
    """Say what is in images, with a trained model."""
    from headstart.datasets.unlabeled import find_images
    from headstart.models.prediction import predict as run
    from headstart.models.saved_model import load_model

    form = _form(form, as_json=as_json)
    trained = load_model(model)
    paths = find_images(images)
    extractor = shared.extractor_of(trained, weights, engine, precision, cache)
    with progress() as bars:
        found = run(trained, extractor, paths, progress=bars.bar("images", "images"))
    warn(extractor.warnings)
    _show(paths, found, top, form)


def classify(
    images: shared.Images,
    top: Top = 5,
    form: FormatOption = None,
    backbone: shared.BackboneName = shared.DEFAULT_BACKBONE,
    weights: shared.WeightsFile = None,
    engine: shared.EngineOption = EngineName.AUTO,
    precision: shared.PrecisionOption = Precision.AUTO,
    cache: shared.CacheFolder = None,
    as_json: shared.Json = False,
) -> None:
    """Say what is in images, in the 1,000 classes of ImageNet that a backbone knows."""
    from headstart.datasets.unlabeled import find_images
    from headstart.models.prediction import classify as run

    form = _form(form, as_json=as_json)
    paths = find_images(images)
    extractor = shared.extractor_for(backbone, weights, engine, precision, cache)
    with progress() as bars:
        found = run(extractor, paths, progress=bars.bar("images", "images"))
    warn(extractor.warnings)
    _show(paths, found, top, form)


def _form(form: Format | None, *, as_json: bool) -> Format:
    """The one form that both options ask for.

    Raises:
        UserError: they contradict each other.
    """
    if as_json and form not in (None, Format.JSON):
        raise UserError(f"--json and --format {form} contradict each other; leave out one of them")
    return Format.JSON if as_json else form or Format.TABLE


def _show(paths: list[Path], found: Predictions, top: int, form: Format) -> None:
    """Print all images in the order asked for; exit with 1 if one could not be read."""
    top = min(top, len(found.classes))
    answers = _answers(paths, found, top)
    if form is Format.JSON:
        print_json(answers)
    elif form is Format.CSV:
        say(_as_csv(answers, top).rstrip("\n"))
    else:
        table(["image", "label", "probability"], _table_rows(answers), right={2})
    if found.skipped:
        warn([f"{len(found.skipped)} of {len(paths)} images could not be read"])
        raise typer.Exit(1)


def _answers(paths: list[Path], found: Predictions, top: int) -> list[dict[str, Any]]:
    places = {int(row): place for place, row in enumerate(found.rows)}
    errors = {one.path: one.reason for one in found.skipped}
    answers: list[dict[str, Any]] = []
    for row, path in enumerate(paths):
        if row not in places:
            answers.append({"image": str(path), "error": errors[str(path)]})
            continue
        best = found.top(places[row], top)
        answers.append(
            {
                "image": str(path),
                "label": best[0][0],
                "probability": best[0][1],
                "top": [{"label": label, "probability": p} for label, p in best],
            }
        )
    return answers


def _table_rows(answers: list[dict[str, Any]]) -> list[list[str]]:
    rows = []
    for answer in answers:
        if "error" in answer:
            rows.append([answer["image"], f"error: {answer['error']}", ""])
            continue
        for place, one in enumerate(answer["top"]):
            name = answer["image"] if place == 0 else ""
            rows.append([name, one["label"], f"{one['probability']:.4f}"])
    return rows


def _as_csv(answers: list[dict[str, Any]], top: int) -> str:
    """A line an image; the further classes in further columns."""
    text = io.StringIO()
    more = [f"{what}{place}" for place in range(2, top + 1) for what in ("label", "probability")]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", "label", "probability", *more, "error"])
    for answer in answers:
        cells = [cell for one in answer.get("top", []) for cell in one.values()]
        cells += [""] * (2 * top - len(cells))
        writer.writerow([answer["image"], *cells, answer.get("error", "")])
    return text.getvalue()
