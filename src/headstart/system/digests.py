"""The names that contents go by: two files with the same bytes have the same digest."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

DIGEST_BYTES: Final = 16
"""128 bits: among a billion images, an accidental match has a chance of about 1e-21."""


def hasher(data: bytes | bytearray | memoryview = b"") -> hashlib.blake2b:
    """What makes every digest here: BLAKE2b, begun with some bytes."""
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES)


def bytes_digest(data: bytes | bytearray | memoryview) -> str:
    """The digest of some bytes: 32 hexadecimal digits."""
    return hasher(data).hexdigest()


def file_digest(path: Path) -> str:
    """The digest of a file's bytes, as `bytes_digest` gives it; any size, in constant memory.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, hasher).hexdigest()
