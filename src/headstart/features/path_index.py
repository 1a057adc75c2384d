"""Which content a path had when it was last read: saves reading unchanged files again.

A file is taken for unchanged when its device, inode, size, mtime and ctime are. That would miss
a rewrite of equal length within the same tick of the file system's clock (2 s on FAT). So, as in
git's index, a file that had changed less than 2 s before it was looked at is "racily clean" and
not recorded: the next run reads it once more and records it then. (On Windows ctime is the time of
creation, so there the guard against a rewrite that puts the old mtime back is missing.)

The index is one file: a digest of the rest, then records sorted by path digest. A file that does
not match its digest is thrown away without a word, because it can be made again; so there is no
need to fsync. Of two processes that save at once one may lose its entries: they are read again.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from headstart.errors import HeadstartError, StoreError
from headstart.system.cache_folder import cache_folder
from headstart.system.digests import hasher
from headstart.system.files import sweep, write_file

_RECORD = np.dtype(
    [
        ("path", "S16"),  # blake2b of the absolute path
        ("status", "<u8", (5,)),  # device, inode, size, mtime_ns, ctime_ns
        ("taken", "<i8"),  # when the status was taken, ns; the oldest records go first
        ("digest", "V16"),
    ]
)
_Records: TypeAlias = npt.NDArray[Any]
_Status: TypeAlias = tuple[int, int, int, int, int]

_NAME = "stat-index-1"
_RACY = 2_000_000_000  # ns: the coarsest clock of a file system still in use
_LIMIT = 1_000_000  # records: 80 MB, read in 0.15 s


class PathIndex:
    """Path -> content digest, for files that have not changed. Nothing is touched until used.

    Args:
        root: the cache folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._file = root / "index" / _NAME
        self._saved: _Records | None = None
        self._paths: npt.NDArray[np.bytes_] = np.empty(0, "S16")
        self._new: dict[bytes, tuple[_Status, int, bytes]] = {}

    def digest(self, path: Path) -> str | None:
        """Looks a file up.

        Args:
            path: an image; relative to the working folder, or absolute.

        Returns:
            The digest of its content (32 hex digits), or None if it must be read to know.
        """
        try:
            now = _status(path.stat())
        except (OSError, ValueError):  # ValueError: a name with a NUL in it
            return None
        key = _key(path)
        if (new := self._new.get(key)) is not None:
            return new[2].hex() if new[0] == now else None
        records = self._hold(self._load()) if self._saved is None else self._saved
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
        """Records a file's content, unless the file has only just changed.

        Args:
            path: the file read.
            stat: its status, taken before the reading began.
            digest: of what was read, 32 hex digits.
            taken: `time.time_ns()` from before `stat` was taken.

        Raises:
            StoreError: the digest is not of 32 hex digits.
        """
        try:
            raw = bytes.fromhex(digest)
        except ValueError:
            raw = b""
        if len(raw) != 16:
            raise StoreError(f"A content digest has 32 hex digits, unlike {digest!r}.")
        if max(stat.st_mtime_ns, stat.st_ctime_ns) < taken - _RACY:
            self._new[_key(path)] = (_status(stat), taken, raw)

    def save(self) -> bool:
        """Writes what was remembered, merged with what other processes have saved meanwhile.

        Returns:
            False if the cache cannot be written: the next run will read the files again.
        """
        if not self._new:
            return True
        merged = _merge(self._load(), self._new)
        body = merged.tobytes()
        try:
            sweep(cache_folder(self._root, "index"))
            write_file(self._file, hasher(body).digest() + body)
        except (OSError, HeadstartError):
            return False
        self._hold(merged)
        self._new = {}
        return True

    def _hold(self, records: _Records) -> _Records:
        self._saved = records
        self._paths = np.ascontiguousarray(records["path"])  # else each search would copy it
        return records

    def _load(self) -> _Records:
        """Reads the records, sorted by path; none if there is no index or it is damaged."""
        try:
            raw = self._file.read_bytes()
        except OSError:
            raw = b""
        body = memoryview(raw)[16:]
        intact = raw[:16] == hasher(body).digest()
        if not intact or len(body) % _RECORD.itemsize:
            return np.empty(0, _RECORD)
        return np.frombuffer(body, _RECORD)


def _merge(old: _Records, new: dict[bytes, tuple[_Status, int, bytes]]) -> _Records:
    """Joins records, the new ones winning: sorted by path, the oldest dropped beyond the limit."""
    fresh = np.empty(len(new), _RECORD)
    fresh["path"] = np.frombuffer(b"".join(new), "S16")
    fresh["status"] = np.array([status for status, _, _ in new.values()], np.uint64)
    fresh["taken"] = [taken for _, taken, _ in new.values()]
    fresh["digest"] = np.frombuffer(b"".join(digest for _, _, digest in new.values()), "V16")
    joined = np.concatenate([fresh, old])
    # unique gives the first of equals, which is the fresh one.
    joined = joined[np.unique(joined["path"], return_index=True)[1]]
    if len(joined) > _LIMIT:
        youngest = np.argsort(joined["taken"], kind="stable")[-_LIMIT:]
        joined = joined[np.sort(youngest)]
    return joined


def _key(path: Path) -> bytes:
    # Neither resolved nor normalized: that costs a look at every folder on the way, and a second
    # name for a file only means that it is read once more.
    absolute = path if path.is_absolute() else path.absolute()
    return hasher(os.fsencode(absolute)).digest()


def _status(stat: os.stat_result) -> _Status:
    # Masked, since Windows has inodes of 128 bits and clocks can stand before 1970.
    mask = (1 << 64) - 1
    return (
        stat.st_dev & mask,
        stat.st_ino & mask,
        stat.st_size,
        stat.st_mtime_ns & mask,
        stat.st_ctime_ns & mask,
    )
