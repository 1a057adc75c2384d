"""Merging small segments into a larger one, beside others who read, write and merge."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from headstart.features.segment_file import DamagedSegmentError, Segment, write_segment
from headstart.types import Floats

_LOCK = "compact.lock"
_STALE = 600.0  # seconds after which a lock is taken for that of a killed process


def merge(folder: Path, group: Sequence[Segment], widths: Mapping[str, int]) -> bool:
    """Writes the rows of a group as one segment, then removes the group.

    Safe without any lock: every row removed lies in a file that was on the disk before, and since
    no name is ever used twice, following a row from merger to merger never leads in a circle.

    Args:
        folder: where the segments are.
        group: segments of these widths. Their bytes are verified before they are copied.
        widths: stage -> number of features.

    Returns:
        False if nothing changed: no room, no permission, or a segment damaged or gone.
    """
    keys, first = np.unique(np.concatenate([part.keys for part in group]), return_index=True)
    source = np.repeat(np.arange(len(group)), [len(part.keys) for part in group])[first]
    row = np.concatenate([np.arange(len(part.keys)) for part in group])[first]
    try:
        with contextlib.ExitStack() as stack:
            files = [stack.enter_context(part.open(widths)) for part in group]

            def rows(stage: str, begin: int, end: int) -> Floats:
                # All are sorted, so a block of the result is one short span of each of the group.
                block = np.empty((end - begin, widths[stage]), np.float32)
                for i, (part, file) in enumerate(zip(group, files, strict=True)):
                    at = np.flatnonzero(source[begin:end] == i)
                    part.gather(file, stage, row[begin:end][at], into=block, at=at)
                return block

            write_segment(folder, keys, widths, rows)
    except (OSError, DamagedSegmentError):
        return False
    for part in group:
        with contextlib.suppress(OSError):  # on Windows while somebody reads it: another time
            part.path.unlink()
    return True


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[bool]:
    """Keeps two processes from doing the same merge twice; `merge` does not rely on it.

    Yields:
        False if another process holds the lock, or it cannot be taken.
    """
    path = folder / _LOCK
    held = _take(path)
    try:
        yield held
    finally:
        if held:
            with contextlib.suppress(OSError):
                path.unlink()


def _take(path: Path) -> bool:
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
