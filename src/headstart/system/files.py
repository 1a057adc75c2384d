"""Atomic writing of files, checks before writing, and removal of stale temporary files.

A file is written next to its destination and then moved there, so that readers and interrupted
runs never see an incomplete one.
"""

import contextlib
import secrets
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from headstart.errors import HeadstartError, UserError

TEMPORARY: Final = ".tmp"
"""Extension of files and folders that are incomplete."""
_STALE: Final = 3600.0  # seconds after which the writer of a temporary file is assumed dead


def atomic_write(path: Path, content: bytes) -> None:
    """Write a file completely or not at all, creating its folder if necessary.

    Raises:
        HeadstartError: the disk is full, the folder is not writable, or similar.
    """
    # Next to the destination, because moving is atomic only within a file system.
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
            f"cannot write {path}: {error.strerror or error}; free some space or choose another "
            "folder"
        ) from error


def check_writable(folder: Path) -> None:
    """Check that a folder for results can be created and written, leaving nothing behind.

    Raises:
        UserError: it cannot be created or written.
    """
    try:
        # Creates an unnamed file, because permissions are not enough: even root cannot write /proc.
        whole = folder.absolute()
        existing = next((one for one in (whole, *whole.parents) if one.exists()), whole)
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise UserError(
            f"cannot write to {folder}: {error.strerror or error}; choose another folder"
        ) from error


def check_not_input(image: Path, results: Iterable[Path]) -> None:
    """Check that no result would overwrite the image it is made from.

    Raises:
        UserError: a result is the same file as the image.
    """
    for path in results:
        if path.exists() and path.samefile(image):
            raise UserError(f"{path} is the input image; choose another file for the result")


def remove_stale_files(folder: Path) -> None:
    """Remove the temporary files that killed processes left in a folder."""
    for path in folder.glob(f"*{TEMPORARY}"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _STALE:
                path.unlink()
