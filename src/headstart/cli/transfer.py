"""headstart transfer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headstart.cli import options as shared
from headstart.cli.console import print_json, progress, say, table, warn
from headstart.cli.left_out import copies_text, say_skipped
from headstart.types import ClassLevel, EngineName, Precision

if TYPE_CHECKING:
    from headstart.evaluation.paired_tests import PairedTest
    from headstart.transfer.paired_scores import ClassifierScore
    from headstart.transfer.result import TransferReport

_RESULTS = "transfer.json"
_UNUSUAL = 0.3
"""Shift from the pre-training data above which images are not ordinary photos; docs/transfer.md."""


def transfer(
    data: shared.Data,
    out: Annotated[
        Path, typer.Option("--out", file_okay=False, help="Folder for the numbers and the picture.")
    ],
    backbone: shared.BackboneName = shared.DEFAULT_BACKBONE,
    weights: shared.WeightsFile = None,
    images: Annotated[
        int,
        typer.Option("--images", min=2, help="About how many to measure on, at most."),
    ] = 2_000,
    image_column: shared.ImageColumn = None,
    label_column: shared.LabelColumn = None,
    classes_from: shared.ClassesFrom = ClassLevel.PATH,
    engine: shared.EngineOption = EngineName.AUTO,
    precision: shared.PrecisionOption = Precision.AUTO,
    cache: shared.CacheFolder = None,
    seed: shared.Seed = 0,
    as_json: shared.Json = False,
) -> None:
    """Measure how well a backbone transfers to labeled images, and say what to do next."""
    shared.check_results(out, _RESULTS, data)

    from headstart.system.files import atomic_write
    from headstart.transfer.transfer_report import measure_transfer

    dataset = shared.opened(data, cache, image_column, label_column, classes_from)
    extractor = shared.extractor_for(backbone, weights, engine, precision, cache)
    given = {
        "--backbone": None if backbone == shared.DEFAULT_BACKBONE else backbone,
        "--weights": weights,
        "--image-column": image_column,
        "--label-column": label_column,
        "--classes-from": None if classes_from is ClassLevel.PATH else str(classes_from),
    }
    with progress() as bars:
        found = measure_transfer(
            dataset,
            extractor,
            images=images,
            seed=seed,
            named=data,
            options={name: str(value) for name, value in given.items() if value is not None},
            watch=bars.bar,
        )
    document = found.as_dict()
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    atomic_write(out / _RESULTS, f"{text}\n".encode(errors="surrogateescape"))
    _draw(found, out / "transfer.png")
    warn(extractor.warnings)
    if as_json:
        print_json(document)
    else:
        _describe(found, out)


def _draw(found: TransferReport, file: Path) -> None:
    from headstart import plots

    raw, descriptors, random = found.baselines
    figure = plots.transfer_figure(
        plots.AccuracyBars(
            names=[one.name for one in found.stages],
            values=[one.accuracy for one in found.stages],
            intervals=[one.interval for one in found.stages],
        ),
        plots.AccuracyBars(
            names=["chosen stages", "last layer", "raw pixels", "descriptors", "random weights"],
            values=[one.accuracy for one in (found.chosen, found.last, raw, descriptors, random)],
            intervals=[
                one.interval for one in (found.chosen, found.last, raw, descriptors, random)
            ],
        ),
        chosen=found.chosen_stages,
        better=[one.name for one in found.better_baselines(found.last)],
        random_stages=[one.accuracy for one in found.random_stages],
        curve=found.curve,
        distance=[(one.name, one.shift) for one in found.distance.stages] if found.distance else [],
        chance=1 / len(found.classes),
        nearest=found.nearest_classes.overall if found.nearest_classes else (),
        title=f"{found.data}, {found.images:,} images on {found.backbone}. {found.advice.sentence}",
    )
    plots.save(figure, file)


def _describe(found: TransferReport, out: Path) -> None:
    from headstart.evaluation.paired_tests import paired_difference
    from headstart.transfer.advice import UNKNOWN_COST

    chosen, last = found.chosen, found.last
    say(f"data       {found.data}: {found.images:,} images, {len(found.classes):,} classes")
    if found.available > found.images:
        say(f"           drawn from {found.available:,} with seed {found.seed}")
    say(f"backbone   {found.backbone}")
    say("")
    rows = [
        *(_row(one.name, one, None) for one in found.stages),
        _row(f"chosen: {chosen.detail}", chosen, paired_difference(chosen.correct, last.correct)),
        *(
            _row(f"{one.name} ({one.detail})", one, paired_difference(one.correct, last.correct))
            for one in found.baselines
        ),
    ]
    table(["a classifier on", "accuracy", "95% interval", "over the last layer"], rows, right={1})
    say("")
    say("The stages are chosen anew for every fold, so 'chosen' can differ from the rows above it.")
    say("")
    say(f"gain       {_points(found.gain)} by pre-training")
    if found.better_baselines(last):
        beat = " and ".join(one.name for one in found.better_baselines(last))
        say(f"NEGATIVE TRANSFER: {beat} beat the last layer")
        if found.better_baselines(chosen):
            beat = " and ".join(one.name for one in found.better_baselines(chosen))
            say(f"           {beat} also beat the head on the chosen stages")
    if found.distance:
        shift = found.distance.shift
        scale = "as ordinary photos are" if shift < _UNUSUAL else "further than ordinary photos"
        say(f"distance   {shift:.2f} standard deviations from the pre-training data, {scale}")
    else:
        say("distance   unknown: the network has no batch normalization")
    if found.nearest_classes:
        near = ", ".join(f"{name} {share:.1%}" for name, share in found.nearest_classes.overall)
        say(f"nearest    {near}; mean confidence {found.nearest_classes.confidence:.2f}")
    say(f"more       {found.curve.sample_cost or UNKNOWN_COST}")
    say_skipped(found.skipped, out / _RESULTS, width=11)
    if found.conflicts:
        say(f"conflicts  {len(found.conflicts):,} with two labels, left out")
    if found.duplicates:
        say(f"copies     {copies_text(found.duplicates)}")
    say(f"time       {found.seconds:.1f} s")
    say(f"written    {out}")
    say("")
    say(found.advice.sentence)
    say(f"  {found.advice.command}")


def _row(name: str, one: ClassifierScore, over: PairedTest | None) -> list[str]:
    span = one.interval
    return [
        name,
        f"{one.accuracy:.3f}",
        f"{span.low:.3f} to {span.high:.3f}",
        _points(over) if over else "",
    ]


def _points(gain: PairedTest) -> str:
    return f"{100 * gain.difference:+.1f} points ({100 * gain.low:+.1f} to {100 * gain.high:+.1f})"
