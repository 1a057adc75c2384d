"""The one form that every source of labeled images is brought to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from headstart.types import ClassLevel, Labels, Skipped, Split


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageDataset:
    """Image files with a label each.

    Attributes:
        name: what the user called it, for messages and the model card.
        paths: N files, in a fixed order (sorted by class and path).
        labels: (N,) int64 indices into `classes`.
        classes: the class names, sorted.
        splits: one per image where the data say which part it belongs to; else empty.
        skipped: files and folders that were found and cannot be used.
        license: what the source says of itself, "unstated" where it says nothing.
    """

    name: str
    paths: tuple[Path, ...]
    labels: Labels
    classes: tuple[str, ...]
    splits: tuple[Split, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    license: str = "unstated"

    def __len__(self) -> int:
        return len(self.paths)

    def subset(self, rows: np.ndarray) -> ImageDataset:
        """The images at `rows` (indices or a mask), classes unchanged."""
        chosen = np.arange(len(self))[rows]
        return replace(
            self,
            paths=tuple(self.paths[row] for row in chosen),
            labels=self.labels[chosen],
            splits=tuple(self.splits[row] for row in chosen) if self.splits else (),
        )

    def regrouped(self, level: ClassLevel) -> ImageDataset:
        """The same images, classes named by one part of the folders' path."""
        if level is ClassLevel.PATH:
            return self
        place = 0 if level is ClassLevel.FIRST else -1
        names = [name.split("/")[place] for name in self.classes]
        classes = tuple(sorted(set(names)))
        index = np.array([classes.index(name) for name in names], dtype=np.int64)
        return replace(self, classes=classes, labels=index[self.labels])

    def for_testing(self) -> ImageDataset:
        """The test part, or else the validation part, or else everything."""
        for split in (Split.TEST, Split.VALIDATION):
            if split in self.splits:
                return self.part(split)
        return self

    def part(self, *splits: Split) -> ImageDataset:
        """The images of these splits; none where the data has no splits."""
        return self.subset(np.array([split in splits for split in self.splits], dtype=bool))
