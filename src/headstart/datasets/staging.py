"""Folders that appear whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headstart.errors import StoreError
from headstart.system.cache_folder import cache_folder


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Calls what goes wrong within by its name: the cache cannot be written.

    Only what writes belongs within, or an archive that cannot be read would be called a full disk.

    Raises:
        StoreError: instead of any OSError.
    """
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"cannot write {place}: {error.strerror or error}; "
            "free space there, or choose another cache folder"
        ) from error


def cache_place(cache: Path, kind: str) -> Path:
    """The cache's folder for one kind of thing, made and marked as headstart's own.

    Raises:
        StoreError: it cannot be made.
    """
    with writing(cache / kind):
        return cache_folder(cache, kind)


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
        StoreError: the folder cannot be made or renamed. What goes wrong while it is filled is
            passed on as it is.
    """
    with writing(destination):
        destination.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{destination.name}.", dir=destination.parent))
    try:
        yield work
        with writing(destination):
            work.chmod(0o755)  # mkdtemp makes it private, and caches may be shared
            try:
                os.replace(work, destination)  # noqa: PTH105 - says more clearly that it is atomic
            except OSError:
                if not destination.is_dir():
                    raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
