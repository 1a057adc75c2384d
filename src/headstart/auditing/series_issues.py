"""Series of photos of the same scene, which count less than as many independent photos."""

from pathlib import Path
from typing import Final

import numpy as np

from headstart.auditing.issue import Issue, IssueKind, LabeledImages
from headstart.series.series import Series
from headstart.system.text import join_names, pluralize
from headstart.types import Labels

ADVICE: Final = (
    "'headstart fit' keeps each series in one part of every split, so nothing has to be dropped; "
    "if you know what belongs together, say so with --group-by, such as --group-by time:60"
)
_NAMES: Final = 4


def series_issues(
    images: LabeledImages, rows: Labels, series: Series, *, copies: Labels
) -> list[Issue]:
    """Return an issue for each series of several images.

    Args:
        images: All images.
        rows: (M,) rows of the images that were searched.
        series: Their groups.
        copies: (N,) the group of copies of each image. A series within one is left out.
    """
    inside = np.flatnonzero(series.sizes > 1)
    order = inside[np.argsort(series.groups[inside], kind="stable")]
    starts = np.flatnonzero(np.diff(series.groups[order], prepend=-1))
    return [
        _issue(images, sorted(rows[members].tolist(), key=lambda row: images.paths[row]))
        for members in np.split(order, starts[1:])
        if len(np.unique(copies[rows[members]])) > 1
    ]


def _issue(images: LabeledImages, members: list[int]) -> Issue:
    names = [Path(images.paths[row]).name for row in members]
    labels = sorted({images.label(row) for row in members})
    evidence = [f"{pluralize(len(members), 'image')}: {join_names(names, _NAMES)}"]
    if len(labels) > 1:
        evidence.append(f"of the classes {join_names(labels)}")
    if parts := {images.splits[row] for row in members} if images.splits else set():
        evidence.append(f"in the {' and '.join(sorted(parts))} part{'s' * (len(parts) > 1)}")
    return Issue(
        path="",
        kind=IssueKind.SERIES,
        score=1 - 1 / len(members),
        label=labels[0] if len(labels) == 1 else "",
        evidence=", ".join(evidence),
        other_path=images.paths[members[0]],
    )
