"""Groups of images that are not independent: one camera, one patient, one burst of photos."""

import re
from collections import defaultdict
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Self

from headstart.datasets.dataset import ImageDataset
from headstart.errors import DataError
from headstart.images.capture import Capture, read_capture


class GroupKind(StrEnum):
    """What tells which images belong together."""

    COLUMN = "column"
    """Equal values in a column of a table."""
    FOLDER = "folder"
    """The name of a folder on the path: 1 is the folder that contains the image, 2 the next."""
    NAME = "name"
    """The part of the file name that a regular expression matches: its groups, or all of it."""
    TIME = "time"
    """EXIF capture times of one camera, in one folder, at most so many seconds apart."""


@dataclass(frozen=True, slots=True)
class GroupBy:
    """How images are grouped.

    Attributes:
        kind: What tells which images belong together.
        value: The name of the column, the level of the folder, the regular expression, or the
            number of seconds.
    """

    kind: GroupKind
    value: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a grouping such as "column:site", "folder:2", "name:^[a-z]+" or "time:30".

        Raises:
            DataError: It is none of these, or its value is not valid.
        """
        kind, colon, value = text.partition(":")
        if kind not in list(GroupKind) or not colon or not value:
            raise DataError(
                f"cannot group by {text!r}; give column:NAME, folder:LEVEL, name:REGEX or "
                "time:SECONDS"
            )
        grouping = cls(GroupKind(kind), value)
        grouping._check()
        return grouping

    def __str__(self) -> str:
        return f"{self.kind}:{self.value}"

    def _check(self) -> None:
        if self.kind is GroupKind.FOLDER and not (self.value.isdecimal() and int(self.value) > 0):
            raise DataError(
                f"cannot group by {self}; LEVEL is 1 for the folder that contains the image, 2 for "
                "the folder around it, and so on"
            )
        if self.kind is GroupKind.NAME:
            try:
                re.compile(self.value)
            except re.error as error:
                raise DataError(
                    f"cannot group by {self}: not a regular expression ({error})"
                ) from error
        if self.kind is GroupKind.TIME and not _seconds(self.value):
            raise DataError(f"cannot group by {self}; give a number of seconds above 0")

    def apply(self, dataset: ImageDataset) -> ImageDataset:
        """Return the data set with groups; those of a table's column are already read.

        Raises:
            DataError: No image belongs to a group, all belong to one, or all names differ.
        """
        groups = dataset.groups
        if self.kind is GroupKind.FOLDER:
            groups = tuple(_folder(path, int(self.value)) for path in dataset.paths)
        elif self.kind is GroupKind.NAME:
            groups = tuple(_matched(self.value, path.name) for path in dataset.paths)
        elif self.kind is GroupKind.TIME:
            groups = _bursts(dataset.paths, _seconds(self.value))
        named = [name for name in groups if name]
        if not named:
            raise DataError(f"{dataset.name}: --group-by {self} finds no group; {_WHY[self.kind]}")
        alone = self.kind is GroupKind.NAME and len(set(named)) == len(named)
        if alone or (len(set(groups)) == 1 and len(groups) > 1):
            every = "a group of its own" if alone else "in the same group"
            raise DataError(
                f"{dataset.name}: with --group-by {self}, every image is {every}; group images "
                "that belong together, or leave out --group-by"
            )
        return dataset.with_groups(groups, source=str(self))


_WHY = {
    GroupKind.COLUMN: "the column is empty",
    GroupKind.FOLDER: "the paths have no folder at this level",
    GroupKind.NAME: "no file name matches",
    GroupKind.TIME: "no image has a capture time in its EXIF data",
}


def _seconds(text: str) -> float:
    """Return a positive number of seconds; 0 if the text is not one."""
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if 0 < value < float("inf") else 0.0


def _folder(path: Path, level: int) -> str:
    parents = path.parts[:-1]
    return parents[-level] if level <= len(parents) else ""


def _matched(pattern: str, name: str) -> str:
    match = re.search(pattern, name)
    if match is None:
        return ""
    return "\0".join(part or "" for part in match.groups()) if match.groups() else match.group()


def _bursts(paths: tuple[Path, ...], seconds: float) -> tuple[str, ...]:
    """Return a name for each run of photos by one camera, in one folder, without a longer pause."""
    cameras: dict[tuple[str, Path], list[tuple[Capture, int]]] = defaultdict(list)
    for row, path in enumerate(paths):
        if (capture := read_capture(path)) is not None:
            cameras[capture.camera, path.parent].append((capture, row))
    groups = [""] * len(paths)
    for photos in cameras.values():
        photos.sort(key=lambda photo: (photo[0].time, str(paths[photo[1]])))
        previous, name = None, ""
        for capture, row in photos:
            if previous is None or (capture.time - previous).total_seconds() > seconds:
                name = str(paths[row])
            groups[row], previous = name, capture.time
    return tuple(groups)
