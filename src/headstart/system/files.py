"""Files that are there whole or not at all, and the removal of what killed writers left.

A file is written beside its place and then moved there, so that a reader, or a run that was
interrupted, never sees half of one.
"""

from __future__ import annotations

import contextlib
import secrets
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from headstart.errors import HeadstartError, UserError

TEMPORARY: Final = ".tmp"
"""The ending of files, and of folders, that are not finished or no longer whole."""
_LEFTOVER: Final = 3600.0  # seconds after which a temporary file is taken for a dead writer's


def write_file(path: Path, content: bytes) -> None:
    """Writes a whole file or none of it; its folder is made if need be.

    Raises:
        HeadstartError: the disk is full, the place is not writable, and the like.
    """
    # Beside the target, because a file system moves a file in one step only within itself.
    draft = path.parent / f".{secrets.token_hex(8)}{TEMPORARY}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            draft.write_bytes(content)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise HeadstartError(
            f"cannot write {path}: {error.strerror or error}. Free the place or choose another"
        ) from error


def check_place(folder: Path) -> None:
    """Refuse a folder for results that cannot be made or written, before any work is done.

    Nothing is left there: a nameless file is made, and gone again.

    Raises:
        UserError: it cannot be; says why.
    """
    try:
        # Permissions say too little: nobody, and root neither, can make a folder in /proc.
        whole = folder.absolute()
        place = next((one for one in (whole, *whole.parents) if one.exists()), whole)
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise UserError(
            f"cannot write to {folder}: {error.strerror or error}; name another folder"
        ) from error


def check_spared(kept: Path, results: Iterable[Path]) -> None:
    """Refuse to write results over the file that they are made of, before any work is done.

    Raises:
        UserError: one of them is that file.
    """
    for path in results:
        if path.exists() and path.samefile(kept):
            raise UserError(f"{path} is the picture itself; name another place for the results")


def sweep(folder: Path) -> None:
    """Removes the temporary files that killed writers left in a folder."""
    for path in folder.glob(f"*{TEMPORARY}"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _LEFTOVER:
                path.unlink()
