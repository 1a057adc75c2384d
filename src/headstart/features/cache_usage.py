"""The disk usage of the cache folder, and how to clear it."""

import contextlib
import os
import secrets
import shutil
from collections.abc import Mapping
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
from headstart.system.cache_folder import KINDS, TAG, is_tagged
from headstart.system.files import TEMPORARY


@dataclass(frozen=True, slots=True)
class FeatureUsage:
    """The disk usage of one configuration's features.

    Attributes:
        key: Digest of the configuration.
        rows: Number of different images.
        bytes: Size on disk.
    """

    key: str
    rows: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheUsage:
    """The disk usage of the cache.

    Attributes:
        features: One entry per configuration.
        bytes: Kind of data, one of `KINDS` -> size on disk.
    """

    features: tuple[FeatureUsage, ...]
    bytes: Mapping[str, int]

    @property
    def total_bytes(self) -> int:
        """The number of bytes that `clear` would free."""
        return sum(self.bytes.values())


def usage(root: Path) -> CacheUsage:
    """Measure the cache in folder `root`, which need not exist; unreadable files count 0."""
    sizes = {kind: _size(root / kind) if is_tagged(root / kind) else 0 for kind in KINDS}
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
    """Delete what headstart stored in the cache folder, nothing else; return the bytes freed.

    If this is interrupted, each data set is complete or gone; the next call deletes the rest.

    Args:
        root: The cache folder; need not exist. It stays, as do files of other programs in it.

    Raises:
        StoreError: Something could not be deleted; the rest has been.
    """
    freed, stuck = 0, []
    for folder in (root / kind for kind in KINDS):
        if not is_tagged(folder):
            continue
        before = _size(folder)
        with contextlib.suppress(OSError):
            for child in folder.iterdir():
                if child.is_dir() and not child.is_symlink():
                    _remove(child)
                elif child.name != TAG:  # deleted last, so that leftovers after a kill stay marked
                    child.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            if all(child.name == TAG for child in folder.iterdir()):
                shutil.rmtree(folder, ignore_errors=True)
        freed += before - _size(folder)
        if folder.exists():
            stuck.append(str(folder))
    if stuck:
        raise StoreError(
            f"Could not delete all of {', '.join(stuck)} ({freed} bytes were freed). "
            "End other runs of headstart, check the permissions, and try again."
        )
    return freed


def _remove(folder: Path) -> None:
    """Rename a folder, then delete it, so that no process finds it half deleted.

    A folder that cannot be renamed (on Windows, while it is being read) stays complete.
    """
    doomed = folder
    if folder.suffix != TEMPORARY:
        doomed = folder.with_name(f".{secrets.token_hex(8)}{TEMPORARY}")
        try:
            folder.rename(doomed)
        except OSError:
            return
    shutil.rmtree(doomed, ignore_errors=True)


def _size(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += Path(parent, name).lstat().st_size
    return total


def _rows(folder: Path) -> int:
    """Return the number of different images in the intact segments of a folder."""
    keys: list[Keys] = []
    for name in segment_names(folder):
        with contextlib.suppress(OSError, DamagedSegmentError, ForeignSegmentError):
            keys.append(Segment(folder / name).keys)
    return len(np.unique(np.concatenate(keys))) if keys else 0
