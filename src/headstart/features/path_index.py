"""The digest of each file when it was last read, so that unchanged files are not read again.

A file counts as unchanged if its device, inode, size, mtime and ctime are unchanged. That would
miss a rewrite of equal length within one tick of the file system's clock (2 s on FAT). So, as in
git's index, a file that changed less than 2 s before its status was read is "racily clean" and not
recorded: the next run reads it again. (On Windows ctime is the time of creation, so a rewrite that
restores the old mtime goes unnoticed there.)

The index is one file: a digest of the rest, then records sorted by path digest. An index that does
not match its digest is ignored, because it can be rebuilt; so it needs no fsync. If two processes
save at the same time, one may lose its entries: those files are read again.
"""

import os
import time
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from headstart.errors import DataError, HeadstartError, StoreError
from headstart.system.cache_folder import cache_folder
from headstart.system.digests import file_digest, hasher
from headstart.system.files import atomic_write, read_regular, remove_stale_files

_RECORD = np.dtype(
    [
        ("path", "S16"),  # blake2b of the absolute path
        ("status", "<u8", (5,)),  # device, inode, size, mtime_ns, ctime_ns
        ("taken", "<i8"),  # when the status was read, ns; the oldest records are dropped first
        ("digest", "V16"),
    ]
)
_Records: TypeAlias = npt.NDArray[Any]
_Status: TypeAlias = tuple[int, int, int, int, int]

_NAME = "stat-index-1"
_RACY = 2_000_000_000  # ns, the coarsest clock of the file systems in use
_LIMIT = 1_000_000  # records: 80 MB, read in 0.15 s
_MAX_BYTES = 2 * _LIMIT * _RECORD.itemsize


class PathIndex:
    """Path -> content digest, for unchanged files; the constructor only notes the cache folder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._file = root / "index" / _NAME
        self._saved: _Records | None = None
        self._paths: npt.NDArray[np.bytes_] = np.empty(0, "S16")
        self._new: dict[bytes, tuple[_Status, int, bytes]] = {}

    def digest(self, path: Path) -> str | None:
        """Return the digest of a file's content, 32 hex digits; None if it must be read."""
        try:
            now = _status(path.stat())
        except (OSError, ValueError):  # ValueError: a path with a NUL in it
            return None
        key = _key(path)
        if (new := self._new.get(key)) is not None:
            return new[2].hex() if new[0] == now else None
        records = self._use(self._load()) if self._saved is None else self._saved
        at = int(self._paths.searchsorted(key))
        # Compared as raw bytes: an element of dtype S16 would lose its trailing zeros.
        if self._paths[at : at + 1].tobytes() != key:
            return None
        record = records[at]
        if tuple(record["status"].tolist()) != now:
            return None
        digest: bytes = record["digest"].tobytes()
        return digest.hex()

    def remember(self, path: Path, stat: os.stat_result, digest: str, *, taken: int) -> None:
        """Record the digest of a file's content, unless the file has only just changed.

        Args:
            path: Path of the file.
            stat: Its status from before it was read.
            digest: Digest of its content, 32 hex digits.
            taken: `time.time_ns()` from before `stat` was read.

        Raises:
            StoreError: The digest does not have 32 hex digits.
        """
        try:
            raw = bytes.fromhex(digest)
        except ValueError:
            raw = b""
        if len(raw) != 16:
            raise StoreError(f"A content digest must have 32 hex digits, not {digest!r}.")
        if max(stat.st_mtime_ns, stat.st_ctime_ns) < taken - _RACY:
            self._new[_key(path)] = (_status(stat), taken, raw)

    def save(self) -> bool:
        """Add the new records to the saved ones; return False if the cache cannot be written."""
        if not self._new:
            return True
        merged = _merge(self._load(), self._new)
        body = merged.tobytes()
        try:
            remove_stale_files(cache_folder(self._root, "index"))
            atomic_write(self._file, hasher(body).digest() + body, private=True)
        except (OSError, HeadstartError):
            return False
        self._use(merged)
        self._new = {}
        return True

    def _use(self, records: _Records) -> _Records:
        self._saved = records
        self._paths = np.ascontiguousarray(records["path"])  # or each search would copy it
        return records

    def _load(self) -> _Records:
        """Read the records, sorted by path; an empty array if the index is missing or damaged."""
        try:
            raw = read_regular(self._file, limit=_MAX_BYTES, own=True)
        except OSError:
            raw = b""
        body = memoryview(raw)[16:]
        intact = raw[:16] == hasher(body).digest()
        if not intact or len(body) % _RECORD.itemsize:
            return np.empty(0, _RECORD)
        return np.frombuffer(body, _RECORD)


def cached_digest(path: Path, cache: Path) -> str:
    """Return the digest of a large file, reading it only if it changed since the last time.

    Raises:
        DataError: the file cannot be read.
        StoreError: the cache cannot be written.
    """
    index = PathIndex(cache)
    if (known := index.digest(path)) is not None:
        return known
    taken = time.time_ns()
    try:
        status = path.stat()
        digest = file_digest(path)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    index.remember(path, status, digest, taken=taken)
    index.save()
    return digest


def _merge(old: _Records, new: dict[bytes, tuple[_Status, int, bytes]]) -> _Records:
    """Join records, sorted by path: new ones replace old ones; drop the oldest beyond the limit."""
    fresh = np.empty(len(new), _RECORD)
    fresh["path"] = np.frombuffer(b"".join(new), "S16")
    fresh["status"] = np.array([status for status, _, _ in new.values()], np.uint64)
    fresh["taken"] = [taken for _, taken, _ in new.values()]
    fresh["digest"] = np.frombuffer(b"".join(digest for _, _, digest in new.values()), "V16")
    joined = np.concatenate([fresh, old])
    # unique returns the first of equals, which is the fresh one.
    joined = joined[np.unique(joined["path"], return_index=True)[1]]
    if len(joined) > _LIMIT:
        youngest = np.argsort(joined["taken"], kind="stable")[-_LIMIT:]
        joined = joined[np.sort(youngest)]
    return joined


def _key(path: Path) -> bytes:
    # Neither resolved nor normalized, which would read every folder on the way: a file with two
    # names is only read twice.
    absolute = path if path.is_absolute() else path.absolute()
    return hasher(os.fsencode(absolute)).digest()


def _status(stat: os.stat_result) -> _Status:
    # Masked, since Windows has inodes of 128 bits and times can be before 1970.
    mask = (1 << 64) - 1
    return (
        stat.st_dev & mask,
        stat.st_ino & mask,
        stat.st_size,
        stat.st_mtime_ns & mask,
        stat.st_ctime_ns & mask,
    )
