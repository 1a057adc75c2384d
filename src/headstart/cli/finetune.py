"""headstart finetune."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headstart.cli import options as shared
from headstart.cli.console import note, print_json, progress, warn
from headstart.cli.finetuned import describe, summary, write_history
from headstart.errors import UserError
from headstart.finetuning.settings import (
    RANGES,
    BatchNorm,
    Optimizer,
    Schedule,
    TuningRecipe,
    TuningSettings,
)
from headstart.types import ClassLevel, EngineName, Precision

if TYPE_CHECKING:
    from headstart.features.extractor import Extractor
    from headstart.finetuning.loop import Epoch
    from headstart.models.data_location import DataLocation
    from headstart.models.trained_model import Model

AUTO = "auto"
_BY_DEFAULT = TuningSettings()


def _number(name: str, said: str) -> Any:
    """An option that is a number of the settings, within the range that they allow."""
    low, high = RANGES[name.replace("-", "_")]
    return typer.Option(f"--{name}", min=low, max=high, help=said)


def finetune(
    source: Annotated[
        str,
        typer.Argument(
            metavar="MODEL|DATA",
            help="A folder that 'headstart fit' wrote, to start from, or labeled images as for "
            "'headstart fit', whose probe is then trained first.",
            show_default=False,
        ),
    ],
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="[DATA]",
            help="The images that MODEL was fitted to; by default they are sought where they were "
            "then.",
            show_default=False,
        ),
    ] = None,
    *,
    out: Annotated[Path, typer.Option("--out", help="Folder to write the model to.")],
    depth: Annotated[
        str,
        typer.Option(
            "--depth",
            help="How many stages are trained, counted from the last one that the head grows on; "
            "0 is the probe. 'auto' goes by what the probe found.",
        ),
    ] = AUTO,
    recipe: Annotated[
        TuningRecipe | None, typer.Option("--recipe", help="A well-known depth, by name.")
    ] = None,
    epochs: Annotated[
        int, _number("epochs", "Passes over the images, before the closing ones.")
    ] = _BY_DEFAULT.epochs,
    views: Annotated[
        int,
        _number("views", "Views of each image, the plain one included."),
    ] = _BY_DEFAULT.views,
    flip: Annotated[
        bool | None,
        typer.Option("--flip/--no-flip", help="Mirrored views. [default: if the probe bears it]"),
    ] = None,
    upside_down: Annotated[
        bool | None,
        typer.Option(
            "--upside-down/--no-upside-down",
            help="Views on their head. [default: if the probe bears it]",
        ),
    ] = None,
    crop: Annotated[
        float | None,
        _number(
            "crop",
            "Smallest share of a picture that a view may show. [default: what the probe bears]",
        ),
    ] = None,
    color: Annotated[float, _number("color", "Change of the colors of views.")] = _BY_DEFAULT.color,
    optimizer: Annotated[
        Optimizer, typer.Option("--optimizer", help="How weights follow the gradient.")
    ] = _BY_DEFAULT.optimizer,
    rate: Annotated[
        float | None,
        _number(
            "rate",
            "Learning rate of the last stage. [default: 5e-4, or 1e-4 with frozen batch "
            "normalization]",
        ),
    ] = _BY_DEFAULT.rate,
    head_rate: Annotated[
        float, _number("head-rate", "Of the head, as a share of --rate.")
    ] = _BY_DEFAULT.head_rate,
    rate_decay: Annotated[
        float,
        _number("rate-decay", "Rate of each earlier stage, as a share of the next."),
    ] = _BY_DEFAULT.rate_decay,
    warm_up: Annotated[
        float, _number("warm-up", "Share of the steps in which the rate rises.")
    ] = _BY_DEFAULT.warm_up,
    schedule: Annotated[
        Schedule, typer.Option("--schedule", help="How the rate falls after that.")
    ] = _BY_DEFAULT.schedule,
    batch: Annotated[int, _number("batch", "Images a step.")] = _BY_DEFAULT.batch,
    weight_decay: Annotated[
        float, _number("weight-decay", "Of filters and matrices of the network.")
    ] = _BY_DEFAULT.weight_decay,
    dropout: Annotated[
        float, _number("dropout", "Share of the head's features left out of a step.")
    ] = _BY_DEFAULT.dropout,
    clip: Annotated[float, _number("clip", "Longest gradient.")] = _BY_DEFAULT.clip,
    batch_norm: Annotated[
        BatchNorm, typer.Option("--batch-norm", help="Which moments batch normalization uses.")
    ] = _BY_DEFAULT.batch_norm,
    smoothing: Annotated[
        float, _number("smoothing", "Share of each label spread over all classes.")
    ] = _BY_DEFAULT.smoothing,
    mixup: Annotated[
        float, _number("mixup", "Alpha of mixing two activations; 0 mixes none.")
    ] = _BY_DEFAULT.mixup,
    cutmix: Annotated[
        float, _number("cutmix", "Alpha of replacing a rectangle; 0 replaces none.")
    ] = _BY_DEFAULT.cutmix,
    averaging: Annotated[
        float,
        _number("averaging", "Epochs that the average of weights looks back."),
    ] = _BY_DEFAULT.averaging,
    interpolate: Annotated[
        bool,
        typer.Option(
            "--interpolate/--no-interpolate",
            help="Try weights between the probe's and the fine-tuned ones.",
        ),
    ] = _BY_DEFAULT.interpolate,
    patience: Annotated[
        int, _number("patience", "Epochs without progress after which it ends.")
    ] = _BY_DEFAULT.patience,
    validation: Annotated[
        float, _number("validation", "Share of the training images that decide.")
    ] = _BY_DEFAULT.validation,
    closing: Annotated[
        float,
        _number(
            "closing",
            "Epochs that follow with all images where fine-tuning is kept, as a share of --epochs.",
        ),
    ] = _BY_DEFAULT.closing,
    mixed_precision: Annotated[
        bool | None,
        typer.Option(
            "--mixed-precision/--no-mixed-precision",
            help="Train in bfloat16. [default: where the processor can]",
        ),
    ] = None,
    holdout: Annotated[
        float | None,
        typer.Option(
            "--holdout", min=0, max=0.9, help="Share of the images kept aside for the test."
        ),
    ] = None,
    balance: Annotated[
        bool, typer.Option("--balance", help="Weigh classes equally, however many images each has.")
    ] = False,
    backbone: shared.StudiedBackbone = None,
    weights: shared.WeightsFile = None,
    image_column: shared.ImageColumn = None,
    label_column: shared.LabelColumn = None,
    classes_from: shared.ClassesFrom = ClassLevel.PATH,
    engine: shared.EngineOption = EngineName.AUTO,
    precision: shared.PrecisionOption = Precision.AUTO,
    cache: shared.CacheFolder = None,
    seed: shared.OptionalSeed = None,
    as_json: shared.Json = False,
) -> None:
    """Train part of the network further, and keep the result if it is better than the probe."""
    started = time.perf_counter()
    settings = TuningSettings(
        recipe=recipe,
        depth=_depth(depth),
        epochs=epochs,
        views=views,
        flip=flip,
        upside_down=upside_down,
        crop=crop,
        color=color,
        optimizer=optimizer,
        rate=rate,
        head_rate=head_rate,
        rate_decay=rate_decay,
        warm_up=warm_up,
        schedule=schedule,
        batch=batch,
        weight_decay=weight_decay,
        dropout=dropout,
        clip=clip,
        batch_norm=batch_norm,
        smoothing=smoothing,
        mixup=mixup,
        cutmix=cutmix,
        averaging=averaging,
        interpolate=interpolate,
        patience=patience,
        validation=validation,
        closing=closing,
        mixed_precision=mixed_precision,
    )
    from headstart.models.saved_model import check_target, save_model
    from headstart.system.cache_folder import cache_root

    check_target(out)
    model = _model(source, data)
    if model is not None and out.resolve() == Path(source).resolve():
        raise UserError(f"{out} is the model to start from; name another folder for the result")
    if model is not None and balance:
        raise UserError("the model weighs classes as it was fitted to; leave out --balance")
    where = _where(model, source, data, cache_root(cache), image_column, label_column, classes_from)
    shared.check_outside(out, where.data)
    settings = replace(settings, seed=where.seed if seed is None else seed)
    extractor = _extractor(model, backbone, weights, engine, precision, cache)
    dataset = shared.opened(
        where.data,
        cache,
        where.image_column,
        where.label_column,
        ClassLevel(where.classes_from),
    )
    from headstart.evaluation.report import write_skipped
    from headstart.finetuning.finetune import TuningProgress
    from headstart.finetuning.finetune import finetune as tune

    with progress() as bars:
        tuned = tune(
            dataset,
            extractor,
            settings,
            model=model,
            balance=balance,
            hold_out=where.holdout if holdout is None else holdout,
            reports=TuningProgress(
                images=bars.bar("images", "images"),
                candidates=bars.bar("choosing stages", "candidates"),
                views=bars.bar("views", "images"),
                steps=bars.bar("training", "steps"),
                epoch=_say_epoch,
            ),
        )
    save_model(tuned.model, out)
    write_skipped(tuned.probe.skipped, out / "skipped.csv")
    write_history(tuned, out)
    warn(extractor.warnings)
    seconds = time.perf_counter() - started
    if as_json:
        print_json(summary(tuned, seconds))
    else:
        describe(dataset, tuned, seconds, out)


def _depth(text: str) -> int | None:
    if text == AUTO:
        return None
    if not text.isascii() or not text.isdigit():
        raise UserError(f"--depth is {text!r}; give a number of stages, or auto")
    return int(text)


def _model(source: str, data: str | None) -> Model | None:
    """The model to start from, if the first argument is one."""
    from headstart.models.saved_model import MANIFEST, load_model

    folder = Path(source)
    if data is not None or (folder / MANIFEST).is_file():
        return load_model(folder)
    return None


def _where(
    model: Model | None,
    source: str,
    data: str | None,
    root: Path,
    image_column: str | None,
    label_column: str | None,
    classes_from: ClassLevel,
) -> DataLocation:
    """Where the images are: as said, or as it was said when the model was fitted."""
    from headstart.models.data_location import DataLocation, find_data_location

    known = None if model is None else find_data_location(root, model.data)
    said = source if model is None else data
    if said is None:
        if known is None:
            raise UserError(
                f"{source} does not hold its images, and where they were is not known here; give "
                f"them too: headstart finetune {source} DATA --out ..."
            )
        if image_column or label_column or classes_from is not ClassLevel.PATH:
            raise UserError(
                f"the images of {source} are read as they were when it was fitted; leave out "
                "--image-column, --label-column and --classes-from, or give the images too"
            )
        if Path(known.data).is_absolute() and not Path(known.data).exists():
            raise UserError(
                f"the images of {source} are no longer at {known.data}; give them: headstart "
                f"finetune {source} DATA --out ..."
            )
        return known
    return DataLocation(
        data=said,
        image_column=image_column,
        label_column=label_column,
        classes_from=str(classes_from),
        holdout=known.holdout if known else 0.0,
        seed=model.seed if model else 0,
    )


def _extractor(
    model: Model | None,
    backbone: str | None,
    weights: Path | None,
    engine: EngineName,
    precision: Precision,
    cache: Path | None,
) -> Extractor:
    if model is None:
        name = backbone or shared.DEFAULT_BACKBONE
        return shared.extractor_for(name, weights, engine, precision, cache)
    if backbone is not None:
        raise UserError(
            f"the model has a backbone of its own ({model.origin.backbone}); leave out --backbone "
            f"{backbone}"
        )
    return shared.extractor_of(model, weights, engine, precision, cache)


def _say_epoch(row: Epoch) -> None:
    """A line on stderr, on a terminal or not: an epoch may take minutes."""
    judged = ""
    if row.validation_loss is not None and row.validation_accuracy is not None:
        judged = f"; validation {row.validation_loss:.3f}, {row.validation_accuracy:.3f}"
    note(
        f"epoch {row.epoch:>3} {row.phase}: loss {row.loss:.3f}, accuracy {row.accuracy:.3f}"
        f"{judged}; {row.seconds:.1f} s"
    )
