"""A folder of images for each class.

    photos/cats/1.jpg                 a folder per class
    photos/birds/owls/2.png           a nested folder is the class "birds/owls"
    photos/train/cats/1.jpg           train, val (valid, validation) and test are splits

Which files count:

- A regular file whose ending is that of an image is a candidate; whether it can be decoded is
  found out later.
- Another file below a class folder is judged by its content: an image is used, the rest is
  listed as skipped.
- Files beside the class folders (a README, a table) are no concern; images there are listed,
  since their class is missing.
- Hidden files and what operating systems leave behind are passed over in silence.

Links to files and folders are followed. What cannot be read never stops the rest.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from headstart.datasets.dataset import ImageDataset
from headstart.datasets.entries import ImageEntry, assembled, split_named
from headstart.errors import DataError
from headstart.images.decode import NO_IMAGE, file_format, looks_like_image
from headstart.types import Skipped, Split

_LITTER: Final = frozenset(
    {"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "icon\r", "@eadir", "$recycle.bin"}
    | {"system volume information", "lost+found"}
)
_LAYOUT: Final = "make one folder per class, such as {0}/cats and {0}/dogs, with its images in it"
_CLOSED: Final = "unreadable folder"
_NO_CLASS: Final = "no class: it lies outside the class folders"


def is_litter(name: str) -> bool:
    """Whether a file or folder is hidden, or something that an operating system left behind."""
    return name.startswith(".") or name.casefold() in _LITTER


def open_folder(
    root: Path, *, name: str = "", license: str = "unstated", require_classes: int = 2
) -> ImageDataset:
    """Read a folder that holds a folder of images for each class; no image is opened.

    Args:
        root: the folder.
        name: what to call the data set; the folder's own name if empty.
        license: what the source says of itself.
        require_classes: how many classes there must be.

    Raises:
        DataError: it cannot be read, or has too few classes.
    """
    scan = _Scan()
    top = scan.listing(root)
    if top is None:
        raise DataError(f"cannot read the folder {root}: {scan.skipped[0].reason}")
    folders = {entry.name: entry for entry in top if scan.is_folder(entry)}
    files = [entry for entry in top if entry.name not in folders]
    splits = _splits(folders)
    scan.loose(files)
    above = (_identity(root),)
    for folder_name, folder in folders.items():
        if not splits:
            scan.walk(folder, above, None)
        elif folder_name not in splits:
            scan.skip(folder, "no split: it lies outside the train, validation and test folders")
        else:
            noted = len(scan.skipped)
            inner = scan.entered(folder, above)
            scan.loose([entry for entry in inner if not scan.is_folder(entry)])
            here = (*above, _identity(folder))
            inside = [entry for entry in inner if scan.is_folder(entry)]
            for entry in inside:
                scan.walk(entry, here, splits[folder_name])
            if not inside and len(scan.skipped) == noted:
                scan.skip(folder, "no class folders in this folder")
    found = assembled(
        name or root.resolve().name or str(root), scan.entries, scan.skipped, license=license
    )
    _check_classes(found, root, require_classes, [entry.name for entry in files])
    return found


def _splits(folders: dict[str, os.DirEntry[str]]) -> dict[str, Split]:
    """Which of the top folders are splits.

    "train" may also be a class among vehicles. So either two different splits are there, or
    nothing but splits; and they hold folders, not just images.
    """
    known = {name: split for name in sorted(folders) if (split := split_named(name))}
    if len(set(known.values())) < 2 and len(known) < len(folders):
        return {}
    return known if any(_holds_folder(folders[name].path) for name in known) else {}


def _holds_folder(path: str) -> bool:
    try:
        with os.scandir(path) as entries:
            return any(entry.is_dir() and not is_litter(entry.name) for entry in entries)
    except OSError:
        return False


def _check_classes(found: ImageDataset, root: Path, required: int, files: list[str]) -> None:
    if len(found.classes) >= required:
        return
    loose = sum(one.reason == _NO_CLASS for one in found.skipped)
    tables = [name for name in files if name.lower().endswith((".csv", ".tsv", ".jsonl"))]
    if tables:
        hint = f"if {tables[0]} says which image is of which class, give {root / tables[0]} instead"
    else:
        hint = _LAYOUT.format(root)
    if found.classes:
        closed = [one for one in found.skipped if one.reason.startswith(_CLOSED)]
        also = f"; {closed[0].path} is an {closed[0].reason}" if closed else ""
        what = f"{root} holds images of one class only ('{found.classes[0]}'){also}"
        hint = hint if tables else "put at least two folders, one per class, in it"
    elif loose:
        what = f"{root} holds {loose} images but no class folders"
    elif found.skipped:
        first = found.skipped[0]
        what = f"{root} holds no usable images ({first.path}: {first.reason})"
    else:
        what = f"{root} holds no images"
    raise DataError(f"{what}; {hint}")


_Ancestors: TypeAlias = tuple[tuple[int, int], ...]
"""Device and number of each folder on the way to the present one: what links cannot disguise."""


@dataclass
class _Scan:
    """A walk through folders, and what it has found so far."""

    entries: list[ImageEntry] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    _followed: set[tuple[int, int]] = field(default_factory=set)

    def walk(self, top: os.DirEntry[str], above: _Ancestors, split: Split | None) -> None:
        """Collect the images below a folder; their class is the way to it.

        Args:
            top: the folder, whose name the names of its classes begin with.
            above: the folders that it lies in, to know a circle when it closes.
            split: the split that it lies in.
        """
        # Not recursive: a deep tree must not end in a RecursionError.
        waiting: list[tuple[os.DirEntry[str], str, _Ancestors]] = [(top, "", above)]
        while waiting:
            folder, prefix, ancestors = waiting.pop()
            label = prefix + _readable(folder.name)
            noted = len(self.skipped)
            inner = self.entered(folder, ancestors)
            here = (*ancestors, _identity(folder))
            used = False
            for entry in inner:
                if self.is_folder(entry):
                    waiting.append((entry, f"{label}/", here))
                    used = True
                elif self.is_image(entry):
                    self.entries.append(ImageEntry(Path(entry.path), label, split))
                    used = True
            if not used and len(self.skipped) == noted:
                self.skip(folder, "no images in this folder")

    def entered(self, folder: os.DirEntry[str], ancestors: _Ancestors) -> list[os.DirEntry[str]]:
        """What a folder holds; nothing, and a note, if unreadable or reached in a circle."""
        identity = _identity(folder)
        if identity in ancestors:
            self.skip(folder, "link loop")
            return []
        if folder.is_symlink():
            # Each target once: folders that link to each other open ever more ways around.
            if identity in self._followed:
                self.skip(folder, "link to a folder that another link has led to")
                return []
            self._followed.add(identity)
        listed = self.listing(Path(folder.path))
        return listed or []

    def listing(self, folder: Path) -> list[os.DirEntry[str]] | None:
        """What a folder holds, by name; None if it cannot be read."""
        try:
            with os.scandir(folder) as entries:
                kept = [entry for entry in entries if not is_litter(entry.name)]
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            self.skipped.append(Skipped(_readable(str(folder)), f"{_CLOSED}: {reason}"))
            return None
        return sorted(kept, key=lambda entry: entry.name)

    def is_folder(self, entry: os.DirEntry[str]) -> bool:
        """Whether it is a folder or a link to one."""
        try:
            return entry.is_dir()
        except OSError:  # a link that leads back to itself; `is_image` will say so
            return False

    def is_image(self, entry: os.DirEntry[str]) -> bool:
        """Whether a file is a candidate; if not, it is noted why."""
        if not self.is_file(entry):
            return False
        if looks_like_image(entry.name):
            return True
        try:
            found = file_format(entry.path)
        except OSError as error:
            self.skip(entry, f"unreadable: {(error.strerror or str(error)).lower()}")
            return False
        if found is None:
            self.skip(entry, NO_IMAGE)
            return False
        return True

    def is_file(self, entry: os.DirEntry[str]) -> bool:
        """Whether it is a regular file or a link to one; if not, it is noted why."""
        try:
            if entry.is_file():
                return True
            mode = entry.stat().st_mode
            self.skip(entry, "a folder" if stat.S_ISDIR(mode) else "not a regular file")
        except FileNotFoundError:
            self.skip(entry, "broken link")
        except OSError as error:
            loop = error.errno == errno.ELOOP
            self.skip(entry, "link loop" if loop else (error.strerror or str(error)).lower())
        return False

    def loose(self, files: list[os.DirEntry[str]]) -> None:
        """Note the images that lie where no class is."""
        for entry in files:
            if looks_like_image(entry.name) and self.is_file(entry):
                self.skip(entry, _NO_CLASS)

    def skip(self, entry: os.DirEntry[str], reason: str) -> None:
        """Note something that cannot be used."""
        self.skipped.append(Skipped(_readable(entry.path), reason))


def _identity(folder: os.DirEntry[str] | Path) -> tuple[int, int]:
    # Not entry.stat(), which on Windows knows no numbers.
    try:
        found = os.stat(folder)  # noqa: PTH116 - it takes both
    except OSError:  # gone since it was listed, which reading it will tell
        return (-1, -1)
    return (found.st_dev, found.st_ino)


def _readable(name: str) -> str:
    """A name that can be printed and saved: bytes that are not UTF-8 become question marks."""
    return os.fsencode(name).decode("utf-8", "replace")
