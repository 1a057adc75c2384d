"""headstart compare."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headstart.cli import options as shared
from headstart.cli.console import note, print_json, progress, say, table, warn
from headstart.cli.left_out import copies_text, say_skipped
from headstart.errors import BackboneError, DownloadError, MissingExtraError, NotCachedError
from headstart.types import ClassLevel, EngineName, Precision

if TYPE_CHECKING:
    from headstart.comparison import BackboneResult, Comparison, ExcludedBackbone
    from headstart.features.extractor import Extractor

_REPORT = "comparison.json"
_ADVICE = "its weights are not on this machine; add --allow-download to fetch them"
_MANY_STAGES = 2
"""More than so many neighbors are named by the first and the last."""


def compare(
    data: shared.Data,
    backbones: Annotated[
        str | None,
        typer.Option(
            "--backbones",
            help="Names, separated by commas; see 'headstart backbones'. [default: all that need "
            "no download]",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", file_okay=False, help="Folder for the numbers, the table and the picture."
        ),
    ] = None,
    allow_download: Annotated[
        bool,
        typer.Option(
            "--allow-download", help="Fetch weights that are not here; says first how large."
        ),
    ] = False,
    balance: Annotated[
        bool, typer.Option("--balance", help="Weigh classes equally, however many images each has.")
    ] = False,
    image_column: shared.ImageColumn = None,
    label_column: shared.LabelColumn = None,
    classes_from: shared.ClassesFrom = ClassLevel.PATH,
    engine: shared.EngineOption = EngineName.AUTO,
    precision: shared.PrecisionOption = Precision.AUTO,
    cache: shared.CacheFolder = None,
    seed: shared.Seed = 0,
    as_json: shared.Json = False,
) -> None:
    """Measure which backbone suits these images best, and what each one costs."""
    names = _names(backbones)
    from headstart.comparison import compare as measure

    started = time.perf_counter()
    if out:
        shared.check_results(out, _REPORT, data)
    dataset = shared.opened(data, cache, image_column, label_column, classes_from)
    extractors, left_out = _opened(names, engine, precision, cache, allow_download=allow_download)
    with progress() as bars:
        found = measure(
            dataset,
            extractors,
            balance=balance,
            seed=seed,
            left_out=left_out,
            bars=bars.bar,
        )
    if out:
        _write(found, out)
    warn(found.warnings)
    warn(f"{one.name} is left out: {one.reason}" for one in found.left_out)
    if as_json:
        print_json(found.as_dict())
    else:
        _describe(found, out, time.perf_counter() - started)


def _names(backbones: str | None) -> list[str]:
    """What is to be compared, each once.

    Raises:
        BackboneError: a name belongs to no network, or there is none. A name that is wrong is a
            slip, so nothing is measured without it; weights that are not to be had are left out.
    """
    from headstart.backbones import check_name, list_backbones

    if backbones is None:
        return [info.name for info in list_backbones() if info.on_this_machine]
    names = list(dict.fromkeys(name.strip() for name in backbones.split(",")))
    names = [name for name in names if name]
    if not names:
        raise BackboneError(
            f"--backbones {backbones!r} names none; write names separated by commas, such as "
            "efficientnet-lite0,resnet18"
        )
    for name in names:
        with suppress(MissingExtraError):  # what is not installed is left out with its reason
            check_name(name)
    return names


def _opened(
    names: list[str],
    engine: EngineName,
    precision: Precision,
    cache: Path | None,
    *,
    allow_download: bool,
) -> tuple[list[Extractor], list[ExcludedBackbone]]:
    """The backbones, ready to run, and those that are not to be had, with the reason.

    Raises:
        BackboneError: none is left.
    """
    from headstart.comparison import ExcludedBackbone

    extractors: dict[str, Extractor] = {}
    reasons: dict[str, str] = {}
    missing: dict[str, NotCachedError] = {}

    def attempt(name: str, *, fetch: bool) -> None:
        try:
            extractor = shared.extractor_for(
                name, None, engine, precision, cache, allow_download=fetch
            )
        except NotCachedError as error:
            missing[name], reasons[name] = error, _ADVICE
        except (BackboneError, DownloadError, MissingExtraError) as error:
            reasons[name] = str(error)
        else:
            reasons.pop(name, None)
            extractors.setdefault(extractor.backbone.name, extractor)

    for name in names:
        attempt(name, fetch=False)
    if allow_download and missing:
        _state_sizes(missing)
        for name in missing:
            attempt(name, fetch=True)
    if not extractors:
        raise BackboneError(
            "there is no backbone to compare: "
            + "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        )
    return list(extractors.values()), [ExcludedBackbone(name, reasons[name]) for name in reasons]


def _state_sizes(missing: dict[str, NotCachedError]) -> None:
    from headstart.backbones import download_size
    from headstart.system.download import readable_size

    sizes = {name: download_size(error) for name, error in missing.items()}
    for name, size in sizes.items():
        note(f"will download {name}: {'size unknown' if size is None else readable_size(size)}")
    known = [size for size in sizes.values() if size is not None]
    if len(sizes) > 1 and known:
        more = " and what is unknown" if len(known) < len(sizes) else ""
        note(f"will download {readable_size(sum(known))}{more} in all")


def _write(found: Comparison, folder: Path) -> None:
    from headstart import plots
    from headstart.evaluation.report import write_csv
    from headstart.system.files import atomic_write

    text = json.dumps(found.as_dict(), indent=2, ensure_ascii=False, allow_nan=False)
    atomic_write(folder / _REPORT, f"{text}\n".encode(errors="surrogateescape"))
    rows = found.rows()
    for row in rows:
        low, high = row.pop("interval")
        row.update(low=low, high=high, stages=" ".join(row["stages"]))
    write_csv(rows, folder / "comparison.csv")
    backbones = found.backbones
    figure = plots.accuracy_and_cost(
        [one.name for one in backbones],
        [one.accuracy for one in backbones],
        [one.interval for one in backbones],
        [one.milliseconds for one in backbones],
        [one.name in found.frontier for one in backbones],
        [one.complete for one in backbones],
        recommended=found.recommendation.backbone,
        images=found.images,
    )
    plots.save(figure, folder / "comparison.png")


def _describe(found: Comparison, out: Path | None, seconds: float) -> None:
    from headstart.evaluation.metrics import wilson

    header = [
        "", "backbone", "accuracy", "95% interval", "images", "stages", "core-ms", "images/s",
        "parameters", "multiply-adds", "memory", "license", "top-1",
    ]  # fmt: skip
    table(
        header,
        [_cells(one, found) for one in found.backbones],
        right={2, 4, 6, 7, 8, 9, 10, 12},
    )
    say("")
    say("* on the frontier: no other one is both as accurate and as cheap")
    say(
        f"core-ms: processor time an image; images/s: {found.cores} cores, the network alone; "
        "memory: highest of a process that runs it; top-1: published, on ImageNet"
    )
    if any(not one.complete for one in found.backbones):
        say("fewer images: left early, measurably beaten by one that is no dearer")
    say("")
    say(f"data      {found.data}: {found.images:,} images, {len(found.classes)} classes")
    if found.duplicates:
        say(f"copies    {copies_text(found.duplicates)}")
    if found.conflicts:
        say(f"conflicts {len(found.conflicts):,} with two labels, left out")
    say_skipped(found.skipped, out / _REPORT if out else None)
    say(f"advice    {found.recommendation.sentence}.")
    if found.recommendation.against:
        choice = found.recommendation.choice
        right = int(choice.sum())
        span = wilson(right, len(choice))
        say(
            f"choice    {right / len(choice):.3f} ({span.low:.3f} to {span.high:.3f}, "
            f"{len(choice):,} images) if the backbone, too, is chosen without the fold that is "
            "tested"
        )
    say(f"time      {seconds:.1f} s")
    if out:
        say(f"written   {out}")


def _cells(one: BackboneResult, found: Comparison) -> list[str]:
    memory = one.cost.memory_bytes
    return [
        "*" if one.name in found.frontier else "",
        one.name,
        f"{one.accuracy:.3f}",
        f"{one.interval.low:.3f} to {one.interval.high:.3f}",
        f"{one.images:,}",
        _stages(one.stages),
        f"{one.milliseconds:.1f}",
        f"{one.cost.images_per_second:,.0f}",
        "-" if one.parameters is None else f"{one.parameters / 1e6:.1f} M",
        "-" if one.multiply_adds is None else f"{one.multiply_adds / 1e9:.2f} G",
        "-" if memory is None else f"{memory / 1e6:,.0f} MB",
        one.license,
        "-" if one.top1 is None else f"{one.top1:.3f}",
    ]


def _stages(names: tuple[str, ...]) -> str:
    """Several are always neighbors."""
    if len(names) > _MANY_STAGES:
        return f"{names[0]} to {names[-1]}"
    return " + ".join(names)
