"""The feature store: nobody waits for the same photo twice.

Features are kept by configuration (a key) and, within it, by the digest of the image file's bytes.
They lie in immutable segments (see `headstart.features.segment_file`), so there is nothing to
lock and nothing to repair: a segment is there whole or not at all, and one whose bytes do not
match its name is never read. Any number of processes may read, append and compact at once, and be
killed at it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
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
from headstart.system.files import sweep
from headstart.types import Floats

_MANY = 16  # segments beyond which lookups would begin to cost
_KEPT = 8  # largest segments that a compaction leaves as they are, so a row is rewritten rarely
_GROUP = 64  # merged at once: all are open, and some systems allow 256 files
_ATTEMPTS = 100  # how often files may vanish under a reader before it gives up
_IN_MEMORY = 2 * 2**30  # bytes of features that are read into memory; more go to files
_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "permission is denied",
}
_T = TypeVar("_T")


class FeatureStore:
    """The features of one configuration. One object a thread; nothing is touched until used.

    Args:
        root: the cache folder.
        key: the digest of weights, preprocessing, stages, engine and precision.
        widths: stage -> number of features.

    Raises:
        StoreError: a key that is no file name, or a width below 1.
    """

    def __init__(self, root: Path, *, key: str, widths: Mapping[str, int]) -> None:
        if not re.fullmatch(r"[0-9A-Za-z_-]{1,128}", key):
            raise StoreError(f"The key of a feature store must be hex digits, not {key!r}.")
        if not widths or min(widths.values()) < 1:
            raise StoreError(
                f"A feature store needs stages that are at least 1 wide, not {dict(widths)}."
            )
        self._root = root
        self._folder = root / "features" / key
        self._widths = dict(widths)
        self._segments: dict[str, Segment] = {}
        self._ignored: set[str] = set()
        self._swept = False

    def known(
        self, digests: Sequence[str], stages: Sequence[str] | None = None
    ) -> npt.NDArray[np.bool_]:
        """Tells which images' features are held, intact.

        What it vouches for has been hashed, so `read` will not find it damaged. Pass the stages
        that will be read: the others are then not hashed.

        Args:
            digests: N image digests, 32 hex digits each.
            stages: all by default.

        Returns:
            (N,) bool.
        """
        keys = _keys(digests)
        stages = self._checked(stages)
        self._refresh()
        while True:
            found, _ = self._find(keys)
            # Each failure drops a segment, so this ends.
            if all(self._attempt(part.segment, part.segment.verify, stages) for part in found):
                break
        held = np.zeros(len(keys), np.bool_)
        for part in found:
            held[part.positions] = True
        return held

    def read(
        self, digests: Sequence[str], stages: Sequence[str] | None = None
    ) -> dict[str, Floats]:
        """Reads features, those of the stages asked for and no others.

        Args:
            digests: N image digests, in any order, repeats allowed.
            stages: all by default.

        Returns:
            stage -> (N, width) float32, in the order of `digests`; where all together are more
            than 2 GiB, in files without a name, of which the system keeps in memory what it can.

        Raises:
            StoreError: an image's features are not held, or the files keep vanishing.
        """
        keys = _keys(digests)
        stages = self._checked(stages)
        result = self._room(len(keys), stages)
        for _ in range(_ATTEMPTS):
            found, missing = self._find(keys)
            if len(missing):
                self._refresh()  # appended since, by another process
                found, missing = self._find(keys)
            if len(missing):
                raise StoreError(
                    f"The cache in {self._folder} lacks the features of {len(missing)} of "
                    f"{len(keys)} images, such as {digests[missing[0]]}. "
                    "Append those that known() does not know, then read again."
                )
            if all(self._attempt(part.segment, part.copy, result) for part in found):
                return result
        raise StoreError(
            f"The files in {self._folder} kept vanishing while they were read. "
            "End other runs of headstart that use this cache, and try again."
        )

    def append(self, digests: Sequence[str], values: Mapping[str, Floats]) -> None:
        """Adds features, as one segment, and compacts where there are many.

        When it returns, they survive a power cut. Adding an image again does no harm.

        Args:
            digests: N image digests, in any order.
            values: for every stage of the store, (N, width) float32.

        Raises:
            StoreError: values of another form; or they cannot be written, for want of room or of
                permission. What was held stays readable: go on without the cache.
        """
        keys = _keys(digests)
        forms = {stage: (array.shape, array.dtype.name) for stage, array in values.items()}
        due = {stage: ((len(keys), width), "float32") for stage, width in self._widths.items()}
        if forms != due:
            raise StoreError(f"The features to keep must be of the form {due}, not {forms}.")
        if not len(keys):
            return
        keys, order = np.unique(keys, return_index=True)
        try:
            cache_folder(self._root, "features")
            self._folder.mkdir(exist_ok=True)
            if not self._swept:
                self._swept = True
                sweep(self._folder)
            write_segment(
                self._folder,
                keys,
                self._widths,
                lambda stage, begin, end: values[stage][order[begin:end]],
            )
        except OSError as error:
            raise StoreError(
                f"the cache folder {self._root} cannot be written "
                f"({_REASONS.get(error.errno or 0, error.strerror or str(error))}); "
                "make room there or set HEADSTART_CACHE to another folder"
            ) from error
        self.compact()

    def compact(self) -> int:
        """Merges the smaller segments where there are more than 16.

        Safe beside readers, writers and other compactions: the merged file is on the disk before
        the first of the old ones goes, and no file name is ever used twice. The lock only saves
        work. What cannot be merged, for want of room or of permission, stays as it is.

        Returns:
            The number of segments merged.
        """
        self._refresh()
        merged = 0
        if len(self._segments) > _MANY:
            with lock(self._folder) as held:
                while held and (count := len(self._segments)) > _MANY:
                    by_size = sorted(self._segments.values(), key=lambda segment: segment.size)
                    group = by_size[:-_KEPT][:_GROUP]
                    if all(self._attempt(part, part.verify, list(self._widths)) for part in group):
                        merged += len(group) * merge(self._folder, group, self._widths)
                    self._refresh()
                    if len(self._segments) >= count:
                        break
        return merged

    def _room(self, rows: int, stages: Sequence[str]) -> dict[str, Floats]:
        """Arrays to read into, in memory or in files that end with them."""
        shapes = {stage: (rows, self._widths[stage]) for stage in stages}
        size = 4 * sum(count * width for count, width in shapes.values())
        if size > _IN_MEMORY:
            with contextlib.suppress(OSError):  # no room, no permission: then in memory
                return {stage: _mapped(self._folder, shape) for stage, shape in shapes.items()}
        return {stage: np.empty(shape, np.float32) for stage, shape in shapes.items()}

    def _refresh(self) -> None:
        """Brings the opened segments up to date with the folder."""
        for _ in range(_ATTEMPTS):
            names = segment_names(self._folder)
            self._segments = {k: v for k, v in self._segments.items() if k in names}
            if all(self._admit(name) for name in names - self._segments.keys() - self._ignored):
                return

    def _admit(self, name: str) -> bool:
        """Opens a segment; False if it vanished, so that its rows have moved elsewhere."""
        path = self._folder / name
        try:
            segment = Segment(path)
        except FileNotFoundError:
            return False
        except OSError:  # perhaps a passing trouble: not held this time
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
        """Works on a segment; False, with the segment dropped, if that fails."""
        try:
            work(argument)
        except FileNotFoundError:  # merged by another process: where are its rows now?
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
        self._ignored.add(path.name)  # it may be impossible to remove
        with contextlib.suppress(OSError):
            path.unlink()

    def _find(self, keys: Keys) -> tuple[list[_Part], Indices]:
        """Locates images: parts that are in no two segments, and the positions of the missing."""
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
        if stages is None:
            return list(self._widths)
        if unknown := [stage for stage in stages if stage not in self._widths]:
            raise StoreError(f"The store has the stages {list(self._widths)}, not {unknown}.")
        return list(dict.fromkeys(stages))


@dataclass(frozen=True, slots=True)
class _Part:
    """Rows of one segment, ascending, and where they belong in the answer."""

    segment: Segment
    rows: Indices
    positions: Indices

    def copy(self, result: Mapping[str, Floats]) -> None:
        with self.segment.open(result) as file:
            for stage, values in result.items():
                self.segment.gather(file, stage, self.rows, into=values, at=self.positions)


def _mapped(folder: Path, shape: tuple[int, int]) -> Floats:
    """An array in a file without a name, which ends with it.

    Raises:
        OSError: it cannot be made.
    """
    with tempfile.TemporaryFile(dir=folder) as file:
        size = 4 * shape[0] * shape[1]
        # A mapped file that finds the disk full kills the process: so take the room first.
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        elif size > 0.9 * shutil.disk_usage(folder).free:
            raise OSError(errno.ENOSPC, "no room")
        return np.memmap(file, np.float32, "r+", shape=shape)


def _keys(digests: Sequence[str]) -> Keys:
    """Packs N digests of 32 hex digits into (N,) of dtype "S16"."""
    if wrong := next((digest for digest in digests if len(digest) != 32), None):
        raise StoreError(f"An image digest has 32 hex digits; {wrong!r} has {len(wrong)}.")
    try:
        raw = bytes.fromhex("".join(digests))
        if len(raw) != 16 * len(digests):  # fromhex skips blanks
            raise ValueError("blanks")
    except ValueError as error:
        raise StoreError(
            f"Image digests are 32 hex digits each; those given are not: {error}."
        ) from error
    return np.frombuffer(raw, "S16")
