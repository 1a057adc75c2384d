"""Folders with one subfolder of images per class.

    photos/cats/1.jpg                 one folder per class
    photos/birds/owls/2.png           a nested folder is the class "birds/owls"
    photos/train/cats/1.jpg           train, val (valid, validation) and test are splits

Which files count:

- A regular file with an image extension is a candidate; decoding it later decides whether it is
  usable.
- Any other file below a class folder is identified by its content: images are used, other files
  are reported as skipped.
- Files next to the class folders (a README, a table) are ignored; images among them are reported,
  because they have no class.
- Hidden files and files created by operating systems are ignored silently.

Links to files and folders are followed. An unreadable file or folder never stops the rest.
"""

import errno
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from headstart.datasets.dataset import ImageDataset, ImageEntry, build_dataset, parse_split
from headstart.errors import DataError
from headstart.images.formats import NOT_AN_IMAGE, file_format, looks_like_image
from headstart.types import Skipped, Split

_IGNORED: Final = frozenset(
    {"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "icon\r", "@eadir", "$recycle.bin"}
    | {"system volume information", "lost+found"}
)
_LAYOUT: Final = "make one folder per class, such as {0}/cats and {0}/dogs, with its images in it"
_UNREADABLE: Final = "unreadable folder"
_NO_CLASS: Final = "no class: it is not in a class folder"


def is_ignored(name: str) -> bool:
    """Whether a file or folder is hidden or was left behind by an operating system."""
    return name.startswith(".") or name.casefold() in _IGNORED


def open_folder(root: Path, *, name: str = "", require_classes: int = 2) -> ImageDataset:
    """Read a folder with one subfolder of images per class, without opening the images.

    The name defaults to the folder's; fewer classes than `require_classes` are an error.

    Raises:
        DataError: the folder cannot be read or has too few classes.
    """
    scan = _Scan()
    top = scan.listing(root)
    if top is None:
        raise DataError(f"cannot read the folder {root}: {scan.skipped[0].reason}")
    folders = {entry.name: entry for entry in top if scan.is_folder(entry)}
    files = [entry for entry in top if entry.name not in folders]
    splits = _split_folders(folders)
    scan.report_unclassified(files)
    above = (_identity(root),)
    for folder_name, folder in folders.items():
        if not splits:
            scan.class_folder(folder, above, None)
        elif folder_name in splits:
            scan.split_folder(folder, above, splits[folder_name])
        else:
            scan.skip(folder, "no split: it is not in a train, validation or test folder")
    name = name or root.resolve().name or str(root)
    found = build_dataset(name, scan.entries, scan.skipped)
    _check_classes(found, root, require_classes, [entry.name for entry in files])
    return found


def _split_folders(folders: dict[str, os.DirEntry[str]]) -> dict[str, Split]:
    """Return the top folders that are splits; empty if the folders are classes.

    "train" can also be a class of vehicles. So folders count as splits only if there are two
    different ones or no other folders, and if one of them contains folders, not just images.
    """
    known = {name: split for name in sorted(folders) if (split := parse_split(name))}
    if len(set(known.values())) < 2 and len(known) < len(folders):
        return {}
    return known if any(_contains_folder(folders[name].path) for name in known) else {}


def _contains_folder(path: str) -> bool:
    try:
        with os.scandir(path) as entries:
            return any(entry.is_dir() and not is_ignored(entry.name) for entry in entries)
    except OSError:
        return False


def _check_classes(found: ImageDataset, root: Path, required: int, files: list[str]) -> None:
    if len(found.classes) >= required:
        return
    unclassified = sum(one.reason == _NO_CLASS for one in found.skipped)
    tables = [name for name in files if name.lower().endswith((".csv", ".tsv", ".jsonl"))]
    if tables:
        hint = f"if {tables[0]} lists the images and their classes, give {root / tables[0]} instead"
    else:
        hint = _LAYOUT.format(root)
    if found.classes:
        unreadable = [one for one in found.skipped if one.reason.startswith(_UNREADABLE)]
        also = f"; {unreadable[0].path} is an {unreadable[0].reason}" if unreadable else ""
        problem = f"{root} contains images of only one class ('{found.classes[0]}'){also}"
        hint = hint if tables else "it needs at least two folders, one per class"
    elif unclassified:
        problem = f"{root} contains {unclassified} images but no class folders"
    elif found.skipped:
        first = found.skipped[0]
        problem = f"{root} contains no usable images ({first.path}: {first.reason})"
    else:
        problem = f"{root} contains no images"
    raise DataError(f"{problem}; {hint}")


_FolderId: TypeAlias = tuple[int, int]
"""Device and inode number of a folder, the same through every link to it."""


@dataclass
class _Scan:
    """The images and the unusable files found so far while reading folders."""

    entries: list[ImageEntry] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    _followed: set[_FolderId] = field(default_factory=set)

    def split_folder(
        self, folder: os.DirEntry[str], above: tuple[_FolderId, ...], split: Split
    ) -> None:
        """Collect the images of all class folders in a split folder."""
        skipped_before = len(self.skipped)
        inner = self.enter(folder, above)
        self.report_unclassified([entry for entry in inner if not self.is_folder(entry)])
        class_folders = [entry for entry in inner if self.is_folder(entry)]
        for entry in class_folders:
            self.class_folder(entry, (*above, _identity(folder)), split)
        if not class_folders and len(self.skipped) == skipped_before:
            self.skip(folder, "no class folders in this folder")

    def class_folder(
        self, top: os.DirEntry[str], above: tuple[_FolderId, ...], split: Split | None
    ) -> None:
        """Collect the images below a folder, each with its path from there as its class."""
        # Not recursive, because a deep tree would raise RecursionError.
        pending = [(top, "", above)]
        while pending:
            folder, prefix, ancestors = pending.pop()
            label = prefix + _printable(folder.name)
            skipped_before = len(self.skipped)
            inner = self.enter(folder, ancestors)
            here = (*ancestors, _identity(folder))
            used = False
            for entry in inner:
                if self.is_folder(entry):
                    pending.append((entry, f"{label}/", here))
                    used = True
                elif self.is_image(entry):
                    self.entries.append(ImageEntry(Path(entry.path), label, split))
                    used = True
            if not used and len(self.skipped) == skipped_before:
                self.skip(folder, "no images in this folder")

    def enter(
        self, folder: os.DirEntry[str], ancestors: tuple[_FolderId, ...]
    ) -> list[os.DirEntry[str]]:
        """List a folder; if unreadable or already visited, skip it and return nothing."""
        identity = _identity(folder)
        if identity in ancestors:
            self.skip(folder, "link loop")
            return []
        if folder.is_symlink():
            # Enter each target once: folders that link to each other have endlessly many paths.
            if identity in self._followed:
                self.skip(folder, "second link to the same folder")
                return []
            self._followed.add(identity)
        return self.listing(Path(folder.path)) or []

    def listing(self, folder: Path) -> list[os.DirEntry[str]] | None:
        """Return the contents of a folder by name, or None if it cannot be read."""
        try:
            with os.scandir(folder) as entries:
                kept = [entry for entry in entries if not is_ignored(entry.name)]
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            self.skipped.append(Skipped(_printable(str(folder)), f"{_UNREADABLE}: {reason}"))
            return None
        return sorted(kept, key=lambda entry: entry.name)

    def is_folder(self, entry: os.DirEntry[str]) -> bool:
        """Whether an entry is a folder or a link to one."""
        try:
            return entry.is_dir()
        except OSError:  # a link to itself, which `is_file` reports
            return False

    def is_image(self, entry: os.DirEntry[str]) -> bool:
        """Whether a file is a candidate; reports the reason if not."""
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
            self.skip(entry, NOT_AN_IMAGE)
        return found is not None

    def is_file(self, entry: os.DirEntry[str]) -> bool:
        """Whether an entry is a regular file or a link to one; reports the reason if not."""
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

    def report_unclassified(self, files: list[os.DirEntry[str]]) -> None:
        """Report the images among files that are outside every class folder."""
        for entry in files:
            if looks_like_image(entry.name) and self.is_file(entry):
                self.skip(entry, _NO_CLASS)

    def skip(self, entry: os.DirEntry[str], reason: str) -> None:
        """Report a file or folder that cannot be used."""
        self.skipped.append(Skipped(_printable(entry.path), reason))


def _identity(folder: os.DirEntry[str] | Path) -> _FolderId:
    # Not entry.stat(), which has no inode numbers on Windows.
    try:
        found = os.stat(folder)  # noqa: PTH116 - accepts both types
    except OSError:  # deleted since it was listed; reading it will report that
        return (-1, -1)
    return (found.st_dev, found.st_ino)


def _printable(name: str) -> str:
    """Replace bytes that are not UTF-8, so that a name can be printed and saved."""
    return os.fsencode(name).decode("utf-8", "replace")
