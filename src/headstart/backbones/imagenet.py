"""The 1,000 classes that most published backbones were trained on (ILSVRC 2012)."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def imagenet_classes() -> tuple[str, ...]:
    """Return the names of the classes, in the order of the logits.

    The names are the first of WordNet's synonyms. Three pairs of classes share a name and have a
    qualifier here ("crane (bird)", "crane (machine)"), so that every name is unique.
    """
    text = (files("headstart.backbones") / "imagenet_classes.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())
