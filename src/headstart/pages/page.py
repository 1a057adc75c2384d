"""What a page consists of: sections of text, tables, figures and images.

A page is one HTML file that is readable at the width of a telephone, in print, on dark screens and
by keyboard. Without JavaScript, only the sorting of its tables is missing. All text is data: names
of files and classes may contain anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Literal, TypeAlias

from headstart.types import Interval

Order: TypeAlias = Literal["ascending", "descending"]
CARD_SIDE: Final = 160
"""Width and height at most of an image on a card, in CSS pixels."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A number in a table.

    Attributes:
        text: The number as it is shown.
        order: What its column is sorted by; None for an unknown number, which comes last.
        share: The number if a bar is to be drawn for it, in [0, 1].
        interval: An interval around it, which is written after it and drawn on the bar.
    """

    text: str
    order: float | None
    share: float | None = None
    interval: Interval | None = None

    @classmethod
    def of(cls, number: float | None, form: str = ",") -> Cell:
        """Return a number in a format; a dash for None."""
        return cls("–", None) if number is None else cls(format(number, form), number)

    @classmethod
    def percent(cls, share: float | None, interval: Interval | None = None) -> Cell:
        """Return a share as a percentage with a bar, and with its interval if there is one."""
        if share is None:
            return cls("–", None)
        return cls(f"{share:.1%}", share, share, interval)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table that the reader can sort by each column.

    Attributes:
        name: What it lists, for screen readers.
        columns: The headings.
        rows: The cells; a `Cell` is a number, other cells are text.
        sorted_by: The column that the rows are sorted by, and how; None if by something else.
    """

    kind: ClassVar = "table"
    name: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str | Cell]]
    sorted_by: tuple[int, Order] | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """Labels with a text each; those whose text is None are not shown."""

    kind: ClassVar = "facts"
    rows: Sequence[tuple[str, str | None]]


@dataclass(frozen=True, slots=True)
class Matrix:
    """A confusion matrix.

    Attributes:
        names: K class names.
        counts: (K, K) number of images, row = truth, column = prediction.
    """

    kind: ClassVar = "matrix"
    names: Sequence[str]
    counts: Sequence[Sequence[int]]


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure.

    Attributes:
        source: The image as a `data:` URI.
        width: Its width in CSS pixels.
        text: What it shows, for those who cannot see it.
    """

    kind: ClassVar = "figure"
    source: str
    width: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One or more images with their captions.

    Attributes:
        images: The images as `data:` URIs; None for one that cannot be read.
        title: The first line.
        note: Further words about them.
        path: The file.
    """

    images: Sequence[str | None]
    title: str
    note: str = ""
    path: str = ""


@dataclass(frozen=True, slots=True)
class Cards:
    """A grid of images."""

    kind: ClassVar = "cards"
    cards: Sequence[Card]


@dataclass(frozen=True, slots=True)
class Command:
    """A command line."""

    kind: ClassVar = "command"
    text: str


Part: TypeAlias = str | Table | Facts | Matrix | Figure | Cards | Command
"""A text is a paragraph."""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a page with a heading."""

    title: str
    parts: Sequence[Part]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page.

    Attributes:
        title: The heading.
        summary: What it says in plain words, a paragraph each.
        sections: The sections.
    """

    title: str
    summary: Sequence[str]
    sections: Sequence[Section]
