"""The features of several views of the same images, side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from headstart.backbones.backbone import Backbone
from headstart.errors import BackboneError
from headstart.features.extraction import Features
from headstart.features.views import View, qualified, view_and_stage
from headstart.images.notes import ImageNote
from headstart.system.text import join_names
from headstart.types import ProgressCallback


def stages_by_view(
    backbones: Mapping[View | None, Backbone], names: Sequence[str] | None
) -> dict[View | None, list[str]]:
    """Return the stages that are needed of each view, which is None for the first.

    Args:
        backbones: The network of each view.
        names: Names of stages, those of further views qualified; by default all stages.

    Raises:
        BackboneError: There is no such view.
    """
    if not names:
        return {view: [stage.name for stage in one.stages] for view, one in backbones.items()}
    known = {str(view): view for view in backbones if view is not None}
    found: dict[View | None, list[str]] = {}
    for name in names:
        text, stage = view_and_stage(name)
        if text is not None and text not in known:
            raise BackboneError(f"there is no view {text!r} among {join_names(list(known))}")
        found.setdefault(None if text is None else known[text], []).append(stage)
    return found


def join_features(parts: Mapping[View | None, Features]) -> Features:
    """Combine the features of several views, for images that were readable and the same in each."""
    digests = [dict(zip(part.rows.tolist(), part.digests, strict=True)) for part in parts.values()]
    first = next(iter(parts.values()))
    # A file may have vanished or changed between two passes.
    rows = np.array(
        [row for row, digest in digests[0].items() if all(d.get(row) == digest for d in digests)],
        dtype=np.int64,
    )
    skipped = {one.path: one for part in parts.values() for one in part.skipped}
    values = {}
    for view, part in parts.items():
        kept = np.searchsorted(part.rows, rows)
        for stage, array in part.values.items():
            name = stage if view is None else qualified(view, stage)
            values[name] = array if len(rows) == len(part) else array[kept]
    return replace(
        first,
        values=values,
        rows=rows,
        digests=tuple(digests[0][row] for row in rows.tolist()),
        skipped=tuple(skipped.values()),
        notes=_joined_notes([part.notes for part in parts.values()]),
        cached=min(part.cached for part in parts.values()),
        computed=max(part.computed for part in parts.values()),
        seconds=sum(part.seconds for part in parts.values()),
    )


def _joined_notes(
    notes: Sequence[Mapping[ImageNote, frozenset[str]]],
) -> dict[ImageNote, frozenset[str]]:
    found: dict[ImageNote, frozenset[str]] = {}
    for part in notes:
        for note, digests in part.items():
            found[note] = found.get(note, frozenset()) | digests
    return found


def part_of(progress: ProgressCallback, number: int, count: int) -> ProgressCallback:
    """Return a callback for one of several passes over the same images."""

    def advance(done: int, total: int) -> None:
        progress(number * total + done, count * total)

    return advance
