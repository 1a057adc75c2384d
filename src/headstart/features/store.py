"""The feature store: no image is run through the network twice.

Features are stored by configuration (a key) and, within it, by the digest of the image file's
bytes. They are in immutable segments (see `headstart.features.segment_file`), so there is nothing
to lock and nothing to repair: a segment exists completely or not at all, and one whose bytes do not
match its name is never read. Any number of processes may read, append and compact at the same time,
and may be killed at any moment.
"""

from __future__ import annotations

import contextlib
import errno
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from headstart.errors import StoreError
from headstart.features.compaction import lock, merge
from headstart.features.segment_file import (
    DamagedSegmentError,
    ForeignSegmentError,
    Indices,
    Keys,
    Segment,
    segment_names,
    write_segment,
)
from headstart.system.cache_folder import cache_folder
from headstart.system.files import remove_stale_files, reserve
from headstart.types import Floats

_MANY = 16  # segments beyond which lookups would become slow
_KEPT = 8  # largest segments that a compaction leaves alone, so that a row is rewritten rarely
_GROUP = 64  # merged at once: all are open, and some systems allow 256 files
_ATTEMPTS = 100  # how often files may vanish while they are read
_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "permission is denied",
}
_IN_MEMORY = 2 * 2**30
"""Bytes up to which the features of one `read` are in memory, not mapped from files."""
_T = TypeVar("_T")


class FeatureStore:
    """The stored features of one configuration. The constructor accesses no file.

    Not thread-safe: use one object per thread, or a lock.

    Args:
        root: The cache folder.
        key: Digest of the configuration; see `headstart.features.extractor.configuration_key`.
        widths: Stage name -> number of features.

    Raises:
        StoreError: The key cannot be a file name, or a width is below 1.
    """

    def __init__(self, root: Path, *, key: str, widths: Mapping[str, int]) -> None:
        if not re.fullmatch(r"[0-9A-Za-z_-]{1,128}", key):
            raise StoreError(f"The key of a feature store must be hex digits, not {key!r}.")
        if not widths or min(widths.values()) < 1:
            raise StoreError(f"A feature store needs stages with features, not {dict(widths)}.")
        self._root = root
        self._folder = root / "features" / key
        self._widths = dict(widths)
        self._segments: dict[str, Segment] = {}
        self._ignored: set[str] = set()
        self._swept = False

    def contains(
        self, digests: Sequence[str], stages: Sequence[str] | None = None
    ) -> npt.NDArray[np.bool_]:
        """Return which images' features are stored and undamaged: (N,) bool.

        Their bytes are verified, so that `read` will not find them damaged. Pass the stages that
        will be read: the others are then not verified.

        Args:
            digests: N image digests, 32 hex digits each.
            stages: Names of stages; all by default.
        """
        keys = _keys(digests)
        stages = self._checked(stages)
        self._refresh()
        while True:
            parts, _ = self._find(keys)
            # Each failure drops a segment, so this ends.
            if all(self._attempt(part.segment, part.segment.verify, stages) for part in parts):
                break
        contained = np.zeros(len(keys), np.bool_)
        for part in parts:
            contained[part.positions] = True
        return contained

    def read(
        self, digests: Sequence[str], stages: Sequence[str] | None = None
    ) -> dict[str, Floats]:
        """Read the features of images.

        Args:
            digests: N image digests in any order; repeats are allowed.
            stages: Names of stages; all by default.

        Returns:
            Stage name -> (N, width) float32, in the order of `digests`. Beyond 2 GiB in total they
            are mapped from temporary files, which the system keeps in memory as far as it can.

        Raises:
            StoreError: An image's features are not stored, or the files keep vanishing.
        """
        keys = _keys(digests)
        shapes = {stage: (len(keys), self._widths[stage]) for stage in self._checked(stages)}
        result = _allocated(shapes, self._folder)
        for _ in range(_ATTEMPTS):
            parts, missing = self._find(keys)
            if len(missing):
                self._refresh()  # another process may have appended them
                parts, missing = self._find(keys)
            if len(missing):
                raise StoreError(
                    f"The cache in {self._folder} lacks the features of {len(missing)} of "
                    f"{len(keys)} images, such as {digests[missing[0]]}. "
                    "Append the features that contains() does not find, then read again."
                )
            if all(self._attempt(part.segment, part.copy, result) for part in parts):
                return result
        raise StoreError(
            f"The files in {self._folder} kept vanishing while they were read. "
            "End other runs of headstart that use this cache, and try again."
        )

    def append(self, digests: Sequence[str], values: Mapping[str, Floats]) -> None:
        """Store features as one segment, and compact if there are many segments.

        When this returns, they survive a power failure. Storing an image again is harmless.

        Args:
            digests: N image digests in any order.
            values: Stage name -> (N, width) float32, for all stages of the store.

        Raises:
            StoreError: The values have another shape or dtype, or they cannot be written. Features
                stored before stay readable: continue without storing.
        """
        keys = _keys(digests)
        forms = {stage: (array.shape, array.dtype.name) for stage, array in values.items()}
        due = {stage: ((len(keys), width), "float32") for stage, width in self._widths.items()}
        if forms != due:
            raise StoreError(f"The features to store must be of the form {due}, not {forms}.")
        if not len(keys):
            return
        keys, order = np.unique(keys, return_index=True)
        try:
            cache_folder(self._root, "features")
            self._folder.mkdir(exist_ok=True)
            if not self._swept:
                self._swept = True
                remove_stale_files(self._folder)
            write_segment(
                self._folder,
                keys,
                self._widths,
                lambda stage, begin, end: values[stage][order[begin:end]],
            )
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            raise StoreError(
                f"the cache folder {self._root} cannot be written "
                f"({_REASONS.get(error.errno or 0, error.strerror or str(error))}); "
                f"{'free some space there or ' if full else ''}set HEADSTART_CACHE to another "
                "folder"
            ) from error
        self.compact()

    def compact(self) -> int:
        """Merge the smaller segments if there are more than 16, and return how many were merged.

        Safe beside readers, writers and other compactions: the merged file is on the disk before
        the first of the old ones is deleted, and no file name is ever used twice. The lock only
        saves work. Segments that cannot be merged (no space, no permission) stay as they are.
        """
        self._refresh()
        merged = 0
        if len(self._segments) > _MANY:
            with lock(self._folder) as locked:
                while locked and (count := len(self._segments)) > _MANY:
                    by_size = sorted(self._segments.values(), key=lambda segment: segment.size)
                    group = by_size[:-_KEPT][:_GROUP]
                    if all(self._attempt(part, part.verify, list(self._widths)) for part in group):
                        merged += len(group) * merge(self._folder, group, self._widths)
                    self._refresh()
                    if len(self._segments) >= count:
                        break
        return merged

    def _refresh(self) -> None:
        """Update the opened segments to the current content of the folder."""
        for _ in range(_ATTEMPTS):
            names = segment_names(self._folder)
            self._segments = {k: v for k, v in self._segments.items() if k in names}
            if all(self._open(name) for name in names - self._segments.keys() - self._ignored):
                return

    def _open(self, name: str) -> bool:
        """Open a segment; False if it has vanished, so that its rows are now in another one."""
        path = self._folder / name
        try:
            segment = Segment(path)
        except FileNotFoundError:
            return False
        except OSError:  # perhaps temporary: skipped this time
            return True
        except ForeignSegmentError:
            self._ignored.add(name)
        except DamagedSegmentError:
            self._discard(path)
        else:
            if segment.widths == self._widths:
                self._segments[name] = segment
            else:
                self._ignored.add(name)
        return True

    def _attempt(self, segment: Segment, work: Callable[[_T], None], argument: _T) -> bool:
        """Run a function on a segment; if that fails, drop the segment and return False."""
        try:
            work(argument)
        except FileNotFoundError:  # merged by another process: find where its rows are now
            self._refresh()
        except DamagedSegmentError:
            self._discard(segment.path)
        except OSError:
            self._ignored.add(segment.path.name)
        else:
            return True
        self._segments.pop(segment.path.name, None)
        return False

    def _discard(self, path: Path) -> None:
        self._ignored.add(path.name)  # it may be impossible to delete
        with contextlib.suppress(OSError):
            path.unlink()

    def _find(self, keys: Keys) -> tuple[list[_Part], Indices]:
        """Locate images: disjoint parts of segments, and the positions of the missing ones."""
        order = np.argsort(keys)  # sorted keys are found faster, and their rows ascend
        parts = []
        for segment in sorted(self._segments.values(), key=lambda segment: -len(segment.keys)):
            if not len(order):
                break
            rows = np.searchsorted(segment.keys, keys[order])
            rows[rows == len(segment.keys)] = 0
            hit = segment.keys[rows] == keys[order]
            if hit.any():
                parts.append(_Part(segment, rows[hit], order[hit]))
            order = order[~hit]
        return parts, order

    def _checked(self, stages: Sequence[str] | None) -> list[str]:
        if unknown := [stage for stage in stages or () if stage not in self._widths]:
            raise StoreError(f"The store has the stages {list(self._widths)}, not {unknown}.")
        return list(self._widths if stages is None else dict.fromkeys(stages))


@dataclass(frozen=True, slots=True)
class _Part:
    """Ascending rows of one segment, and their positions in the result."""

    segment: Segment
    rows: Indices
    positions: Indices

    def copy(self, result: Mapping[str, Floats]) -> None:
        with self.segment.open(result) as file:
            for stage, values in result.items():
                self.segment.copy_rows(file, stage, self.rows, into=values, at=self.positions)


def _keys(digests: Sequence[str]) -> Keys:
    """Pack N digests of 32 hex digits into (N,) of dtype "S16"."""
    if wrong := next((digest for digest in digests if len(digest) != 32), None):
        raise StoreError(f"An image digest has 32 hex digits; {wrong!r} has {len(wrong)}.")
    try:
        raw = bytes.fromhex("".join(digests))
        if len(raw) != 16 * len(digests):  # fromhex skips blanks
            raise ValueError("blanks")
    except ValueError as error:
        raise StoreError(f"Image digests must be 32 hex digits each: {error}.") from error
    return np.frombuffer(raw, "S16")


def _allocated(shapes: Mapping[str, tuple[int, int]], folder: Path) -> dict[str, Floats]:
    """Return an uninitialized float32 array for each shape; large ones are mapped from a folder."""
    if 4 * sum(rows * columns for rows, columns in shapes.values()) > _IN_MEMORY:
        with contextlib.suppress(OSError):  # no space or no permission: then in memory
            return {name: _mapped(folder, shape) for name, shape in shapes.items()}
    return {name: np.empty(shape, np.float32) for name, shape in shapes.items()}


def _mapped(folder: Path, shape: tuple[int, int]) -> Floats:
    with tempfile.TemporaryFile(dir=folder) as file:
        reserve(file, 4 * shape[0] * shape[1])
        return np.memmap(file, np.float32, "r+", shape=shape)
