"""headstart fit and evaluate."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headstart.cli import options as shared
from headstart.cli.console import one_line, print_json, progress, say, warn
from headstart.cli.left_out import copies_text, say_skipped, seen_text
from headstart.errors import UserError
from headstart.system.text import join_names, pluralize
from headstart.types import ClassLevel, EngineName, EstimateMethod, Precision

_METRICS = "metrics.json"
"""What tells a report from other files."""
HISTORY, CURVES = "history.csv", "curves.png"
"""What fine-tuning leaves beside its model."""

if TYPE_CHECKING:
    from headstart.datasets import ImageDataset
    from headstart.models.fit_result import FitResult

AUTO = "auto"
_CLASSES = 8
"""Names of classes that the summary shows."""


def _known_head(name: str) -> str:
    from headstart.heads.families import FAMILIES

    if name not in FAMILIES:
        raise typer.BadParameter(f"{name!r} is not one of {', '.join(map(repr, FAMILIES))}.")
    return name


def fit(
    data: shared.Data,
    out: Annotated[Path, typer.Option("--out", help="Folder to write the model to.")],
    backbone: shared.BackboneName = shared.DEFAULT_BACKBONE,
    weights: shared.WeightsFile = None,
    head: Annotated[
        str,
        typer.Option(
            "--head",
            callback=_known_head,
            help="Classifier to train on the features: logistic, centroid or knn.",
        ),
    ] = "logistic",
    stage: Annotated[
        list[str] | None,
        typer.Option(
            "--stage",
            help="Where the head grows; give it again for several stages side by side. 'auto' "
            "chooses by cross-validation.",
        ),
    ] = None,
    balance: Annotated[
        bool, typer.Option("--balance", help="Weigh classes equally, however many images each has.")
    ] = False,
    holdout: Annotated[
        float,
        typer.Option(
            "--holdout", min=0, max=0.9, help="Share of the images kept aside for the test."
        ),
    ] = 0.0,
    report: Annotated[
        Path | None,
        typer.Option("--report", file_okay=False, help="Folder for metrics and pictures."),
    ] = None,
    image_column: shared.ImageColumn = None,
    label_column: shared.LabelColumn = None,
    classes_from: shared.ClassesFrom = ClassLevel.PATH,
    engine: shared.EngineOption = EngineName.AUTO,
    precision: shared.PrecisionOption = Precision.AUTO,
    cache: shared.CacheFolder = None,
    seed: shared.Seed = 0,
    as_json: shared.Json = False,
) -> None:
    """Train a classifier on labeled images, and say how good it is."""
    from headstart.evaluation.report import write_skipped
    from headstart.models.data_location import DataLocation, save_data_location
    from headstart.models.fit import fit
    from headstart.models.fit_settings import FitSettings
    from headstart.models.saved_model import check_target, save_model
    from headstart.system.cache_folder import cache_root

    started = time.perf_counter()
    asked = stage or [AUTO]
    named = tuple(name for name in asked if name != AUTO)
    if named and AUTO in asked:
        raise UserError(
            f"--stage auto stands alone, and here is --stage {', '.join(named)} beside it; leave "
            "out one of them: auto chooses, names are taken as they are"
        )
    check_target(out)
    if report:
        shared.check_results(report, _METRICS, data)
    dataset = shared.opened(data, cache, image_column, label_column, classes_from)
    extractor = shared.extractor_for(backbone, weights, engine, precision, cache)
    if nested := [name for name in dataset.classes if "/" in name]:
        hint = "--classes-from first (or last) takes one folder's name instead"
        warn([f"folders in folders are classes of their own, such as {nested[0]!r}; {hint}"])
    if holdout and dataset.splits:
        warn([f"{dataset.name} has a test part of its own, so --holdout changes nothing"])
    recipe = FitSettings(
        head=head,
        stages=named,
        balance=balance,
        hold_out=holdout,
        seed=seed,
    )
    with progress() as bars:
        trained = fit(
            dataset,
            extractor,
            recipe,
            on_images=bars.bar("images", "images"),
            on_candidates=bars.bar("choosing stages", "candidates"),
            on_steps=bars.bar("training the head, at most", "steps"),
        )
    save_model(trained.model, out)
    for name in (HISTORY, CURVES):  # of a fine-tuning whose place this model takes
        (out / name).unlink(missing_ok=True)
    write_skipped(trained.skipped, out / "skipped.csv")
    save_data_location(
        cache_root(cache),
        trained.model.data,
        DataLocation(
            data=str(Path(data).resolve()) if Path(data).exists() else data,
            image_column=image_column,
            label_column=label_column,
            classes_from=str(classes_from),
            holdout=holdout,
            seed=seed,
        ),
    )
    if report:
        _report_training(trained, report)
    warn(extractor.warnings)
    if unknown := sorted(set(dataset.classes) - set(trained.model.classes)):
        lost = pluralize(len(unknown), "class is", "classes are")
        warn(
            [f"{lost} not in the model, for want of an image to learn from: {join_names(unknown)}"]
        )
    seconds = time.perf_counter() - started
    if as_json:
        print_json(_summary(trained, seconds))
    else:
        _describe(dataset, trained, seconds, out, report)


def evaluate(
    model: shared.ModelFolder,
    data: shared.Data,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", file_okay=False, help="Folder for metrics, pictures and predictions.csv."
        ),
    ] = None,
    weights: shared.WeightsFile = None,
    image_column: shared.ImageColumn = None,
    label_column: shared.LabelColumn = None,
    classes_from: shared.ClassesFrom = ClassLevel.PATH,
    engine: shared.EngineOption = EngineName.AUTO,
    precision: shared.PrecisionOption = Precision.AUTO,
    cache: shared.CacheFolder = None,
    as_json: shared.Json = False,
) -> None:
    """Test a model on labeled images that it was not trained on."""
    from headstart.evaluation.report import build_report, write_skipped
    from headstart.models.model_card import accuracy_text
    from headstart.models.prediction import evaluate as test
    from headstart.models.saved_model import load_model
    from headstart.models.trained_model import AccuracyEstimate

    if out:
        shared.check_results(out, _METRICS, data)
    trained = load_model(model)
    dataset = shared.opened(
        data, cache, image_column, label_column, classes_from, require_classes=1
    )
    extractor = shared.extractor_of(trained, weights, engine, precision, cache)
    with progress() as bars:
        found = test(
            trained, extractor, dataset.test_images(), progress=bars.bar("images", "images")
        )
    report = build_report(
        found.probabilities,
        found.labels,
        trained.classes,
        skipped=found.skipped,
        conflicts=found.conflicts,
        seen=found.seen,
        seconds=found.seconds,
    )
    if out:
        from headstart.plots.report_folder import (
            write_report,  # brings matplotlib, which takes its time
        )

        write_report(
            report,
            found.paths,
            found.labels,
            found.probabilities,
            out,
            model=trained,
        )
        write_skipped(report.skipped, out / "skipped.csv")
    warn(extractor.warnings)
    if as_json:
        print_json(report.as_dict())
        return
    accuracy = AccuracyEstimate(
        value=report.accuracy,
        interval=report.interval,
        images=report.images,
        method=EstimateMethod.HELD_OUT,
    )
    say(f"accuracy           {accuracy_text(accuracy)}")
    if report.top5 is not None:
        say(f"top-5 accuracy     {report.top5:.3f}")
    say(f"balanced accuracy  {report.balanced_accuracy:.3f}")
    say(f"log-likelihood     {-report.nll:.3f} nats an image")
    say(f"calibration error  {report.ece:.3f}")
    if report.seen:
        say(f"left out           {seen_text(report.seen)}")
    if report.conflicts:
        say(f"conflicts          {len(report.conflicts):,} with two labels, left out")
    say_skipped(report.skipped, out / "skipped.csv" if out else None, width=19)
    if out:
        say(f"written            {out}")


def _report_training(trained: FitResult, folder: Path) -> None:
    from headstart.evaluation.report import build_report
    from headstart.plots.report_folder import write_report

    if trained.held_out is None:
        warn([f"too few images to test any, so there is no report to write to {folder}"])
        return
    tested = trained.held_out
    report = build_report(
        tested.probabilities,
        tested.labels,
        trained.model.classes,
        skipped=trained.skipped,
        conflicts=trained.conflicts,
        seconds=trained.seconds,
    )
    write_report(
        report,
        tested.paths,
        tested.labels,
        tested.probabilities,
        folder,
        model=trained.model,
    )


def _summary(trained: FitResult, seconds: float) -> dict[str, Any]:
    model = trained.model
    measured = model.accuracy.as_dict()
    return {
        "backbone": model.origin.backbone,
        "engine": model.origin.engine,
        "precision": model.origin.precision,
        "stages": list(model.origin.stages),
        "head": model.head.kind,
        "setting": model.setting,
        "temperature": model.temperature,
        "accuracy_by_stage": {
            stage: accuracy.as_dict() for stage, accuracy in model.accuracy_by_stage.items()
        },
        "images": trained.images,
        "compared_on": trained.compared_on,
        "skipped": [{"path": one.path, "reason": one.reason} for one in trained.skipped],
        "duplicates": model.data.duplicates,
        "conflicts": [
            {"paths": list(one.paths), "labels": list(one.labels)} for one in trained.conflicts
        ],
        "classes": list(model.classes),
        "accuracy": measured["accuracy"],
        "interval": measured["interval"],
        "estimate": measured["estimate"],
        "tested_images": measured["images"],
        "seconds": seconds,
        "images_per_second": _rate(trained),
        "cached": trained.cached,
    }


def _rate(trained: FitResult) -> float | None:
    """Images a second through the network; None where all features were there already."""
    return trained.computed / trained.feature_seconds if trained.computed else None


def _describe(
    dataset: ImageDataset, trained: FitResult, seconds: float, out: Path, report: Path | None
) -> None:
    from headstart.models.model_card import accuracy_text

    model, origin = trained.model, trained.model.origin
    read = trained.cached + trained.computed
    rate = _rate(trained)
    speed = "" if rate is None else f"; {rate:,.0f} images/s"
    say_data(dataset.name, trained)
    say(f"backbone  {origin.backbone} on {origin.engine}, {origin.precision}")
    say(f"features  {pluralize(read, 'image')}, {trained.cached:,} of them known{speed}")
    few = trained.compared_on < trained.images
    sample = f", compared on {trained.compared_on:,} of the images" if few else ""
    say(f"stages    {' + '.join(origin.stages)}{sample}")
    say(f"accuracy  {accuracy_text(model.accuracy)}")
    if alone := [name for name, n in zip(model.classes, model.data.images, strict=True) if n == 1]:
        say(f"untested  {', '.join(alone[:_CLASSES])}: a single image cannot test what it trained")
    say_left_out(trained, out)
    say(f"time      {seconds:.1f} s")
    say(f"model     {out}" + (f"; report in {report}" if report else ""))


def say_data(name: str, trained: FitResult) -> None:
    """A line about the images that were used."""
    classes = trained.model.classes
    more = ", ..." if len(classes) > _CLASSES else ""
    measured = trained.model.accuracy
    held = (
        f" and {measured.images:,} held out" if measured.method is EstimateMethod.HELD_OUT else ""
    )
    say(
        f"data      {name}: {pluralize(trained.images, 'image')}{held}, {len(classes)} classes "
        f"({one_line(', '.join(classes[:_CLASSES]))}{more})"
    )


def say_left_out(trained: FitResult, out: Path) -> None:
    """Lines about those that were not, if there are any."""
    if copies := trained.model.data.duplicates:
        say(f"copies    {copies_text(copies)}")
    if trained.conflicts:
        first = trained.conflicts[0]
        say(
            f"conflicts {len(trained.conflicts):,} with two labels, left out; the first: "
            + ", ".join(
                one_line(f"{p} ({n})") for p, n in zip(first.paths, first.labels, strict=True)
            )
        )
    say_skipped(trained.skipped, out / "skipped.csv")
