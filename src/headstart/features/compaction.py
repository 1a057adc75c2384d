"""Merge small segments into a larger one, while other processes read, write and merge."""

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from headstart.features.segment_file import DamagedSegmentError, Segment, write_segment
from headstart.types import Floats

_LOCK = "compact.lock"
_STALE = 600.0  # seconds after which a lock is assumed to be left over from a killed process


def merge(folder: Path, group: Sequence[Segment], widths: Mapping[str, int]) -> bool:
    """Write the rows of a group of segments as one segment, then delete the group.

    Safe without a lock: a row is deleted only when another file on the disk has it, and since no
    name is ever used twice, following a row from merge to merge never leads in a circle.

    Args:
        folder: The folder of the segments.
        group: Segments of these widths; their bytes are verified before they are copied.
        widths: Stage name -> number of features.

    Returns:
        False if nothing changed: no space or permission, or a segment is damaged or has vanished.
    """
    keys, first = np.unique(np.concatenate([part.keys for part in group]), return_index=True)
    source = np.repeat(np.arange(len(group)), [len(part.keys) for part in group])[first]
    row = np.concatenate([np.arange(len(part.keys)) for part in group])[first]
    try:
        with contextlib.ExitStack() as stack:
            files = [stack.enter_context(part.open(widths)) for part in group]

            def rows(stage: str, begin: int, end: int) -> Floats:
                # All are sorted, so a block of the result is a short span of each segment.
                block = np.empty((end - begin, widths[stage]), np.float32)
                for i, (part, file) in enumerate(zip(group, files, strict=True)):
                    at = np.flatnonzero(source[begin:end] == i)
                    part.copy_rows(file, stage, row[begin:end][at], into=block, at=at)
                return block

            write_segment(folder, keys, widths, rows)
    except (OSError, DamagedSegmentError):
        return False
    for part in group:
        with contextlib.suppress(OSError):  # being read, on Windows: deleted later
            part.path.unlink()
    return True


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[bool]:
    """Lock the folder against duplicate merges; `merge` is safe without it.

    Yields:
        False if another process has the lock, or it cannot be acquired.
    """
    path = folder / _LOCK
    locked = _acquire(path)
    try:
        yield locked
    finally:
        if locked:
            with contextlib.suppress(OSError):
                path.unlink()


def _acquire(path: Path) -> bool:
    for _ in range(2):
        try:
            path.open("x").close()
            return True
        except FileExistsError:
            with contextlib.suppress(OSError):
                if abs(time.time() - path.stat().st_mtime) < _STALE:
                    return False
                path.unlink()
        except OSError:
            return False
    return False
