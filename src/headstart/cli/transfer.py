"""headstart transfer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from headstart.cli import options as shared
from headstart.cli.console import facts, paragraph, print_json, progress, say, table, warn
from headstart.cli.result_files import check_results
from headstart.cli.results_page import write_results_page
from headstart.cli.summary import layer_text, left_out_facts
from headstart.system.option import Option
from headstart.system.text import pluralize
from headstart.types import DEFAULT_BACKBONE

if TYPE_CHECKING:
    from headstart.evaluation.paired_tests import PairedTest
    from headstart.transfer.paired_scores import ClassifierScore
    from headstart.transfer.result import TransferReport

_RESULTS = "transfer.json"
_UNUSUAL = 0.3
"""Shift from the pre-training data above which images are not ordinary photos; docs/transfer.md."""


def transfer(
    data: shared.Data,
    *,
    out: shared.Folder,
    force: shared.Force = False,
    backbone: shared.BackboneName = DEFAULT_BACKBONE,
    images: Annotated[int, Option(low=2)] = 2_000,
    dataset_options: shared.DatasetOptions,
    runtime: shared.RuntimeOptions,
    seed: shared.Seed = 0,
    as_json: shared.Json = False,
) -> None:
    """Measure how well a backbone transfers to your images.

    Options:
        out: Folder for the numbers, the plot and a page.
        images: Use about this many images at most.
    """
    check_results(out, _RESULTS, data, force=force)

    from headstart import plots
    from headstart.system.serialization import write_json
    from headstart.transfer.transfer_report import measure_transfer

    dataset = dataset_options.open(data, runtime.cache)
    extractor = runtime.extractor(backbone)
    with progress() as bars:
        found = measure_transfer(
            dataset,
            extractor,
            images=images,
            seed=seed,
            named=data,
            options=_further_options(backbone, dataset_options, runtime),
            watch=bars.bar,
        )
    write_json(out / _RESULTS, found)
    plots.save(plots.transfer_figure(found), out / "transfer.png")
    write_results_page(out)
    warn(extractor.warnings)
    if as_json:
        print_json(found)
    else:
        _describe(found, out)


def _further_options(
    backbone: str, dataset_options: shared.DatasetOptions, runtime: shared.RuntimeOptions
) -> dict[str, str]:
    """Return the options that the recommended command needs to see the same images."""
    network = {} if backbone == DEFAULT_BACKBONE else {"--backbone": backbone}
    if runtime.weights:
        network["--weights"] = str(runtime.weights)
    flags = {"--allow-code": ""} if runtime.allow_code else {}
    return network | dataset_options.arguments() | flags


def _describe(found: TransferReport, out: Path) -> None:
    from headstart.transfer.advice import UNKNOWN_COST

    chosen, last = found.chosen, found.last
    sampled = f"sampled from {found.available:,} with seed {found.seed}"
    images = f"{found.data}: {pluralize(found.images, 'image')}, {len(found.classes):,} classes"
    facts(
        [
            ("data", [images, sampled] if found.available > found.images else images),
            ("backbone", found.backbone),
        ],
        width=11,
    )
    say("")
    compared = [
        (f"chosen: {layer_text(chosen.detail.split(' + '))}", chosen),
        *((f"{one.name} ({one.detail})", one) for one in found.baselines),
    ]
    rows = [
        *(_row(one.name, one) for one in found.stages),
        *(_row(name, one, one.minus(last)) for name, one in compared),
    ]
    table(["classifier on", "accuracy", "95% interval", "vs. last layer"], rows, right={1})
    say("")
    paragraph(
        "chosen: selected again without each fold, so it can differ from the row of that stage"
    )
    say("")
    facts(
        [
            ("gain", _gain(found)),
            ("warning", _negative_transfer(found)),
            ("distance", _distance(found)),
            ("nearest", _nearest(found)),
            ("more data", str(found.curve.sample_cost or UNKNOWN_COST)),
            ("scenes", found.series.text(found.images) if found.series else None),
            *left_out_facts(found, duplicates=found.duplicates, file=out / _RESULTS),
            ("time", f"{found.seconds:.1f} s"),
            ("written", str(out)),
        ],
        width=11,
    )
    say("")
    paragraph(found.advice.sentence)
    say(f"  {found.advice.command}")


def _gain(found: TransferReport) -> list[str]:
    chosen, random = found.chosen, found.baselines[-1]
    compared = f"chosen layer, {chosen.accuracy.value:.3f}, over the same network with random"
    compared += f" weights, {random.accuracy.value:.3f}"
    return [f"{_points(found.gain)} from pre-training:", compared]


def _negative_transfer(found: TransferReport) -> list[str]:
    """Say which classifiers without pre-training are better than which layer."""
    lines = []
    for layer, reference in (("last layer", found.last), ("chosen layer", found.chosen)):
        for one in found.better_baselines(reference):
            compared = f"{one.name}, {one.accuracy.value:.3f}, over the pre-trained {layer}"
            lines.append(f"NEGATIVE TRANSFER, {_points(one.minus(reference))}:")
            lines.append(f"{compared}, {reference.accuracy.value:.3f}")
    return lines


def _distance(found: TransferReport) -> str:
    if found.distance is None:
        return "unknown: the network has no batch normalization"
    shift = found.distance.shift
    scale = "like ordinary photos" if shift < _UNUSUAL else "farther away than ordinary photos"
    return f"{shift:.2f} standard deviations from the pre-training data, {scale}"


def _nearest(found: TransferReport) -> str | None:
    if found.nearest_classes is None:
        return None
    near = ", ".join(f"{name} {share:.1%}" for name, share in found.nearest_classes.overall)
    return f"{near}; mean confidence {found.nearest_classes.confidence:.2f}"


def _row(name: str, one: ClassifierScore, difference: PairedTest | None = None) -> list[str]:
    interval = one.accuracy.interval
    return [
        name,
        f"{one.accuracy.value:.3f}",
        f"{interval.low:.3f} to {interval.high:.3f}",
        _points(difference) if difference else "",
    ]


def _points(gain: PairedTest) -> str:
    return f"{100 * gain.difference:+.1f} points ({100 * gain.low:+.1f} to {100 * gain.high:+.1f})"
