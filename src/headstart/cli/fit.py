"""headstart fit."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from headstart.cli import options as shared
from headstart.cli.breakdown import breakdown_facts
from headstart.cli.console import facts, note, print_json, progress, warn
from headstart.cli.remarks import detail_advice, replaced_text
from headstart.cli.result_files import check_model_target, check_outside, check_results
from headstart.cli.results_page import remove_outdated_page, write_results_page
from headstart.cli.summary import (
    budget_text,
    cost_text,
    images_per_second,
    left_out_facts,
    members_document,
    names_text,
    shared_text,
    total_cost,
    training_document,
    training_facts,
)
from headstart.errors import HeadstartError, UserError
from headstart.system.option import Option
from headstart.system.text import join_names, pluralize
from headstart.types import AUTO, DEFAULT_BACKBONE, EstimateMethod, Quality

if TYPE_CHECKING:
    from headstart.cli.documents.training import FitDocument
    from headstart.datasets import ImageDataset
    from headstart.features.extractor import Extractor
    from headstart.models.fit_result import FitResult

HISTORY, CURVES = "history.csv", "curves.png"
"""Files that `headstart finetune` adds to the model's folder."""


def _heads() -> Iterable[str]:
    from headstart.heads.families import FAMILIES

    return FAMILIES


def fit(
    data: shared.Data,
    *,
    out: Path,
    backbone: shared.BackboneName = DEFAULT_BACKBONE,
    head: Annotated[str, Option(choices=_heads)] = "logistic",
    stage: Annotated[list[str] | None, Option(unset="auto: chosen by cross-validation")] = None,
    quality: Quality = Quality.FAST,
    views: Annotated[str | None, Option(unset="those of --quality", metavar="LIST")] = None,
    budget: Annotated[float | None, Option(low=0, metavar="MS", unset="unlimited")] = None,
    allow_download: bool = False,
    balance: shared.Balance = False,
    holdout: Annotated[float, Option(low=0, high=0.9)] = 0.0,
    report: shared.OptionalFolder = None,
    force: shared.Force = False,
    dataset_options: shared.DatasetOptions,
    runtime: shared.RuntimeOptions,
    seed: shared.Seed = 0,
    as_json: shared.Json = False,
) -> bool:
    """Train a classifier on labeled images and test it.

    Options:
        out: Folder to write the model to.
        head: The classifier to train.
        stage: The stage of the backbone whose features the head uses; repeat it to combine several.
        quality: How much computation to spend on accuracy.
        views: Networks, and the sizes at which they see the images, separated by commas, such as
            efficientnet-lite0,efficientnet-lite0@352; their predictions are averaged.
        budget: Core-milliseconds that the prediction of an image may cost on this machine; the best
            model within it is chosen among those of --quality or --views.
        allow_download: With --quality best, also try the stronger networks of
            'headstart backbones --ladder', downloading those that are not on this machine.
        holdout: Share of the images to hold out for testing; 0 cross-validates instead.
        report: Folder for a report: metrics, plots and a page.
    """
    from headstart.evaluation.breakdown import breakdown_warnings
    from headstart.evaluation.report import METRICS, write_training
    from headstart.features.cost import costs_of, forecast, measure_costs
    from headstart.models.budget import within_budget
    from headstart.models.data_location import DataLocation, save_data_location
    from headstart.models.fit import fit as train
    from headstart.models.fit_settings import FitSettings
    from headstart.models.quality import with_quality
    from headstart.models.saved_model import save_model
    from headstart.models.train_test_split import hold_out_warnings
    from headstart.models.view_trial import is_large, try_views
    from headstart.system.cache_folder import cache_root

    started = time.perf_counter()
    settings = FitSettings(
        head=head, stages=_stages(stage), balance=balance, hold_out=holdout, seed=seed
    )
    check_model_target(out, data, force=force)
    if force:
        check_outside(out, data)
    if report:
        check_results(report, METRICS, data, force=force)
    dataset = dataset_options.open(data, runtime.cache)
    extractor = with_quality(
        runtime.extractor(backbone),
        quality,
        views.split(",") if views else (),
        allow_download=allow_download,
        allow_code=runtime.allow_code,
        paths=dataset.paths,
    )
    if replaced := replaced_text(out, dataset):
        note(replaced)
    _warn_about_classes(dataset)
    warn(hold_out_warnings(dataset, holdout, setting="--holdout"))
    measured = extractor.others or budget is not None
    costs = measure_costs(extractor, dataset.paths) if measured else {}
    extractor, limit = within_budget(extractor, costs, budget)
    if extractor.others:
        sampled = not views and is_large(dataset)
        classes = len(dataset.classes)
        note(forecast(costs, extractor, dataset.paths, classes=classes, tried=sampled))
        if sampled:
            with progress() as bars:
                trial = try_views(
                    dataset,
                    extractor,
                    settings,
                    budget=limit,
                    on_images=bars.bar("images tried", "images"),
                    on_candidates=bars.bar("trying views", "candidates"),
                )
            extractor, limit = trial.extractor, trial.budget
            if trial.reason:
                note(trial.reason)
    with progress() as bars:
        result = train(
            dataset,
            extractor,
            settings,
            budget=limit,
            on_images=bars.bar("images", "images"),
            on_candidates=bars.bar("choosing stages", "candidates"),
            on_steps=bars.bar("training the head, at most", "steps"),
        )
    save_model(result.model, out, force=force)
    for name in (HISTORY, CURVES):  # of a fine-tuned model that this one replaces
        (out / name).unlink(missing_ok=True)
    write_training(out, skipped=result.skipped, conflicts=result.conflicts, recalls=result.recalls)
    remove_outdated_page(out)
    location = DataLocation(
        data=str(Path(data).resolve()) if Path(data).exists() else data,
        holdout=holdout,
        seed=seed,
        **dataset_options.location(),
    )
    save_data_location(cache_root(runtime.cache), result.model.data, location)
    if report:
        write_fit_report(result, report, model=out)
    warn(extractor.warnings)
    largest = result.largest_class
    warn(breakdown_warnings(largest, result.recalls, balanced=balance))
    if advice := detail_advice(result.model.accuracy.value, largest, extractor, dataset.paths):
        note(advice)
    if holdout and not result.has_test_part:
        few = f"--holdout {holdout:g} held out no image, since every class has too few"
        warn([f"{few}; the accuracy is cross-validated instead"])
    if lost := sorted(set(dataset.classes) - set(result.model.classes)):
        one, many = "class has", "classes have"
        warn([f"{pluralize(len(lost), one, many)} no usable training image: {join_names(lost)}"])
    chosen = extractor.only(result.views)
    spent = costs_of(chosen, dataset.paths)
    names = [one.name for one in chosen.by_view.values()]
    prices = {name: one.total for name, one in costs.items()}
    too_expensive = limit.left_out(names, prices) if limit else {}
    seconds = time.perf_counter() - started
    if as_json:
        print_json(_document(result, quality, spent, seconds, budget, too_expensive))
    else:
        kept = budget_text(budget, too_expensive)
        _describe(dataset, extractor, result, spent, kept, seconds, out, report)
    return result.model.accuracy.value is not None


def _stages(stage: list[str] | None) -> tuple[str, ...]:
    asked = stage or [AUTO]
    named = tuple(name for name in asked if name != AUTO)
    if named and AUTO in asked:
        raise UserError(
            f"--stage auto cannot be combined with --stage {', '.join(named)}; give either auto, "
            "which chooses the stages, or their names"
        )
    return named


def _warn_about_classes(dataset: ImageDataset) -> None:
    if nested := _nested_class(dataset):
        hint = "--classes-from first (or last) uses the name of one folder instead"
        warn([f"each nested folder is a separate class, such as {nested!r}; {hint}"])


def _nested_class(dataset: ImageDataset) -> str | None:
    """Return a class that is named after folders in folders; labels in tables may have slashes."""
    for index, name in enumerate(dataset.classes):
        if "/" in name:
            first = dataset.paths[int((dataset.labels == index).argmax())]
            if first.parent.as_posix().endswith(f"/{name}"):
                return name
    return None


def write_fit_report(result: FitResult, folder: Path, *, model: Path) -> None:
    """Write the report of a training to a folder, if some images tested the model.

    Args:
        result: The model and its test.
        folder: The folder of the report.
        model: That of the model, which is complete.

    Raises:
        HeadstartError: The report cannot be written.
    """
    try:
        _write_report(result, folder)
    except (HeadstartError, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        raise HeadstartError(
            f"the model is in {model}, but its report could not be written to {folder}: {reason}"
        ) from error


def _write_report(result: FitResult, folder: Path) -> None:
    from headstart.evaluation.report import build_report
    from headstart.plots.report_folder import write_report

    tested = result.held_out
    if tested is None:
        warn([f"there are too few images to test the model, so no report is written to {folder}"])
        return
    report = build_report(
        tested.probabilities,
        tested.labels,
        result.model.classes,
        skipped=result.skipped,
        conflicts=result.conflicts,
        duplicates=result.model.data.duplicates,
        seconds=result.seconds,
        clusters=tested.clusters,
        new_scene=tested.new_scene,
    )
    for left_out in write_report(report, tested, folder, model=result.model):
        note(left_out)
    write_results_page(folder)


def _document(
    result: FitResult,
    quality: Quality,
    costs: Mapping[str, float | None],
    seconds: float,
    budget: float | None,
    over_budget: Mapping[str, float],
) -> FitDocument:
    return {
        **training_document(result),
        "quality": quality,
        "members": members_document(result.model, costs),
        "cost": total_cost(costs),
        "seconds": seconds,
        "budget": budget,
        "over_budget": [{"view": name, "cost": cost} for name, cost in over_budget.items()],
    }


def _describe(
    dataset: ImageDataset,
    extractor: Extractor,
    result: FitResult,
    costs: Mapping[str, float | None],
    budget: str | None,
    seconds: float,
    out: Path,
    report: Path | None,
) -> None:
    from headstart.models.model_card import accuracy_text, novelty_text, scenes_text

    model, speed = result.model, images_per_second(result)
    rate = "" if speed is None else f"; {speed:,.0f} images/s"
    read = pluralize(result.cached + result.computed, "image")
    features = f"{read}, {result.cached:,} of them from the cache{rate}"
    facts(
        [
            *training_facts(dataset.name, result, extractor, features),
            ("accuracy", accuracy_text(model.accuracy)),
            *breakdown_facts(result.largest_class, result.recalls),
            ("scenes", scenes_text(model)),
            ("shared", shared_text(result)),
            ("unknown", novelty_text(model)),
            ("untested", _untested_text(result)),
            *left_out_facts(result, duplicates=model.data.duplicates, file=out / "skipped.csv"),
            ("cost", cost_text(costs)),
            ("budget", budget),
            ("time", f"{seconds:.1f} s"),
            ("model", f"{out}; report in {report}" if report else str(out)),
        ]
    )


def _untested_text(result: FitResult) -> str | None:
    """Name the classes that no image tests: too few for a test part, or for two folds."""
    model, tested = result.model, result.tested
    if tested is None:
        return None
    counts = tested.groups_by_class(len(model.classes))
    if model.accuracy.method is EstimateMethod.CROSS_VALIDATION:
        few, what = 1, "a single image" if tested.clusters is None else "a single series"
        reason = f"{what} cannot be used for both training and testing"
    else:
        few, reason = 0, "no test image"
    names = [name for name, n in zip(model.classes, counts.tolist(), strict=True) if n == few]
    return f"{names_text(names)}: {reason}" if names else None
