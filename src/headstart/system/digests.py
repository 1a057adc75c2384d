"""Digests that identify files by their content."""

import hashlib
from pathlib import Path
from typing import Final

DIGEST_BYTES: Final = 16
"""128 bits: among a billion images, an accidental match has a probability of about 1e-21."""


def hasher(data: bytes | bytearray | memoryview = b"") -> hashlib.blake2b:
    """Return the BLAKE2b hash object behind every digest, after hashing `data`."""
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES)


def bytes_digest(data: bytes | bytearray | memoryview) -> str:
    """Return the digest of some bytes as 32 hexadecimal digits."""
    return hasher(data).hexdigest()


def file_digest(path: Path) -> str:
    """Return the same digest of a file's content, using constant memory for any size.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, hasher).hexdigest()
