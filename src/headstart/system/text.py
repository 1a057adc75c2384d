"""Plurals, and shortened lists of names."""

from collections import Counter
from collections.abc import Iterable, Sequence


def pluralize(count: int, one: str, many: str = "") -> str:
    """Return a number with its noun: "1 image", "1,000 images"; `many` defaults to an added s."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def join_names(names: Sequence[str], most: int = 10) -> str:
    """Return the first names separated by commas, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def count_reasons(reasons: Iterable[str], most: int = 5) -> str:
    """Return how often each reason occurs, the most frequent first: "3 no label, 1 a folder"."""
    counts = Counter(reasons).most_common()
    return join_names([f"{count:,} {reason}" for reason, count in counts], most)
