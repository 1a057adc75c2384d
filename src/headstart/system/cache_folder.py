"""The cache folder: its location, and the tags on its subfolders.

Everything in it can be recreated, so it may be deleted at any time. Each kind of content has a
subfolder, tagged as headstart's own by a CACHEDIR.TAG (https://bford.info/cachedir/), which also
keeps it out of backups. Only tagged folders are ever cleared, so pointing HEADSTART_CACHE at a
folder that has a "datasets" of its own does not delete that.

What is stored decides what a model learns, so nothing is used that another user may have written:
folders and files must belong to the user or to root, and not be writable by anyone else.
"""

import errno
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import platformdirs

from headstart.errors import StoreError, UserError
from headstart.system.files import TEMPORARY, head_of, is_own, locked, remove_stale_folders

KINDS: Final = (
    "features",
    "activations",
    "choices",
    "archives",
    "datasets",
    "images",
    "index",
    "fonts",
)
"""The subfolders: features, activations, selected stages, unpacked archives, named data sets,
images that programs had in memory, the `PathIndex`, and matplotlib's list of fonts."""
TAG = "CACHEDIR.TAG"
SIGNATURE = "Signature: 8a477f597d28d172789f06886806bc55"
"""How the tag of every program begins."""
_TAG_CONTENT = f"""{SIGNATURE}
# Created by headstart, which can recreate everything in it. To remove: `headstart cache --clear`.
"""


def cache_root(chosen: Path | None = None) -> Path:
    """Return the cache folder: the chosen one, else $HEADSTART_CACHE, else the platform's.

    A user without a home folder, as in some containers, gets one among the temporary files. The
    folder need not exist; writing to it creates it.

    Raises:
        UserError: the folder is in a home folder that is not known.
    """
    if chosen is not None:
        return expand_home(chosen)
    if variable := os.environ.get("HEADSTART_CACHE"):
        return expand_home(Path(variable))
    try:
        return platformdirs.user_cache_path("headstart", appauthor=False)
    except RuntimeError:  # neither HOME nor an entry in the list of users
        return _temporary_root()


def homeless_warning() -> str | None:
    """Return a warning if the cache is among the temporary files for want of a home folder."""
    if os.name == "nt" or os.environ.get("HEADSTART_CACHE") or cache_root() != _temporary_root():
        return None
    return (
        f"there is no home folder, so the cache is in {_temporary_root()}; set HEADSTART_CACHE to "
        "another folder to keep it"
    )


def expand_home(path: Path) -> Path:
    """Return a path with the folder that "~" stands for.

    Raises:
        UserError: there is no home folder.
    """
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise UserError(
            f"there is no home folder for {path}; set HOME, or give a path without ~"
        ) from error


def _temporary_root() -> Path:
    name = f"headstart-{os.getuid()}" if hasattr(os, "getuid") else "headstart"
    try:
        return Path(tempfile.gettempdir(), name)
    except OSError:  # no folder for temporary files can be written either
        return Path(tempfile.gettempprefix(), name)


def cache_folder(root: Path, kind: str) -> Path:
    """Return the subfolder for one of `KINDS`, creating and tagging it if it does not exist.

    Everything written to the cache must go through here: untagged folders are never counted or
    cleared.

    Raises:
        OSError: it cannot be created.
        StoreError: it is not one of headstart's, or another user may write to it.
    """
    folder = root / kind
    if folder.is_symlink() or (folder.is_dir() and not is_tagged(folder)):
        raise StoreError(
            f"{folder} is a link or has no {TAG} of headstart's, so it may contain other files; "
            "choose another cache folder with HEADSTART_CACHE"
        )
    if folder.is_dir() and not is_own(folder.stat()):
        raise StoreError(
            f"other users can write to {folder}, so its content cannot be trusted; remove their "
            "permission (chmod go-w) or choose another cache folder with HEADSTART_CACHE"
        )
    if not folder.is_dir():
        # Created elsewhere and renamed, so that a killed process cannot leave it untagged.
        draft = root / f".{kind}.{secrets.token_hex(8)}{TEMPORARY}"
        draft.mkdir(parents=True)
        remove_stale_folders(root)
        try:
            (draft / TAG).write_text(_TAG_CONTENT, encoding="utf-8")
            draft.chmod(0o755)
            draft.rename(folder)
        except OSError:
            shutil.rmtree(draft, ignore_errors=True)
            if not folder.is_dir():  # otherwise another process was faster
                raise
    return folder


def is_tagged(folder: Path) -> bool:
    """Whether `cache_folder` created a folder. Links belong to the user and never count."""
    content = head_of(folder / TAG).decode(errors="replace")
    # Other versions of headstart may write another text.
    ours = content.startswith(SIGNATURE) and "headstart" in content
    return ours and not folder.is_symlink()


@contextmanager
def cache_errors(path: Path) -> Iterator[None]:
    """Convert every OSError inside the block to a StoreError about writing `path`.

    Only writes belong inside, or an unreadable archive would be reported as a full disk.

    Raises:
        StoreError: instead of an OSError.
    """
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise StoreError(
            f"cannot write {path}: {error.strerror or error}; "
            f"{'free some space there, or ' if full else ''}choose another cache folder with "
            "HEADSTART_CACHE"
        ) from error


@contextmanager
def atomic_folder(destination: Path) -> Iterator[Path]:
    """Create a folder that does not exist yet, so that it appears complete or not at all.

    The block fills a temporary folder next to `destination`, which is renamed at the end. If the
    block fails, nothing remains. If another process was faster, its folder stays and this one is
    dropped; the name of `destination` must determine its content, so both are equal.

    Yields:
        An empty folder to fill, on the same file system.

    Raises:
        StoreError: the folder cannot be created or renamed. Errors of the block pass unchanged.
    """
    with cache_errors(destination):
        destination.parent.mkdir(parents=True, exist_ok=True)
        remove_stale_folders(destination.parent)
        work = destination.parent / f".{secrets.token_hex(8)}{TEMPORARY}"
        work.mkdir(mode=0o700)
    try:
        with locked(work):  # a temporary folder without a lock was left by a killed process
            yield work
        with cache_errors(destination):
            work.chmod(0o755)  # others may read what root has stored
            try:
                work.rename(destination)
            except OSError:
                if not destination.is_dir():
                    raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
