"""The sections about comparison.json."""

from __future__ import annotations

from typing import Final

from pydantic import NonNegativeInt

from headstart.comparison.result import ExcludedBackbone
from headstart.pages.page import Cell, Part, Section, Table
from headstart.reporting.contents import Contents, left_out_sections
from headstart.reporting.results_folder import Document, Pair, ResultsFolder, Share
from headstart.system.text import pluralize
from headstart.types import Conflict, Skipped

COMPARISON: Final = "comparison.json"
_FIGURE: Final = "comparison.png"


class Backbone(Document):
    """One of the backbones; see `headstart.comparison.result.BackboneResult`."""

    name: str
    accuracy: Share
    interval: Pair
    images: NonNegativeInt
    complete: bool
    stages: tuple[str, ...]
    images_per_second: float | None
    core_milliseconds: float
    parameters: NonNegativeInt | None
    memory_bytes: NonNegativeInt | None
    license: str
    top1: Share | None
    frontier: bool


class Choice(Document):
    """The accuracy of the whole procedure, including the choice of a backbone."""

    accuracy: Share
    interval: Pair
    images: NonNegativeInt


class Recommendation(Document):
    """Which backbone to use."""

    backbone: str
    sentence: str
    choice: Choice


class ComparisonFile(Document):
    """comparison.json; see `headstart.comparison.result.Comparison.as_dict`."""

    data: str
    images: NonNegativeInt
    classes: tuple[str, ...]
    backbones: tuple[Backbone, ...]
    recommendation: Recommendation
    left_out: tuple[ExcludedBackbone, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    duplicates: NonNegativeInt = 0
    cores: NonNegativeInt


def comparison_contents(folder: ResultsFolder) -> Contents:
    """Return what a page says about a comparison of backbones.

    Raises:
        DataError: A file cannot be read, or headstart did not write it.
    """
    found = folder.document(COMPARISON, ComparisonFile)
    figure = folder.figure(_FIGURE, "Accuracy and cost of each backbone")
    parts: list[Part] = [figure] if figure else []
    choice = found.recommendation.choice
    again = (
        f"Accuracy {choice.accuracy:.1%} ({choice.interval.low:.1%} to {choice.interval.high:.1%}) "
        "if the backbone is also chosen without the test fold."
    )
    measured = (
        f"{pluralize(len(found.backbones), 'backbone')} measured on "
        f"{pluralize(found.images, 'image')} of {len(found.classes):,} classes, by "
        "cross-validation."
    )
    excluded = [(one.name, one.reason) for one in found.left_out]
    table = Table(name="Backbones left out", columns=["backbone", "reason"], rows=excluded)
    return Contents(
        title=f"Backbones compared on {found.data}",
        summary=[
            *_recommended(found),
            f"{found.recommendation.sentence}.",
            measured,
        ],
        sections=[
            Section("Accuracy and cost", [*parts, _table(found), _explained(found), again]),
            *([Section("Backbones left out", [table])] if excluded else []),
            *left_out_sections(found.skipped, found.conflicts, duplicates=found.duplicates),
        ],
        missing=[] if figure else [f"the figure: there is no {_FIGURE}"],
    )


def _recommended(found: ComparisonFile) -> list[str]:
    """Say in one line which backbone is recommended, and what it achieves."""
    return [
        f"Recommended: {one.name}. It is right on {one.accuracy:.1%} (95% interval "
        f"{one.interval.low:.1%} to {one.interval.high:.1%}), for {one.core_milliseconds:.1f} "
        "core-milliseconds an image."
        for one in found.backbones
        if one.name == found.recommendation.backbone
    ]


def _table(found: ComparisonFile) -> Table:
    rows = [
        (
            f"{one.name} (recommended)" if one.name == found.recommendation.backbone else one.name,
            Cell.percent(one.accuracy, one.interval),
            Cell.of(one.images),
            Cell.of(one.core_milliseconds, ",.1f"),
            Cell.of(one.images_per_second, ",.0f"),
            _scaled(one.parameters, "M"),
            _scaled(one.memory_bytes, "MB"),
            Cell.of(one.top1, ".1%"),
            "yes" if one.frontier else "",
            " + ".join(one.stages),
            one.license,
        )
        for one in found.backbones
    ]
    columns = [
        "backbone", "accuracy (95% interval)", "images", "core-ms", "images/s", "parameters",
        "memory", "ImageNet top-1", "Pareto-optimal", "stages", "license",
    ]  # fmt: skip
    return Table(name="Backbones", columns=columns, rows=rows, sorted_by=(3, "ascending"))


def _scaled(number: int | None, unit: str) -> Cell:
    """Return a number in millions."""
    return Cell.of(None) if number is None else Cell(f"{number / 1e6:,.1f} {unit}", number)


def _explained(found: ComparisonFile) -> str:
    fewer = (
        " Backbones with fewer images were stopped early: they are significantly less accurate "
        "than one that costs no more."
    )
    early = "" if all(one.complete for one in found.backbones) else fewer
    return (
        "Core-ms: CPU time of a prediction, all cores together. Images/s: the network alone on "
        f"{pluralize(found.cores, 'core')}. Pareto-optimal: no other backbone is both at least as "
        f"accurate and as cheap.{early}"
    )
