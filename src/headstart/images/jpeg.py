"""Segments of JPEG files: repair, and what Pillow cannot read."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_FRAMES: Final = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
"""Markers of the frame header; the one of JPEG-LS is the last."""
BASELINE_TO_PROGRESSIVE: Final = (0xC0, 0xC1, 0xC2)
"""Markers of the frames that every program reads."""
_SCAN, LOSSLESS, _JPEG_LS = 0xDA, 0xC3, 0xF7
_JFIF, _EXIF, _PROFILE, _ADOBE = 0xE0, 0xE1, 0xE2, 0xEE
_METADATA: Final = frozenset({*range(0xE0, 0xF0), 0xFE})
_ALONE: Final = frozenset({0x01, *range(0xD0, 0xDA)})
"""Markers without content."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of the header.

    Attributes:
        marker: its type.
        start: where it starts in the file, with its marker.
        end: where the next one starts.
        content: what it holds.
    """

    marker: int
    start: int
    end: int
    content: bytes


def segments(content: bytes, start: int = 2, *, strict: bool = False) -> Iterator[Segment]:
    """Yield the segments up to the first scan.

    Args:
        content: a file.
        start: where the first one is.
        strict: end at bytes that belong to none, instead of skipping them.
    """
    at = start
    while not strict or content[at : at + 1] == b"\xff":
        at = content.find(b"\xff", at)
        if at < 0 or at + 4 > len(content):
            return
        marker = content[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker in _ALONE or marker < 0xC0:
            at += 2
        else:
            end = at + 2 + max(2, int.from_bytes(content[at + 2 : at + 4], "big"))
            yield Segment(marker, at, end, content[at + 4 : end])
            if marker == _SCAN:
                return
            at = end


@dataclass(frozen=True, slots=True)
class Frame:
    """The frame header.

    Attributes:
        marker: how the pixels are coded.
        bits: depth of each channel.
        size: (width, height).
        channels: how many there are.
    """

    marker: int
    bits: int
    size: tuple[int, int]
    channels: int

    @property
    def unsupported(self) -> str | None:
        """The reason why Pillow cannot decode it, if there is one."""
        if self.marker == _JPEG_LS:
            return "JPEG-LS"
        if self.bits != 8 and 2 <= self.bits <= 16:
            return f"JPEG with {self.bits} bits per channel"
        if self.marker in (0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF):
            return "hierarchical JPEG"
        if self.marker == 0xCB:
            return "lossless JPEG with arithmetic coding"
        return None if self.channels in (1, 3, 4) else f"JPEG with {self.channels} channels"


def frame(content: bytes, start: int = 2, *, strict: bool = False) -> Frame | None:
    """Return the frame header; None if there is none. For the arguments see `segments`."""
    for one in segments(content, start, strict=strict):
        if one.marker in _FRAMES and len(one.content) >= 6:
            bits, height, width, channels = struct.unpack_from(">BHHB", one.content)
            return Frame(one.marker, bits, (width, height), channels)
    return None


def pixels_only(content: bytes) -> bytes | None:
    """Return a JPEG file without comments, damaged segments, and what lies between segments.

    Pillow fails at application segments that are too short, though the image is whole. None if
    there is nothing to leave out. A lossless JPEG, which cannot be scaled while decoding, is
    returned as it is.
    """
    kept = [b"\xff\xd8"]
    found = list(segments(content, content.find(kept[0]) + 2))
    if not found or found[-1].marker != _SCAN:
        return None
    kept += [content[one.start : one.end] for one in found if _is_needed(one)]
    mended = b"".join([*kept, content[found[-1].end :]])
    is_lossless = any(one.marker == LOSSLESS for one in found)
    return mended if is_lossless or len(mended) < len(content) else None


def _is_needed(segment: Segment) -> bool:
    if segment.marker not in _METADATA:
        return True
    if segment.marker == _JFIF:
        return segment.content.startswith(b"JFIF\0") and len(segment.content) >= 14
    if segment.marker == _EXIF:
        return segment.content.startswith(b"Exif\0\0")
    if segment.marker == _PROFILE:
        return segment.content.startswith(b"ICC_PROFILE\0") and len(segment.content) > 14
    return segment.marker == _ADOBE and len(segment.content) >= 12
