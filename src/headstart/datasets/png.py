"""A writer of small PNGs whose bytes are the same everywhere.

Features are stored by the digest of the image file, so images that headstart writes itself must
not differ between versions of Pillow or zlib. Uncompressed blocks leave nothing to choose.
"""

from __future__ import annotations

import struct
import zlib

from headstart.types import Pixels

_BLOCK = 65535
"""The most bytes that an uncompressed block of a zlib stream can hold."""


def png_bytes(pixels: Pixels) -> bytes:
    """Encode an 8-bit picture without compression.

    Args:
        pixels: (H, W) uint8 gray, or (H, W, 3) uint8 RGB.

    Returns:
        The content of a PNG file.
    """
    height, width = pixels.shape[:2]
    color = 2 if pixels.ndim == 3 else 0
    # Each row is preceded by the number of its filter; 0 is none.
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    blocks = [rows[at : at + _BLOCK] for at in range(0, len(rows), _BLOCK)]
    stream = b"\x78\x01" + b"".join(
        struct.pack("<BHH", number == len(blocks) - 1, len(block), len(block) ^ 0xFFFF) + block
        for number, block in enumerate(blocks)
    )
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, color, 0, 0, 0))
        + _chunk(b"IDAT", stream + struct.pack(">I", zlib.adler32(rows)))
        + _chunk(b"IEND", b"")
    )


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)
