"""Repair of SGI files."""

import struct

from headstart.images.limits import check_size


def verbatim(content: bytes) -> bytes | None:
    """Return a run-length encoded SGI file without the encoding; None if it is not encoded.

    Some programs leave out the mark at the end of each row, which Pillow insists on.
    """
    if len(content) < 512 or content[2] != 1:
        return None
    depth = content[3]
    width, height, channels = struct.unpack_from(">HHH", content, 6)
    check_size(width, height)
    rows = height * channels
    starts = struct.unpack_from(f">{rows}I", content, 512)
    lengths = struct.unpack_from(f">{rows}I", content, 512 + 4 * rows)
    body = bytearray()
    for start, length in zip(starts, lengths, strict=True):
        body += _expanded(content[start : start + length], depth, width * depth)
    return content[:2] + b"\0" + content[3:512] + bytes(body)


def _expanded(row: bytes, depth: int, size: int) -> bytes:
    found, at = bytearray(), 0
    while len(found) < size and at + depth <= len(row):
        mark = row[at + depth - 1]
        count, at = mark & 127, at + depth
        if not count:
            break
        if mark & 128:
            found += row[at : at + count * depth]
            at += count * depth
        else:
            found += row[at : at + depth] * count
            at += depth
    if len(found) < size:
        raise EOFError
    return bytes(found[:size])
