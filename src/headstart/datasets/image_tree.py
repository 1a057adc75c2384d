"""The image files in a folder, at any depth: the same ones for every command.

- A regular file with an image extension is a candidate; decoding it later decides whether it is
  usable. Any other file is identified by its content.
- Files created by operating systems and tools are passed over in silence; hidden images are
  reported, and so are models, reports and caches that headstart wrote.
- Links to files and folders are followed, but each folder is read once, as itself rather than
  through a link.

An unreadable file or folder never stops the rest.
"""

import errno
import heapq
import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from headstart.datasets.own_folders import own_folder
from headstart.images.formats import file_format, looks_like_image
from headstart.types import Skipped

_LITTER: Final = frozenset(
    {"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "icon\r", "@eadir", "$recycle.bin"}
    | {"system volume information", "lost+found", "#recycle", "#snapshot", "__pycache__"}
    | {".ipynb_checkpoints", ".thumbnails", ".git", ".svn", ".hg", ".dvc", ".cache", ".venv"}
    | {".idea", ".vscode", ".ds_store", ".appledouble", ".fseventsd", ".picasaoriginals"}
    | {".xvpics", ".dropbox.cache", ".comments", ".pytest_cache", ".tmp.drivedownload"}
)
_LITTER_STARTS: Final = ("._", ".trash", ".spotlight-", ".nfs", ".fuse_hidden", ".syncthing.")
_MASK: Final = re.compile(r"[ _-](?:mask|seg|segmentation|gt)(?:[ _-]?\d+)?$", re.IGNORECASE)
HIDDEN: Final = "hidden; to use it, rename it so that it does not begin with a dot"
UNREADABLE: Final = "unreadable folder"

Parts: TypeAlias = tuple[str, ...]
"""The names of the folders from the top down to one; empty for the top."""
_FolderId: TypeAlias = tuple[int, int]
"""Device and inode number of a folder, the same through every link to it."""


def is_litter(name: str) -> bool:
    """Whether a file or folder was left behind by an operating system or a tool."""
    folded = name.casefold()
    return folded in _LITTER or folded.startswith(_LITTER_STARTS)


@dataclass(frozen=True, slots=True)
class TreeFolder:
    """The files directly in a folder, by name.

    Attributes:
        path: the folder.
        images: the files that may be images.
        others: all other files.
        empty: whether nothing at all is in it that could be used or reported.
    """

    path: Path
    images: tuple[Path, ...] = ()
    others: tuple[Path, ...] = ()
    empty: bool = False


@dataclass(frozen=True, slots=True)
class ImageTree:
    """All folders below one, sorted by path, and what cannot be used.

    Attributes:
        root: the folder at the top.
        folders: each folder by its path from the top, which is included.
        skipped: files and folders that cannot be used.
        unreadable: the folders among them that cannot be read.
    """

    root: Path
    folders: dict[Parts, TreeFolder]
    skipped: tuple[Skipped, ...]
    unreadable: tuple[Path, ...]

    def image_folders(self) -> dict[Parts, int]:
        """Return the number of images directly in each folder that has some."""
        return {parts: len(one.images) for parts, one in self.folders.items() if one.images}


def read_tree(root: Path) -> ImageTree:
    """List a folder and all folders below it, without opening files that have an image extension.

    Raises:
        OSError: the folder itself cannot be read.
    """
    os.scandir(root).close()
    walk = _Walk({_identity(str(one)): None for one in root.resolve().parents})
    # Not recursive, because a deep tree would raise RecursionError.
    pending: list[tuple[Parts, str]] = [((), str(root))]
    while pending or walk.links:
        if not pending:  # links come last: a folder is itself rather than a link to it
            pending.append(heapq.heappop(walk.links))
        parts, path = pending.pop()
        if walk.is_new(parts, path):
            pending += walk.read(parts, path)
    # By path like labels, so that every command has the same order: "a b" is before "a/c".
    ordered = {parts: walk.folders[parts] for parts in sorted(walk.folders, key="/".join)}
    return ImageTree(root, ordered, tuple(walk.skipped), tuple(walk.unreadable))


@dataclass
class _Walk:
    """What was found so far.

    Attributes:
        seen: the folders that were read, and the ones above the top (None).
    """

    seen: dict[_FolderId | None, Parts | None]
    folders: dict[Parts, TreeFolder] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)
    unreadable: list[Path] = field(default_factory=list)
    links: list[tuple[Parts, str]] = field(default_factory=list)

    def is_new(self, parts: Parts, path: str) -> bool:
        """Whether a folder was not read yet; reports it if it was."""
        identity = _identity(path)
        if identity not in self.seen:
            if identity is not None:
                self.seen[identity] = parts
            return True
        earlier = self.seen[identity]
        loop = earlier is None or parts[: len(earlier)] == earlier
        self.skip(path, "link loop" if loop else "link to a folder that is read already")
        return False

    def read(self, parts: Parts, path: str) -> list[tuple[Parts, str]]:
        """List a folder and return its subfolders; links to folders are noted for later."""
        try:
            with os.scandir(path) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            self.skip(path, f"{UNREADABLE}: {reason}")
            self.unreadable.append(Path(path))
            return []
        if parts and (own := own_folder(path, {entry.name for entry in entries})):
            self.skip(path, own)
            return []
        skipped_before = len(self.skipped)
        inner: list[tuple[Parts, str]] = []
        images: list[Path] = []
        others: list[Path] = []
        linked = False
        for entry in entries:
            if is_litter(entry.name):
                continue
            if entry.name.startswith("."):
                if _has_images(entry):
                    self.skip(entry.path, HIDDEN)
            elif _is_folder(entry):
                here = ((*parts, entry.name), entry.path)
                if entry.is_symlink():
                    heapq.heappush(self.links, here)
                    linked = True
                else:
                    inner.append(here)
            elif self.is_file(entry):
                image = self.is_image(entry)
                if image is not None:
                    (images if image else others).append(Path(entry.path))
        images = self.without_masks(images)
        empty = not (inner or images or others or linked) and len(self.skipped) == skipped_before
        self.folders[parts] = TreeFolder(Path(path), tuple(images), tuple(others), empty)
        return inner[::-1]

    def is_file(self, entry: os.DirEntry[str]) -> bool:
        """Whether an entry is a regular file or a link to one; reports the reason if not."""
        try:
            if entry.is_file():
                return True
            mode = entry.stat().st_mode
            self.skip(entry.path, "a folder" if stat.S_ISDIR(mode) else "not a regular file")
        except FileNotFoundError:
            self.skip(entry.path, "broken link")
        except OSError as error:
            loop = error.errno == errno.ELOOP
            self.skip(entry.path, "link loop" if loop else (error.strerror or str(error)).lower())
        return False

    def is_image(self, entry: os.DirEntry[str]) -> bool | None:
        """Whether a file may be an image; None, with its reason reported, if it is unreadable."""
        if looks_like_image(entry.name):
            return True
        try:
            return file_format(entry.path) is not None
        except OSError as error:
            self.skip(entry.path, f"unreadable: {(error.strerror or str(error)).lower()}")
            return None

    def without_masks(self, images: list[Path]) -> list[Path]:
        """Drop and report the masks of images that are in the same folder ("1_mask.png")."""
        masks = {path: mask for path in images if (mask := _MASK.search(path.stem))}
        stems = {path.stem for path in images} if masks else set()
        originals = {path: path.stem[: mask.start()] for path, mask in masks.items()}
        found = {path: name for path, name in originals.items() if name in stems}
        for path, name in found.items():
            self.skip(str(path), f"a mask of another image ({name})")
        return [path for path in images if path not in found] if found else images

    def skip(self, path: str, reason: str) -> None:
        """Report a file or folder that cannot be used."""
        self.skipped.append(Skipped(path, reason))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, which `is_file` reports
        return False


def _has_images(entry: os.DirEntry[str]) -> bool:
    """Whether a hidden file, or a file in a hidden folder, has the extension of an image."""
    if not _is_folder(entry):
        return looks_like_image(entry.name)
    try:
        with os.scandir(entry.path) as inner:
            return any(looks_like_image(one.name) for one in inner)
    except OSError:
        return False


def _identity(path: str) -> _FolderId | None:
    # Not DirEntry.stat(), which has no inode numbers on Windows.
    try:
        found = os.stat(path)  # noqa: PTH116 - names may be anything
    except OSError:  # deleted since it was listed; reading it will report that
        return None
    return (found.st_dev, found.st_ino)
