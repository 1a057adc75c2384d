"""What an accuracy is worth, in lines: compared with the largest class, and class by class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from headstart.system.text import pluralize

if TYPE_CHECKING:
    from headstart.evaluation.breakdown import ClassRecall, LargestClass

_ALL: Final = 8
"""With so many classes or fewer, all are listed; of more, the `_WORST`."""
_WORST: Final = 5
_NAME: Final = 22
"""Characters of a class name: lines fit 80 columns."""


def breakdown_facts(
    largest: LargestClass | None, recalls: Sequence[ClassRecall]
) -> Iterator[tuple[str, str | list[str]]]:
    """Yield labeled lines for `facts`: the largest class, and the recall of the worst classes."""
    if largest:
        answer = f"always answering {largest.label}, {largest.correct:,} of {largest.images:,}"
        yield "baseline", f"{largest.accuracy:.3f} ({answer} images)"
    if len(recalls) > 1:
        yield "recall", _recall_lines(recalls)


def _recall_lines(recalls: Sequence[ClassRecall]) -> list[str]:
    if recalls[0].value == 1:
        return [f"1.000 for each of {pluralize(len(recalls), 'class', 'classes')}"]
    count = len(recalls) if len(recalls) <= _ALL else _WORST
    listed, others = recalls[:count], recalls[count:]
    names = [_short(one.label) for one in listed]
    width = max(map(len, names))
    lines = [
        f"{name:{width}}  {one.value:.3f} ({one.interval.low:.3f} to {one.interval.high:.3f}, "
        f"{one.correct:,} of {one.images:,})"
        for name, one in zip(names, listed, strict=True)
    ]
    if others:
        lowest, highest = others[0].value, others[-1].value
        lines.append(f"{len(others):,} other classes: {lowest:.3f} to {highest:.3f}")
    return lines


def _short(name: str) -> str:
    """Return a name without its middle if it is too long: both ends tell similar names apart."""
    return name if len(name) <= _NAME else f"{name[:11]}...{name[-8:]}"
