"""A writer of small PNG files of any color type and depth."""

import struct
import zlib

from tests.images.raw_tiff import packed

GRAY, RGB, PALETTE, GRAY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2))


def chunk(kind, content):
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checksum


def raw_png(samples, color_type, depth, *, chunks=(), interlaced=False):
    """Write samples, (H, W, channels), with `chunks` of (type, content) before the pixels."""
    height, width = samples.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, int(interlaced))
    passes = [samples]
    if interlaced:
        passes = [samples[top::down, left::across] for left, top, across, down in _ADAM7]
        passes.append(samples[1::2])
    rows = b"".join(
        b"\0" + packed(row.reshape(1, -1), depth) for one in passes if one.size for row in one
    )
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, content) for kind, content in parts)
