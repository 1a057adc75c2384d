"""Arrays for features: in memory or, if they are large, mapped from temporary files."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from headstart.types import Floats

_IN_MEMORY = 2 * 2**30
"""Bytes up to which all arrays together are in memory."""


def allocate(shapes: Mapping[str, tuple[int, int]], folder: Path) -> dict[str, Floats]:
    """Return an uninitialized float32 array for each shape.

    Args:
        shapes: Name -> (rows, columns).
        folder: Folder for temporary files, which are unnamed and disappear with the arrays.
    """
    if 4 * sum(rows * columns for rows, columns in shapes.values()) > _IN_MEMORY:
        with contextlib.suppress(OSError):  # no space or no permission: then in memory
            return {name: _mapped(folder, shape) for name, shape in shapes.items()}
    return {name: np.empty(shape, np.float32) for name, shape in shapes.items()}


def _mapped(folder: Path, shape: tuple[int, int]) -> Floats:
    with tempfile.TemporaryFile(dir=folder) as file:
        size = 4 * shape[0] * shape[1]
        # Writing to a mapped file on a full disk kills the process: reserve the space first.
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        elif size > 0.9 * shutil.disk_usage(folder).free:
            raise OSError(errno.ENOSPC, "no space left")
        return np.memmap(file, np.float32, "r+", shape=shape)
