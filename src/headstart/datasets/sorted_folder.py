"""Images sorted into a folder for each label."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from headstart.datasets.own_folders import SORTED_MARK, may_be_marked
from headstart.errors import DataError, HeadstartError
from headstart.system.digests import file_digest
from headstart.system.files import TEMPORARY, atomic_write, cut_stem
from headstart.types import Placement


@dataclass(frozen=True, slots=True)
class SortedFolder:
    """A folder with a subfolder for each label.

    Attributes:
        root: The folder.
        placement: How images get into it.
    """

    root: Path
    placement: Placement

    def check_outside(self, folder: Path) -> None:
        """Refuse to sort images into the folder that they come from, where they would come again.

        Raises:
            DataError: One of the folders is inside the other.
        """
        own, other = self.root.resolve(), folder.resolve()
        if own.is_relative_to(other) or other.is_relative_to(own):
            raise DataError(
                f"{self.root} and {folder} are inside one another; sort the images into a folder "
                "outside"
            )

    def is_own(self) -> bool:
        """Whether the folder is new, empty, or one that images were sorted into before."""
        return may_be_marked(self.root, SORTED_MARK)

    def mark(self) -> None:
        """Mark the folder as one for sorted images, unless it has other files.

        Raises:
            HeadstartError: The folder cannot be written.
        """
        if self.is_own():
            atomic_write(self.root / SORTED_MARK, b"Images sorted by headstart.\n")

    def has(self, label: str) -> bool:
        """Whether the label has a folder."""
        return (self.root / folder_name(label)).is_dir()

    def place(self, image: Path, label: str) -> Path | None:
        """Put an image into the folder of its label, under its own name or one like it.

        One that is already there is neither linked nor copied again.

        Returns:
            Where it is; None if the image no longer exists.

        Raises:
            HeadstartError: The folder cannot be written.
        """
        folder = self.root / folder_name(label)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for number in count(1):
                if not image.exists():
                    return None
                target = folder / numbered(image.name, number)
                if self.placement is not Placement.MOVE and self._is_there(image, target):
                    return target
                if not os.path.lexists(target):
                    self._put(image, target)
                    return target
        except OSError as error:
            raise HeadstartError(
                f"cannot {self.placement} {image} to {folder}: {error.strerror or error}"
            ) from error
        raise AssertionError("there is always another number")

    def unlink(self, image: Path, label: str) -> None:
        """Remove the links to an image from the folder of a label that it no longer has.

        Raises:
            HeadstartError: The folder cannot be written.
        """
        folder = self.root / folder_name(label)
        if not folder.is_dir():
            return
        own = image.resolve()
        try:
            for target in folder.iterdir():
                if target.is_symlink() and target.readlink() == own:
                    target.unlink()
        except OSError as error:
            raise HeadstartError(
                f"cannot remove the link to {image} from {folder}: {error.strerror or error}"
            ) from error

    def _is_there(self, image: Path, target: Path) -> bool:
        if not target.exists():
            return False
        if target.samefile(image):
            return True
        same_size = target.stat().st_size == image.stat().st_size
        return same_size and file_digest(target) == file_digest(image)

    def _put(self, image: Path, target: Path) -> None:
        if self.placement is Placement.MOVE:
            shutil.move(image, target)
            return
        if self.placement is Placement.LINK:
            try:
                target.symlink_to(image.resolve())
            except (OSError, NotImplementedError) as error:
                if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EACCES):
                    raise
            else:
                return
        draft = target.with_name(f".{secrets.token_hex(8)}{TEMPORARY}")
        try:
            shutil.copy2(image, draft)
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)


def folder_name(label: str) -> str:
    """Return a label as the name of a folder: without separators, and not hidden."""
    name = "".join("_" if one in '/\\:*?"<>|' or ord(one) < 32 else one for one in label)
    name = name.lstrip(" ")
    name = cut_stem(f"_{name}" if name.startswith(".") else name, "")
    return name.rstrip(". ") or "_"  # Windows removes dots and spaces at the end


def numbered(name: str, number: int) -> str:
    """Return the name of a file, from the second one on with a number: "a.jpg", "a (2).jpg"."""
    if number == 1:
        return name
    stem, suffix = os.path.splitext(name)  # noqa: PTH122 - a name, not a path
    ending = f" ({number}){suffix}"
    return cut_stem(stem, ending) + ending
