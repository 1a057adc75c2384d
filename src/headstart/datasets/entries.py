"""What every source of images is read into, before it becomes an `ImageDataset`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from headstart.datasets.dataset import ImageDataset
from headstart.types import Skipped, Split

_SPLIT_NAMES: Final = {
    "train": Split.TRAIN,
    "training": Split.TRAIN,
    "val": Split.VALIDATION,
    "valid": Split.VALIDATION,
    "validation": Split.VALIDATION,
    "dev": Split.VALIDATION,
    "test": Split.TEST,
    "testing": Split.TEST,
}


@dataclass(frozen=True, slots=True)
class ImageEntry:
    """One image that was found, not opened yet."""

    path: Path
    label: str
    split: Split | None = None


def split_named(name: str) -> Split | None:
    """The split that a folder's name or a table's value stands for, in any case."""
    return _SPLIT_NAMES.get(name.strip().casefold())


def assembled(
    name: str,
    entries: Iterable[ImageEntry],
    skipped: Iterable[Skipped],
    *,
    license: str = "unstated",
) -> ImageDataset:
    """Sort the entries by class and path, whatever order they were found in, and number them."""
    ordered = sorted(entries, key=lambda entry: (entry.label, str(entry.path)))
    classes = tuple(sorted({entry.label for entry in ordered}))
    index = {label: number for number, label in enumerate(classes)}
    splits = tuple(entry.split for entry in ordered if entry.split is not None)
    if len(splits) not in (0, len(ordered)):
        raise ValueError("either all entries name their split or none does")
    return ImageDataset(
        name=name,
        paths=tuple(entry.path for entry in ordered),
        labels=np.array([index[entry.label] for entry in ordered], dtype=np.int64),
        classes=classes,
        splits=splits,
        skipped=tuple(sorted(skipped, key=lambda one: (one.path, one.reason))),
        license=license,
    )
