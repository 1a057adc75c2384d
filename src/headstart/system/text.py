"""Plurals, and shortened lists of names."""

from collections.abc import Sequence


def pluralize(count: int, one: str, many: str = "") -> str:
    """Return a number with its noun: "1 image", "1,000 images"; `many` defaults to an added s."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def join_names(names: Sequence[str], most: int = 10) -> str:
    """Return the first names separated by commas, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
