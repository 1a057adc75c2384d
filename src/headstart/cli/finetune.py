"""headstart finetune."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from headstart.cli import options as shared
from headstart.cli.console import print_json, progress, warn
from headstart.cli.finetuned import describe, document, write_history
from headstart.cli.fit import write_fit_report
from headstart.cli.model_argument import given_model
from headstart.cli.result_files import check_model_target, check_outside, check_results
from headstart.cli.results_page import remove_outdated_page
from headstart.errors import UserError
from headstart.finetuning.settings import TuningSettings
from headstart.system.option import Option, options_of
from headstart.types import AUTO, DEFAULT_BACKBONE

if TYPE_CHECKING:
    from headstart.finetuning.checkpoint import Epoch, StepsCallback
    from headstart.finetuning.finetune import FineTuneResult
    from headstart.models.data_location import DataLocation
    from headstart.models.trained_model import Model


def finetune(
    source: Annotated[
        str,
        Option(
            metavar="MODEL|DATA",
            help="A model folder written by 'headstart fit' to start from, or labeled images as "
            "for 'headstart fit' to train a head on first.",
        ),
    ],
    data: Annotated[
        str | None,
        Option(
            help="The images that MODEL was trained on. By default, they are read from their "
            "original location."
        ),
    ] = None,
    *,
    out: Path,
    force: shared.Force = False,
    depth: Annotated[
        str, Option(help=options_of(TuningSettings)["depth"][1].help, unset="auto: from the probe")
    ] = AUTO,
    settings: TuningSettings,
    holdout: Annotated[
        float | None, Option(low=0, high=0.9, unset="as MODEL was trained, or 0")
    ] = None,
    report: shared.OptionalFolder = None,
    balance: shared.Balance = False,
    backbone: shared.OptionalBackbone = None,
    dataset_options: shared.DatasetOptions,
    allow_download: shared.AllowDownload = False,
    runtime: shared.RuntimeOptions,
    seed: Annotated[
        int | None, Option(help="Random seed.", low=0, high=2**32 - 1, unset="the model's, or 0")
    ] = None,
    as_json: shared.Json = False,
) -> None:
    """Fine-tune the network, and add it to the model if their average is better.

    Options:
        out: Folder to write the model to.
        holdout: Share of the images to hold out for testing.
        report: Folder for a report of the test: metrics, plots and a page.
    """
    started = time.perf_counter()
    settings = replace(settings, depth=_depth(depth))
    from headstart.evaluation.breakdown import breakdown_warnings
    from headstart.evaluation.report import METRICS
    from headstart.models.saved_model import save_model
    from headstart.models.train_test_split import hold_out_warnings

    check_model_target(out, data or source, force=force)
    if report:
        check_results(report, METRICS, force=force)
    model = _model(source, data)
    if model is not None:
        _check_model_options(model, source, out, balance=balance, backbone=backbone)
    location = _location(model, source, data, dataset_options, runtime)
    for folder in (out, report):
        if folder is not None:
            check_outside(folder, location.data)
    settings = replace(settings, seed=location.seed if seed is None else seed)
    name = backbone or DEFAULT_BACKBONE
    extractor = (
        runtime.extractor_of(model, allow_download=allow_download)
        if model
        else runtime.extractor(name)
    )
    dataset = shared.DatasetOptions.of(location).open(location.data, runtime.cache)
    warn(hold_out_warnings(dataset, holdout, setting="--holdout"))
    from headstart.evaluation.report import write_training
    from headstart.finetuning.finetune import TuningProgress
    from headstart.finetuning.finetune import finetune as tune

    with progress() as bars:
        result = tune(
            dataset,
            extractor,
            settings,
            model=model,
            balance=balance,
            hold_out=location.holdout if holdout is None else holdout,
            progress=TuningProgress(
                images=bars.bar("images", "images"),
                candidates=bars.bar("choosing stages", "candidates"),
                views=bars.bar("augmented images", "images"),
                steps=_continued(bars.rounds("epoch", "steps"), bars.note),
                epoch=lambda row, last: bars.note(_epoch_text(row, last)),
            ),
        )
    save_model(result.model, out, force=force)
    fitted = result.fitted
    write_training(out, skipped=fitted.skipped, conflicts=fitted.conflicts, recalls=fitted.recalls)
    write_history(result, out)
    remove_outdated_page(out)
    if report:
        _write_report(result, report, out)
    warn(extractor.warnings)
    weak = breakdown_warnings(fitted.largest_class, fitted.recalls, balanced=fitted.model.balanced)
    warn(weak)
    seconds = time.perf_counter() - started
    if as_json:
        print_json(document(result, seconds))
    else:
        describe(dataset, extractor, result, seconds, out)


def _write_report(result: FineTuneResult, folder: Path, model: Path) -> None:
    """Write the report of a fine-tuned model to a folder, if some images tested it."""
    if result.held_out is None:
        reason = "no image was held out to test the fine-tuned model (add --holdout 0.2)"
        warn([f"{reason}, so no report is written to {folder}"])
        return
    write_history(result, folder)
    write_fit_report(result.fitted, folder, model=model)


def _depth(text: str) -> int | None:
    if text == AUTO:
        return None
    if not text.isascii() or not text.isdigit():
        raise UserError(f"--depth is {text!r}; give a number of stages, or auto")
    return int(text)


def _model(source: str, data: str | None) -> Model | None:
    from headstart.models.model_folder import MANIFEST

    folder = Path(source)
    if data is not None or (folder / MANIFEST).is_file():
        return given_model("finetune", folder, [data] if data else [])
    return None


def _check_model_options(
    model: Model, source: str, out: Path, *, balance: bool, backbone: str | None
) -> None:
    if out.resolve() == Path(source).resolve():
        raise UserError(f"{out} is the model to start from; choose another folder for the result")
    if balance:
        raise UserError("the model keeps the class weights it was trained with; remove --balance")
    if backbone is not None:
        raise UserError(
            f"the model already has a backbone ({model.origin.backbone}); remove --backbone "
            f"{backbone}"
        )


def _location(
    model: Model | None,
    source: str,
    data: str | None,
    dataset_options: shared.DatasetOptions,
    runtime: shared.RuntimeOptions,
) -> DataLocation:
    """Return where the images are: as given now, or else as given when the model was trained."""
    from headstart.models.data_location import DataLocation, find_data_location
    from headstart.system.cache_folder import cache_root

    known = None if model is None else find_data_location(cache_root(runtime.cache), model.data)
    given = source if model is None else data
    if given is not None:
        return DataLocation(
            data=given,
            holdout=known.holdout if known else 0.0,
            seed=model.seed if model else 0,
            **dataset_options.location(),
        )
    again = f"headstart finetune {source} DATA --out ..."
    if known is None:
        raise UserError(
            f"{source} does not contain its training images, and their location on this machine "
            f"is unknown; give them as well: {again}"
        )
    if dataset_options != shared.DatasetOptions():
        raise UserError(
            f"the images of {source} are read as when it was trained; remove --image-column, "
            "--label-column, --image-folder, --image-suffix, --classes-from, --group-by and "
            "--review, or give the images as well"
        )
    if Path(known.data).is_absolute() and not Path(known.data).exists():
        raise UserError(
            f"the images of {source} are no longer at {known.data}; give their location: {again}"
        )
    return known


def _continued(steps: StepsCallback, say: Callable[[str], None]) -> StepsCallback:
    """Return a callback that also says if the first epoch follows those of an earlier run."""
    begun = False

    def told(epoch: int, last: int, done: int, total: int) -> None:
        nonlocal begun
        if not begun and epoch > 1:
            say(f"continues at epoch {epoch}, after those of an earlier run")
        begun = True
        steps(epoch, last, done, total)

    return told


def _epoch_text(row: Epoch, last: int) -> str:
    which, validation = f"closing epoch {row.epoch}, on all images", ""
    if row.validation_loss is not None and row.validation_accuracy is not None:
        which = f"epoch {row.epoch} of {last}, search"
        validation = (
            f"; validation loss {row.validation_loss:.3f}, accuracy {row.validation_accuracy:.3f}"
        )
    return (
        f"{which}: loss {row.loss:.3f}, accuracy {row.accuracy:.3f}{validation}; "
        f"{row.seconds:.1f} s"
    )
