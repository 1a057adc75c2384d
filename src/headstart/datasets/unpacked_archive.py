"""What an archive or table was unpacked to, in the cache, and whether it is still complete."""

import errno
import json
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from headstart.system.cache_folder import cache_errors
from headstart.system.files import is_own, read_regular
from headstart.types import Skipped

_CONTENTS: Final = "contents.json"
_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH
_MAX_BYTES: Final = 256 * 2**20


@dataclass(frozen=True, slots=True)
class UnpackedArchive:
    """A folder in the cache with the files of an archive, and a record of what they are.

    Attributes:
        folder: The folder; its name is determined by the archive's content.
    """

    folder: Path

    @property
    def files(self) -> Path:
        """The folder of the unpacked files."""
        return self.folder / "files"

    def record(self, refused: Sequence[Skipped]) -> None:
        """Write down what has been unpacked, and what has not.

        Raises:
            StoreError: It cannot be written.
        """
        with cache_errors(self.folder):
            self._keep_from_others()
            count, size = self._measured()
            contents = {"count": count, "size": size, "refused": [asdict(one) for one in refused]}
            path = self.folder / _CONTENTS
            path.write_text(json.dumps(contents), encoding="utf-8")
            path.chmod(stat.S_IMODE(path.stat().st_mode) & ~_OTHERS)

    def refused(self) -> tuple[Skipped, ...] | None:
        """Return the members that were not unpacked; None if the folder must be unpacked again.

        It must be if files were deleted, added or cut off, or if another user may have written it.
        """
        try:
            if not is_own(self.folder.lstat()):
                return None
            contents = json.loads(read_regular(self.folder / _CONTENTS, limit=_MAX_BYTES, own=True))
            complete = self._measured() == (contents["count"], contents["size"])
            refused = tuple(Skipped(one["path"], one["reason"]) for one in contents["refused"])
        except (OSError, ValueError, LookupError, TypeError):
            return None
        return refused if complete else None

    def remove(self) -> None:
        """Delete the folder, if it exists.

        Raises:
            StoreError: It cannot be deleted.
        """
        with cache_errors(self.folder), suppress(FileNotFoundError):
            shutil.rmtree(self.folder)

    def _keep_from_others(self) -> None:
        """Take the permission to write from others, whom the umask may have given it."""
        for path, found in self._entries():
            if found.st_mode & _OTHERS and not stat.S_ISLNK(found.st_mode):
                path.chmod(stat.S_IMODE(found.st_mode) & ~_OTHERS)

    def _measured(self) -> tuple[int, int]:
        """Return the number of files, and their size in bytes.

        Raises:
            OSError: Another user may have written one of them.
        """
        count = size = 0
        for path, found in self._entries():
            if not is_own(found):
                raise OSError(errno.EPERM, "another user may have written it", str(path))
            if not stat.S_ISDIR(found.st_mode):
                count += 1
                size += found.st_size
        return count, size

    def _entries(self) -> Iterator[tuple[Path, os.stat_result]]:
        """List the files and folders, with their status."""
        yield self.files, self.files.lstat()
        folders = [str(self.files)]
        while folders:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    yield Path(entry.path), entry.stat(follow_symlinks=False)
