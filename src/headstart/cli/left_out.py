"""What is said of images and files that were not used."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from headstart.cli.console import one_line, say
from headstart.system.text import pluralize
from headstart.types import Skipped

_LISTED = 5
"""Files that are named; thousands of them would hide the result."""


def copies_text(copies: int) -> str:
    """Of copies."""
    return f"{pluralize(copies, 'identical image counts', 'identical images count')} once"


def seen_text(seen: int) -> str:
    """Of test images that are no test."""
    return f"{pluralize(seen, 'image')} that the model was trained on"


def say_skipped(skipped: Sequence[Skipped], file: Path | None, *, width: int = 10) -> None:
    """The first files that could not be used, each with its reason; nothing if there are none.

    Damaged images come before what never was one.

    Args:
        skipped: all of them.
        file: where all are listed.
        width: of the column that says what a line is about.
    """
    from headstart.images.formats import NOT_AN_IMAGE, looks_like_image

    if not skipped:
        return
    listed = sorted(
        skipped, key=lambda one: (one.reason == NOT_AN_IMAGE, not looks_like_image(one.path))
    )[:_LISTED]
    where = f"; all in {file}" if file else ""
    say("skipped".ljust(width) + pluralize(len(skipped), "file") + where)
    for one in listed:
        say(" " * width + one_line(f"{one.path} ({one.reason})"))
    if len(skipped) > _LISTED:
        say(" " * width + f"and {len(skipped) - _LISTED:,} more")
