"""The names that contents go by: two files with the same bytes have the same digest."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

DIGEST_BYTES: Final = 16
"""128 bits: among a billion images, an accidental match has a chance of about 1e-21."""


def bytes_digest(data: bytes | bytearray | memoryview) -> str:
    """The BLAKE2b digest of some bytes: 32 hexadecimal digits."""
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES).hexdigest()


def file_digest(path: Path) -> str:
    """The digest of a file's bytes, as `bytes_digest` gives it; any size, in constant memory.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, _hasher).hexdigest()


def _hasher() -> hashlib.blake2b:
    return hashlib.blake2b(digest_size=DIGEST_BYTES)
