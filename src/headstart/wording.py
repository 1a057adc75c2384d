"""Words that depend on a number."""

from __future__ import annotations


def counted(count: int, one: str, many: str = "") -> str:
    """A number and what it counts: "1 image", "1,000 images".

    Args:
        count: how many.
        one: what a single one is called.
        many: what others are called; by default `one` with an s.
    """
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"
