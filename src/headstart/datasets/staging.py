"""Folders that appear whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headstart.cache import cache_folder
from headstart.errors import StoreError


def cache_place(cache: Path, kind: str) -> Path:
    """The cache's folder for one kind of thing, made and marked as headstart's own.

    Raises:
        StoreError: it cannot be made.
    """
    try:
        return cache_folder(cache, kind)
    except OSError as error:
        raise _cannot_write(cache / kind, error) from error


@contextmanager
def staged(destination: Path) -> Iterator[Path]:
    """Fill a folder next to `destination`, which is renamed to it at the end.

    If anything fails, nothing is left. If another process was faster, its folder stays and this
    one is dropped: both hold the same, since the destination's name says what is in it.

    Args:
        destination: a folder that does not exist yet.

    Yields:
        An empty folder to fill, on the same file system.

    Raises:
        StoreError: the disk is full or not writable.
    """
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{destination.name}.", dir=destination.parent))
    except OSError as error:
        raise _cannot_write(destination, error) from error
    try:
        yield work
        work.chmod(0o755)  # mkdtemp makes it private, and caches may be shared
        try:
            os.replace(work, destination)  # noqa: PTH105 - says more clearly that it is atomic
        except OSError:
            if not destination.is_dir():
                raise
    except OSError as error:
        raise _cannot_write(destination, error) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _cannot_write(destination: Path, error: OSError) -> StoreError:
    reason = error.strerror or str(error)
    return StoreError(
        f"cannot write {destination}: {reason}; free space there, or choose another cache folder"
    )
