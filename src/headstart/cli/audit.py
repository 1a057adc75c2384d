"""headstart audit."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from headstart.cli import options as shared
from headstart.cli.console import facts, print_json, progress, warn
from headstart.cli.fit import fit
from headstart.cli.result_files import check_results
from headstart.errors import UserError
from headstart.system.option import Option
from headstart.system.text import pluralize
from headstart.types import DEFAULT_BACKBONE

if TYPE_CHECKING:
    from headstart.auditing.audit import Audit
    from headstart.auditing.issue import Issue

_LISTED = 3
"""Issues of each kind to list; audit.csv has all of them."""


def audit(
    data: shared.Data,
    *,
    out: shared.Folder,
    force: shared.Force = False,
    apply: Annotated[Path | None, Option(metavar="CSV")] = None,
    backbone: shared.BackboneName = DEFAULT_BACKBONE,
    dataset_options: shared.DatasetOptions,
    runtime: shared.RuntimeOptions,
    seed: shared.Seed = 0,
    as_json: shared.Json = False,
) -> int | None:
    """Find wrong labels, copies, outliers and unusable images; nothing is moved or deleted.

    Options:
        out: Folder for audit.csv and a page of images; with --apply, the folder of the model.
        apply: Train a model as 'headstart fit' does, without the images that this reviewed
            audit.csv drops and with the labels that it corrects (its column 'action').
    """
    if apply is not None:
        if dataset_options.review is not None:
            raise UserError("--apply and --review are both given; give one of them")
        fit(
            data,
            out=out,
            force=force,
            backbone=backbone,
            dataset_options=replace(dataset_options, review=apply),
            runtime=runtime,
            seed=seed,
            as_json=as_json,
        )
        return 0
    from headstart.auditing.audit import audit as search
    from headstart.auditing.report_folder import TABLE, write_audit
    from headstart.cli.next_steps import next_step
    from headstart.datasets.review import count_actions

    started = time.perf_counter()
    check_results(out, TABLE, data, force=force)
    if reviewed := count_actions(out / TABLE):
        raise UserError(
            f"{out / TABLE} has an action in {pluralize(reviewed, 'row')}, which would be lost; "
            "choose another folder, or move the table"
        )
    dataset = dataset_options.open(data, runtime.cache, require_classes=1)
    extractor = runtime.extractor(backbone)
    with progress() as bars:
        found = search(dataset, extractor, seed=seed, watch=bars.bar)
    given = {"data": data, "out": out, "apply": None, "allow_code": runtime.allow_code}
    result = len(found.issues) if found.classes > 1 else None
    step = next_step("audit", given | asdict(dataset_options), result)
    write_audit(found, out, command=step and step.command)
    found = replace(found, seconds=time.perf_counter() - started)
    warn(extractor.warnings)
    if as_json:
        print_json(found)
    else:
        facts(_lines(found, out), width=18)
    return result


def _lines(found: Audit, out: Path) -> Iterator[tuple[str, str | list[str]]]:
    from headstart.auditing.issue import IssueKind
    from headstart.auditing.series_issues import ADVICE

    images = pluralize(found.images, "image")
    yield "data", f"{found.data}: {images}, {pluralize(found.classes, 'class', 'classes')}"
    for kind, count in found.counts.items():
        listed = [_text(one) for one in found.of_kind(kind)[:_LISTED]]
        more = [f"and {count - _LISTED:,} more"] if count > _LISTED else []
        yield kind, [*listed, *more, *([ADVICE] if kind == IssueKind.SERIES else [])]
    if not found.issues:
        yield "issues", "none found"
    if found.label_check is None:
        few = "too few images of two classes to hold any out"
        if found.classes < 2:
            few = "there is only one class; to train, add images of another"
        yield "not checked", f"labels: {few}"
    yield "time", f"{found.seconds:.1f} s"
    yield "written", f"{out / 'index.html'} to look at, {out / 'audit.csv'} to review"


def _text(issue: Issue) -> str:
    """Return an issue in one line."""
    change = f" -> {issue.suggested_label}" if issue.suggested_label else ""
    label = f" ({issue.label}{change})" if issue.path and issue.label else f"{issue.label}{change}"
    reason = f"{': ' if issue.path or issue.label else ''}{issue.evidence}"
    return f"{issue.path}{label}{reason}"
