"""What an accuracy is worth, in lines: compared with the largest class, and class by class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from headstart.cli.console import cell_width, padded, printable, window_width
from headstart.system.text import pluralize

if TYPE_CHECKING:
    from headstart.evaluation.breakdown import ClassRecall, LargestClass

_ALL: Final = 8
"""With so many classes or fewer, all are listed; of more, the worst `_WORST` with errors."""
_WORST: Final = 5
_SHORTEST: Final = 15
"""Characters of a name that are shown in any window."""


def breakdown_facts(
    largest: LargestClass | None, recalls: Sequence[ClassRecall], *, width: int = 10
) -> Iterator[tuple[str, str | list[str]]]:
    """Yield labeled lines for `facts`: the largest class, and the recall of the worst classes.

    `width` is that of the labels.
    """
    if largest:
        answer = f"always answering {largest.label}, {largest.correct:,} of {largest.images:,}"
        yield "baseline", f"{largest.accuracy:.3f} ({answer} images)"
    if len(recalls) > 1:
        window = window_width()
        yield "recall", _recall_lines(recalls, window and window - width)


def _recall_lines(recalls: Sequence[ClassRecall], columns: int | None) -> list[str]:
    if recalls[0].value == 1:
        return [f"1.000 for each of {pluralize(len(recalls), 'class', 'classes')}"]
    count = len(recalls)
    if count > _ALL:
        count = sum(one.value < 1 for one in recalls[:_WORST])
    listed, others = recalls[:count], recalls[count:]
    numbers = [
        f"{one.value:.3f} ({one.interval.low:.3f} to {one.interval.high:.3f}, "
        f"{one.correct:,} of {one.images:,})"
        for one in listed
    ]
    names = [printable(one.label) for one in listed]
    if columns is not None:
        room = max(columns - 2 - max(map(len, numbers)), _SHORTEST)
        names = [_cut(name, room) for name in names]
    wide = max(map(cell_width, names))
    lines = [f"{padded(name, wide)}  {text}" for name, text in zip(names, numbers, strict=True)]
    if others:
        lowest, highest = f"{others[0].value:.3f}", f"{others[-1].value:.3f}"
        values = lowest if lowest == highest else f"{lowest} to {highest}"
        lines.append(f"{pluralize(len(others), 'other class', 'other classes')}: {values}")
    return lines


def _cut(name: str, room: int) -> str:
    """Return a name without its middle if it is too long: both ends tell similar names apart."""
    if cell_width(name) <= room:
        return name
    room = room * len(name) // cell_width(name)  # characters instead of columns
    half = (room - 3) // 2
    return f"{name[: room - 3 - half]}...{name[-half:]}"
