"""Members of archives, and how much may be unpacked."""

import re
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from headstart.datasets.image_tree import is_litter
from headstart.errors import DataError

CHUNK: Final = 1 << 20  # bytes of a member in memory
MOST_MEMBERS: Final = 2_100_000
"""Entries of an archive, of every kind: images, folders, links, what macOS adds."""
UNSAFE: Final = "unsafe archive member"
_DEEPEST: Final = 100  # folders in folders; removing deeper ones needs recursion without end


@dataclass(frozen=True, slots=True)
class Member:
    """An entry of an archive.

    Attributes:
        name: Its name, as it is in the archive.
        content: Reads it in chunks; None for entries that are passed over or refused.
        refused: Why it is not unpacked; None if it is, or if it is passed over in silence.
    """

    name: str
    content: Callable[[], Generator[bytes]] | None = None
    refused: str | None = None


class MemberError(Exception):
    """A member that cannot be unpacked, for the reason in the message; others may be fine."""


class ReadError(Exception):
    """Wraps an OSError from reading the archive, to tell it from errors of writing."""


@dataclass(slots=True)
class Allowance:
    """How many bytes an archive may still unpack to.

    Attributes:
        path: The archive.
        total: The bytes allowed.
        used: The bytes so far.
    """

    path: Path
    total: int
    used: int = 0

    def spend(self, count: int) -> None:
        """Count bytes before they are written or passed over.

        Raises:
            DataError: They are more than allowed.
        """
        self.used += count
        if self.used > self.total:
            raise DataError(
                f"{self.path} unpacks to more than {self.total / 1e6:.0f} MB, as decompression "
                "bombs do; if you trust it, unpack it yourself and give the folder"
            )


def too_many_members(path: Path) -> DataError:
    """Return the error about an archive with too many entries."""
    return DataError(
        f"{path} contains more than {MOST_MEMBERS:,} files, folders and links; if you trust it, "
        "unpack it yourself and give the folder"
    )


def target(into: Path, name: str) -> Path:
    """Return where a member is written, if its name is not refused."""
    return into.joinpath(*PurePosixPath(name.replace("\\", "/")).parts)


def refusal(name: str) -> str | None:
    """Return why a member with this name must not be written, or None."""
    parts = re.split(r"[/\\]", name)
    if not any(part not in ("", ".") for part in parts):
        return "no name"
    if not parts[0] or re.match(r"[A-Za-z]:", name):
        return "absolute path in the archive"
    if ".." in parts:
        return "path that leads out of the archive"
    if len(parts) > _DEEPEST:
        return f"more than {_DEEPEST} folders in each other"
    return None


def is_ignored(name: str) -> bool:
    """Whether a member is a file, or in a folder, that operating systems and tools leave."""
    parts = re.split(r"[/\\]", name)
    return any(part not in (".", "..") and is_litter(part) for part in parts if part)
