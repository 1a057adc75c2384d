"""What the cache folder holds, and how to empty it."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headstart.errors import StoreError
from headstart.features.segment_file import (
    DamagedSegmentError,
    ForeignSegmentError,
    Keys,
    Segment,
    segment_names,
)
from headstart.system.cache_folder import KINDS, TAG, is_ours
from headstart.system.files import TEMPORARY


@dataclass(frozen=True, slots=True)
class FeatureUsage:
    """What one configuration's features take.

    Attributes:
        key: the digest of the configuration.
        rows: different images.
        bytes: on disk.
    """

    key: str
    rows: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheUsage:
    """What the cache takes on disk.

    Attributes:
        features: one entry a configuration.
        bytes: what each of `KINDS` takes.
    """

    features: tuple[FeatureUsage, ...]
    bytes: Mapping[str, int]

    @property
    def total_bytes(self) -> int:
        """What `clear` would free."""
        return sum(self.bytes.values())


def usage(root: Path) -> CacheUsage:
    """Measures the cache. What cannot be read counts as nothing.

    Args:
        root: the cache folder; need not exist.
    """
    sizes = {kind: _size(root / kind) if is_ours(root / kind) else 0 for kind in KINDS}
    features: list[FeatureUsage] = []
    if sizes["features"]:
        with contextlib.suppress(OSError):
            features.extend(
                FeatureUsage(folder.name, _rows(folder), _size(folder))
                for folder in sorted((root / "features").iterdir())
                if folder.is_dir() and folder.suffix != TEMPORARY
            )
    return CacheUsage(features=tuple(features), bytes=sizes)


def clear(root: Path) -> int:
    """Removes what headstart keeps in the cache folder, and nothing else.

    Whatever moment it is cut short at, each data set is there whole or not at all; the next call
    removes what is left.

    Args:
        root: the cache folder; need not exist. It stays, as may others' files in it.

    Returns:
        Bytes freed.

    Raises:
        StoreError: something could not be removed; the rest has been.
    """
    freed, stuck = 0, []
    for folder in (root / kind for kind in KINDS):
        if not is_ours(folder):
            continue
        before = _size(folder)
        with contextlib.suppress(OSError):
            for child in folder.iterdir():
                if child.is_dir() and not child.is_symlink():
                    _remove(child)
                elif child.name != TAG:  # goes last: what is left by a kill stays marked
                    child.unlink(missing_ok=True)
        if all(child.name == TAG for child in _children(folder)):
            shutil.rmtree(folder, ignore_errors=True)
        freed += before - _size(folder)
        if folder.exists():
            stuck.append(str(folder))
    if stuck:
        raise StoreError(
            f"Could not remove all of {', '.join(stuck)} ({freed} bytes were freed). "
            "End other runs of headstart, check the permissions, and try again."
        )
    return freed


def _remove(folder: Path) -> None:
    """Removes a folder as it may be removed that others take for whole where it is: renamed first.

    Where it cannot be renamed (on Windows, while somebody reads in it) it stays whole.
    """
    doomed = folder
    if folder.suffix != TEMPORARY:
        doomed = folder.with_name(f".{secrets.token_hex(8)}{TEMPORARY}")
        try:
            folder.rename(doomed)
        except OSError:
            return
    shutil.rmtree(doomed, ignore_errors=True)


def _children(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _files(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    yield from _files(Path(entry.path))
                else:
                    yield entry
    except OSError:
        return


def _size(folder: Path) -> int:
    total = 0
    for entry in _files(folder):
        with contextlib.suppress(OSError):
            total += entry.stat(follow_symlinks=False).st_size
    return total


def _rows(folder: Path) -> int:
    """Different images in the intact segments of a folder."""
    keys: list[Keys] = []
    for name in segment_names(folder):
        with contextlib.suppress(OSError, DamagedSegmentError, ForeignSegmentError):
            keys.append(Segment(folder / name).keys)
    return len(np.unique(np.concatenate(keys))) if keys else 0
