"""headstart compare."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from headstart.cli import options as shared
from headstart.cli.breakdown import breakdown_facts
from headstart.cli.console import facts, note, paragraph, print_json, progress, say, table, warn
from headstart.cli.result_files import check_results
from headstart.cli.results_page import write_results_page
from headstart.cli.summary import layer_text, left_out_facts
from headstart.errors import BackboneError
from headstart.system.option import Option
from headstart.system.text import pluralize

if TYPE_CHECKING:
    from headstart.comparison.result import BackboneResult, Comparison

_REPORT = "comparison.json"


def compare(
    data: shared.Data,
    *,
    backbones: Annotated[
        str | None,
        Option(unset="all that need no download; with --allow-download, the ladder too"),
    ] = None,
    out: shared.OptionalFolder = None,
    force: shared.Force = False,
    allow_download: bool = False,
    balance: shared.Balance = False,
    dataset_options: shared.DatasetOptions,
    runtime: shared.RuntimeOptions,
    seed: shared.Seed = 0,
    as_json: shared.Json = False,
) -> str:
    """Compare backbones on your images by accuracy and cost.

    Options:
        backbones: Names, separated by commas; see 'headstart backbones'. With a size after the
            name, as in efficientnet-lite0@352, images are seen at that size.
        out: Folder for the numbers, the table, the plot and a page.
        allow_download: Download missing weights, after printing their size.
    """
    from headstart.comparison.candidates import candidate_names, open_candidates
    from headstart.comparison.successive_halving import compare as measure

    names = candidate_names(
        _listed(backbones), allow_download=allow_download, allow_code=runtime.allow_code
    )
    started = time.perf_counter()
    if out:
        check_results(out, _REPORT, data, force=force)
    dataset = dataset_options.open(data, runtime.cache)
    extractors, left_out = open_candidates(
        names, runtime.extractor, allow_download=allow_download, note=note
    )
    with progress() as bars:
        found = measure(
            dataset, extractors, balance=balance, seed=seed, left_out=left_out, bars=bars.bar
        )
    if out:
        _write(found, out)
        write_results_page(out)
    warn([*found.warnings, *(found.largest_class.warnings if found.largest_class else ())])
    warn(f"{one.name} is excluded: {one.reason}" for one in found.left_out)
    if as_json:
        print_json(found)
    else:
        _describe(found, out, time.perf_counter() - started)
    return found.recommendation.backbone


def _listed(backbones: str | None) -> list[str] | None:
    if backbones is None:
        return None
    names = [name for name in backbones.split(",") if name.strip()]
    if not names:
        raise BackboneError(
            f"--backbones {backbones!r} contains no name; separate names by commas, such as "
            "efficientnet-lite0,resnet18"
        )
    return names


def _write(found: Comparison, folder: Path) -> None:
    from headstart import plots
    from headstart.evaluation.report import write_csv
    from headstart.system.serialization import to_json, write_json

    write_json(folder / _REPORT, found)
    rows = to_json(found)["backbones"]
    for row in rows:
        low, high = row.pop("interval")
        row.update(low=low, high=high, stages=" ".join(row["stages"]))
    write_csv(rows, folder / "comparison.csv")
    plots.save(plots.accuracy_and_cost(found), folder / "comparison.png")


def _describe(found: Comparison, out: Path | None, seconds: float) -> None:
    header = [
        "", "backbone", "accuracy", "95% interval", "images", "layer", "core-ms", "images/s",
        "parameters", "multiply-adds", "memory", "license", "top-1",
    ]  # fmt: skip
    rows = [_cells(one, found) for one in found.backbones]
    table(header, rows, right={2, 4, 6, 7, 8, 9, 10, 12}, least=[12, 11, 10, 9, 8, 4, 5, 7, 3])
    say("")
    paragraph("* Pareto-optimal: no other backbone is both at least as accurate and as cheap")
    paragraph(
        "core-ms: CPU time of a prediction, all cores together; images/s: the network alone on "
        f"{found.cores} cores; "
        "memory: peak of the process; top-1: published ImageNet accuracy"
    )
    if any(not one.complete for one in found.backbones):
        paragraph(
            "fewer images: stopped early; significantly less accurate than one that costs no more"
        )
    say("")
    images = f"{found.data}: {pluralize(found.images, 'image')}, {len(found.classes):,} classes"
    facts(
        [
            ("data", images),
            ("scenes", found.series.text(found.images) if found.series else None),
            *breakdown_facts(found.largest_class, ()),
            *left_out_facts(
                found, duplicates=found.duplicates, file=out / _REPORT if out else None
            ),
            ("advice", f"{found.recommendation.sentence}."),
            ("choice", _choice(found)),
            ("time", f"{seconds:.1f} s"),
            ("written", str(out) if out else None),
        ]
    )


def _choice(found: Comparison) -> str | None:
    """Return the accuracy of the whole procedure, including the choice of a backbone."""
    if not found.recommendation.against:
        return None
    accuracy = found.recommendation.accuracy
    return f"accuracy {accuracy} if the backbone is also chosen without the test fold"


def _cells(one: BackboneResult, found: Comparison) -> list[str]:
    memory, interval = one.cost.memory_bytes, one.accuracy.interval
    return [
        "*" if one.name in found.frontier else "",
        one.name,
        f"{one.accuracy.value:.3f}",
        f"{interval.low:.3f} to {interval.high:.3f}",
        f"{one.accuracy.images:,}",
        layer_text(one.stages),
        f"{one.milliseconds:.1f}",
        f"{one.cost.images_per_second:,.0f}",
        "-" if one.parameters is None else f"{one.parameters / 1e6:.1f} M",
        "-" if one.multiply_adds is None else f"{one.multiply_adds / 1e9:.2f} G",
        "-" if memory is None else f"{memory / 1e6:,.0f} MB",
        one.license,
        "-" if one.top1 is None else f"{one.top1:.3f}",
    ]
