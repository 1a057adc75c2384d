"""What is said of images and files that were not used."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from headstart.types import Skipped
from headstart.wording import counted


def copies_text(copies: int) -> str:
    """Of copies."""
    return f"{counted(copies, 'identical image counts', 'identical images count')} once"


def seen_text(seen: int) -> str:
    """Of test images that are no test."""
    return f"{counted(seen, 'image')} that the model was trained on"


def skipped_text(skipped: Sequence[Skipped], where: Path | None) -> str:
    """Of files, with an example: rather a damaged image than what never was one.

    Args:
        skipped: one or more.
        where: what holds them all.
    """
    from headstart.images import NO_IMAGE, looks_like_image

    first = min(skipped, key=lambda one: (one.reason == NO_IMAGE, not looks_like_image(one.path)))
    such = ":" if len(skipped) == 1 else ", such as"
    file = f"; all in {where}" if where else ""
    return f"{counted(len(skipped), 'file')}{such} {first.path} ({first.reason}){file}"
