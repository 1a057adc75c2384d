"""Boxes, of which HEIF, AVIF, JPEG 2000, JPEG XL and MP4 files consist (ISO 14496-12)."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Box:
    """A part of a file with a type of four letters.

    Attributes:
        kind: its type.
        content: what it holds.
    """

    kind: bytes
    content: bytes


def boxes(data: bytes) -> Iterator[Box]:
    """Yield the boxes that a file or a box consists of; the last one may be cut off."""
    at = 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if size == 1 and at + 16 <= len(data):
            (size,), head = struct.unpack_from(">Q", data, at + 8), 16
        elif size == 0:  # until the end of the file
            size = len(data) - at
        if size < head:
            return
        yield Box(kind, data[at + head : at + size])
        at += size


def box(data: bytes, kind: bytes) -> bytes | None:
    """Return the content of the first box of a type, such as jp2h."""
    found = next((one.content for one in boxes(data) if one.kind == kind), None)
    # In HEIF files, "meta" has four bytes of version and flags before its boxes.
    return found[4:] if found is not None and kind == b"meta" else found
