"""The common representation of labeled images from any source."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, overload

import numpy as np

from headstart.datasets.class_names import class_name
from headstart.errors import DataError
from headstart.system.display import Plotted
from headstart.system.text import pluralize
from headstart.types import ClassLevel, Labels, Skipped, Split

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

_SPLIT_NAMES: Final = {
    **dict.fromkeys(("train", "training", "trainval"), Split.TRAIN),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev"), Split.VALIDATION),
    **dict.fromkeys(("eval", "evaluation"), Split.VALIDATION),
    **dict.fromkeys(("test", "testing", "holdout", "heldout"), Split.TEST),
}
_SPLIT_NAME: Final = re.compile(
    f"({'|'.join(sorted(_SPLIT_NAMES, key=len, reverse=True))})"
    r"(set|data|dataset|images?|imgs?|photos?|files?|split)?\d*"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageDataset(Plotted):
    """Image files with one label each.

    `dataset[3]` is the fourth image, upright and in RGB, and its label, an index into `classes`, as
    in torchvision; `dataset[:10]` is the data set of the first ten.

    Example:
        >>> import headstart
        >>> dataset = headstart.open_dataset("photos/")
        >>> image, label = dataset[0]
        >>> dataset.classes[label]
        'cat'

    Attributes:
        name: name of the data set, for messages and the model card.
        paths: N files in an order that does not depend on the order on disk.
        labels: (N,) int64 indices into `classes`.
        classes: K class names, sorted.
        splits: N splits if the source defines them, otherwise empty.
        skipped: files and folders that were found but cannot be used.
        license: the license stated by the source, "unstated" if there is none.
        groups: N names of the groups that images belong to, such as a camera or a patient; images
            of one group are not independent. "" is an image without a group. Empty if no groups
            were given.
        grouped_by: what the groups were taken from, such as "column:site".
        warnings: sentences about how the source was read that its owner should know.
        relabeled: number of images to which a review gave another label.
        weights: N weights in the training of the head, of mean 1. Empty if all are equal.
    """

    name: str
    paths: tuple[Path, ...]
    labels: Labels
    classes: tuple[str, ...]
    splits: tuple[Split, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    license: str = "unstated"
    groups: tuple[str, ...] = ()
    grouped_by: str = ""
    warnings: tuple[str, ...] = ()
    relabeled: int = 0
    weights: tuple[float, ...] = ()

    def __len__(self) -> int:
        return len(self.paths)

    def __repr__(self) -> str:
        images, classes = len(self), pluralize(len(self.classes), "class", "classes")
        return f"<ImageDataset {self.name}: {pluralize(images, 'image')}, {classes}>"

    @overload
    def __getitem__(self, row: int | np.integer) -> tuple[Image, int]: ...

    @overload
    def __getitem__(self, row: slice | np.ndarray) -> ImageDataset: ...

    def __getitem__(
        self, row: int | np.integer | slice | np.ndarray
    ) -> tuple[Image, int] | ImageDataset:
        """Return an image with its label, or the images of a slice, of indices or of a mask.

        Raises:
            IndexError: There is no such row.
            UnreadableImageError: The image cannot be decoded.
        """
        if isinstance(row, slice | np.ndarray):
            return self.subset(row)
        from headstart.images.decode import decode

        return decode(self.paths[row]), int(self.labels[row])

    def __iter__(self) -> Iterator[tuple[Image, int]]:
        return (self[row] for row in range(len(self)))

    def show_batch(self, count: int = 12, *, seed: int | None = None) -> Figure:
        """Draw some images with their labels; a notebook displays the figure.

        Args:
            count: Number of images at most.
            seed: Random seed of the choice; None for another choice each time.

        Raises:
            DataError: The data set has no images.
        """
        return self.plot(count=count, seed=seed)

    def subset(self, rows: np.ndarray | slice) -> ImageDataset:
        """Return the images at `rows` (indices, a mask or a slice) with unchanged classes."""
        chosen = np.arange(len(self))[rows]
        return replace(
            self,
            paths=tuple(self.paths[row] for row in chosen),
            labels=self.labels[chosen],
            splits=tuple(self.splits[row] for row in chosen) if self.splits else (),
            groups=tuple(self.groups[row] for row in chosen) if self.groups else (),
            weights=tuple(self.weights[row] for row in chosen) if self.weights else (),
        )

    def with_groups(self, groups: Sequence[str], *, source: str) -> ImageDataset:
        """Return the same images with N names of groups, "" for images on their own.

        Args:
            groups: N names, equal for images that are not independent of each other.
            source: what they were taken from, such as "column:site".

        Raises:
            DataError: there are more or fewer groups than images.
        """
        if len(groups) != len(self):
            raise DataError(f"{len(self)} images and {len(groups)} groups; give one for each image")
        return replace(self, groups=tuple(groups), grouped_by=source)

    def rename_classes(self, rename: Callable[[str], str]) -> ImageDataset:
        """Return the same images with renamed classes; classes of equal names are merged."""
        names = [rename(name) for name in self.classes]
        classes = tuple(sorted(set(names)))
        place = {name: number for number, name in enumerate(classes)}
        index = np.array([place[name] for name in names], dtype=np.int64)
        return replace(self, classes=classes, labels=index[self.labels])

    def with_class_level(self, level: ClassLevel) -> ImageDataset:
        """Return the same images with classes named by one level of their folder path."""
        if level not in (ClassLevel.FIRST, ClassLevel.LAST):
            return self
        part = 0 if level is ClassLevel.FIRST else -1
        return self.rename_classes(lambda name: name.split("/")[part])

    def in_split(self, split: Split) -> ImageDataset:
        """Return the images of one split; an empty data set if the source defines no splits."""
        return self.subset(np.array([one == split for one in self.splits], dtype=bool))

    def training_images(self) -> ImageDataset | None:
        """Return the training split; None without one."""
        return self.in_split(Split.TRAIN) if Split.TRAIN in self.splits else None

    def test_images(self) -> ImageDataset:
        """Return the test split; without one, the validation split; without either, all images."""
        for split in (Split.TEST, Split.VALIDATION):
            if split in self.splits:
                return self.in_split(split)
        return self


@dataclass(frozen=True, slots=True)
class ImageEntry:
    """An image found in a source and not opened yet.

    Attributes:
        path: the image file.
        label: the name of its class.
        split: the split it belongs to; None if the source defines no splits.
        group: the group it belongs to; "" if none is given.
    """

    path: Path
    label: str
    split: Split | None = None
    group: str = ""


def parse_split(name: str) -> Split | None:
    """Return the split that a folder name or table value denotes, or None.

    Case, blanks, "_" and "-" do not matter: "Train", "training_set", "hold-out", "val2017".
    """
    found = _SPLIT_NAME.fullmatch(re.sub(r"[\s_-]+", "", name.casefold()))
    return _SPLIT_NAMES[found[1]] if found else None


def build_dataset(
    name: str, entries: Iterable[ImageEntry], skipped: Iterable[Skipped]
) -> ImageDataset:
    """Sort entries by class and path, so that their order has no influence, and number the classes.

    Labels that differ only in how an accent is composed are one class. Either all entries have a
    split, or none has.
    """
    listed = list(entries)
    spelling = {label: class_name(label) for label in {entry.label for entry in listed}}
    ordered = sorted(listed, key=lambda entry: (spelling[entry.label], str(entry.path)))
    classes = tuple(sorted(set(spelling.values())))
    index = {name: number for number, name in enumerate(classes)}
    splits = tuple(entry.split for entry in ordered if entry.split is not None)
    if len(splits) not in (0, len(ordered)):
        raise ValueError("either all entries have a split or none has")
    return ImageDataset(
        name=class_name(name),
        paths=tuple(entry.path for entry in ordered),
        labels=np.array([index[spelling[entry.label]] for entry in ordered], dtype=np.int64),
        classes=classes,
        splits=splits,
        groups=tuple(entry.group for entry in ordered) if any(e.group for e in ordered) else (),
        skipped=tuple(sorted(skipped, key=lambda one: (one.path, one.reason))),
    )
