"""What a campaign is: many tries of one kind, each with a verdict."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TypeAlias

Tries: TypeAlias = Callable[[Path, int, Random], Iterator[str | None]]
"""Maps an empty folder, a number of tries and a source of chance to the verdict of each try: None,
or in words what went wrong, with what is needed to repeat it."""


@dataclass(frozen=True, slots=True)
class Campaign:
    """Many tries of one kind.

    Attributes:
        kind: what is tried, as the report's row says it.
        failure: what counts as a failure.
        tries: makes the tries and yields their verdicts.
        full: number of tries of `make campaign`.
        short: number of tries of `make test`, a few seconds at most.
        needs: why this cannot be tried here, or None; such as a missing permission.
        slow: whether the short form takes more than a second, so that `make check` leaves it out.
    """

    kind: str
    failure: str
    tries: Tries
    full: int
    short: int
    needs: Callable[[], str | None] = lambda: None
    slow: bool = False


@dataclass(frozen=True, slots=True)
class Tally:
    """The result of a campaign.

    Attributes:
        kind: what was tried.
        failure: what counts as a failure.
        tries: number of tries made.
        failures: what went wrong, one text per failed try.
        seconds: wall-clock time.
        missing: why nothing was tried, or why fewer tries were made than planned, or None.
        peak: most memory that a process held, in MB.
    """

    kind: str
    failure: str
    tries: int
    failures: tuple[str, ...]
    seconds: float
    missing: str | None = None
    peak: int = 0
