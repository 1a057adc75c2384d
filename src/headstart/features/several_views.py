"""Stages and progress of several views of the same images."""

from collections.abc import Mapping, Sequence

from headstart.backbones.backbone import Backbone
from headstart.errors import BackboneError
from headstart.features.views import View, view_and_stage
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
        return {view: [stage.name for stage in one.outputs] for view, one in backbones.items()}
    known = {str(view): view for view in backbones if view is not None}
    found: dict[View | None, list[str]] = {}
    for name in dict.fromkeys(names):
        text, stage = view_and_stage(name)
        if text is not None and text not in known:
            raise BackboneError(f"there is no view {text!r} among {join_names(list(known))}")
        found.setdefault(None if text is None else known[text], []).append(stage)
    return found


def part_of(progress: ProgressCallback, number: int, count: int) -> ProgressCallback:
    """Return a callback for one of several passes over the same images."""

    def advance(done: int, total: int) -> None:
        progress(number * total + done, count * total)

    return advance
