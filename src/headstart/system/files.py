"""Atomic writing of files, checks before writing, and removal of stale temporary files.

A file is written next to its destination and then moved there, so that readers and interrupted
runs never see an incomplete one.
"""

import contextlib
import errno
import os
import re
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import IO, Final, cast

from headstart.errors import HeadstartError, UserError

TEMPORARY: Final = ".tmp"
"""Extension of files and folders that are incomplete."""
_OURS: Final = re.compile(r"(.+\.)?\.?[0-9a-f]{16}([0-9a-f]{16})?\.tmp")
"""Names of temporary files that headstart makes. Other programs use the extension, too."""
_LONGEST_NAME: Final = 255  # bytes, of all common file systems
_STALE: Final = 3600.0  # seconds after which the writer of a temporary file is assumed dead
_WAIT: Final = 30.0
"""Seconds to wait for a lock. Then its holder is assumed to hang."""


def atomic_write(
    path: Path, content: bytes, *, durable: bool = False, private: bool = False
) -> None:
    """Write a file completely or not at all, creating its folder if necessary.

    Args:
        path: The file to write or replace.
        content: All of its bytes.
        durable: Whether it must survive a power failure once this returns.
        private: Whether only the user may read it.

    Raises:
        HeadstartError: the disk is full, the folder is not writable, or similar.
    """
    # Next to the destination, because moving is atomic only within a file system.
    draft = path.parent / f".{secrets.token_hex(8)}{TEMPORARY}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with draft.open("xb") as file:
                if private:
                    set_mode(file, 0o600)
                file.write(content)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
        if durable:
            sync_folder(path.parent)
    except OSError as error:
        raise HeadstartError(
            f"cannot write {path}: {error.strerror or error}; free some space or choose another "
            "folder"
        ) from error


def check_writable(folder: Path, file: Path | None = None) -> None:
    """Check that a folder for results can be created and written, leaving nothing behind.

    Args:
        folder: the folder.
        file: the result in it, if it is a single one, which the error names.

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
            f"cannot write {file or f'to {folder}'}: {error.strerror or error}; choose another "
            "folder"
        ) from error


def check_not_input(image: Path, results: Iterable[Path]) -> None:
    """Check that no result would overwrite the image it is made from.

    Raises:
        UserError: a result is the same file as the image.
    """
    for path in results:
        if path.exists() and path.samefile(image):
            raise UserError(f"{path} is the input image; choose another file for the result")


def is_temporary(path: Path) -> bool:
    """Whether a file has the name of a temporary file of headstart."""
    return _OURS.fullmatch(path.name) is not None


def cut_stem(stem: str, ending: str) -> str:
    """Return as much of the beginning of a file's name as fits into a name with this ending."""
    room = _LONGEST_NAME - len(os.fsencode(ending))
    while len(os.fsencode(stem)) > room:
        stem = stem[:-1]
    return stem


def remove_stale_files(folder: Path) -> None:
    """Remove the temporary files that killed processes of headstart left in a folder."""
    for path in folder.glob(f"*{TEMPORARY}"):
        with contextlib.suppress(OSError):
            found = path.lstat()
            stale = time.time() - found.st_mtime > _STALE
            if stale and is_temporary(path) and stat.S_ISREG(found.st_mode):
                path.unlink()


def set_mode(file: IO[bytes], mode: int) -> None:
    """Set the permissions of an open file, where the platform can."""
    if hasattr(os, "fchmod"):
        os.fchmod(file.fileno(), mode)


def is_own(found: os.stat_result) -> bool:
    """Whether nobody but the user and root can have written a file or folder with this status."""
    if not hasattr(os, "geteuid"):  # Windows
        return True
    return found.st_uid in (os.geteuid(), 0) and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


@contextlib.contextmanager
def open_regular(path: Path, *, own: bool = False, buffering: int = -1) -> Iterator[BufferedReader]:
    """Open an ordinary file for reading. Opening a named pipe would wait for its writer.

    Args:
        path: The file.
        own: Whether to refuse a file that another user may have written.
        buffering: As for `open`.

    Raises:
        OSError: It cannot be opened, or is a folder, pipe, socket or device.
    """

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))

    with open(path, "rb", buffering, opener=opener) as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        if own and not is_own(found):
            raise OSError(errno.EPERM, "another user may have written it")
        yield cast("BufferedReader", file)


def read_regular(path: Path, *, limit: int, own: bool = False) -> bytes:
    """Return the content of an ordinary file of at most `limit` bytes.

    Raises:
        OSError: It cannot be read, is larger, or is no ordinary file; with `own`, another user may
            have written it.
    """
    with open_regular(path, own=own) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"larger than {limit:,} bytes")
    return content


def head_of(path: Path, size: int = 4096) -> bytes:
    """Return the first bytes of an ordinary file; none if it cannot be read."""
    try:
        with open_regular(path) as file:
            return file.read(size)
    except OSError:
        return b""


def remove_stale_folders(parent: Path) -> None:
    """Remove the temporary folders of `parent` that killed processes left: old and not locked."""
    for folder in parent.glob(f".*{TEMPORARY}/"):
        with contextlib.suppress(OSError):
            found = folder.lstat()
            if not stat.S_ISDIR(found.st_mode) or time.time() - found.st_mtime < _STALE:
                continue
            with locked(folder, wait=0.0) as free:
                if free and is_temporary(folder):
                    shutil.rmtree(folder)


@contextlib.contextmanager
def locked(folder: Path, *, wait: float = _WAIT) -> Iterator[bool]:
    """Exclude other processes that lock the same folder; a killed process loses its lock.

    No file is left behind. On Windows and on file systems without locks, the block runs without
    one.

    Args:
        folder: An existing folder.
        wait: Seconds to wait for a process that has the lock. Then the block runs without it.

    Yields:
        Whether no other process has the lock, as far as it can be known.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield True
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        end, free = time.monotonic() + wait, False
        while not free:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                free = True
            except BlockingIOError:
                if time.monotonic() >= end:
                    break
                time.sleep(0.005)
            except OSError:  # locks are not supported here
                free = True
        yield free
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Make the names of new files survive a power failure, where the platform can."""
    if os.name != "nt":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def reserve(file: IO[bytes], size: int) -> None:
    """Make room for a file: writing to a mapped file on a full disk would kill the process.

    Raises:
        OSError: There is not enough space.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
    elif size > 0.9 * shutil.disk_usage(Path(file.name).parent).free:
        raise OSError(errno.ENOSPC, "no space left")
