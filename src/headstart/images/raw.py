"""The previews in cameras' raw files.

The sensor's data would have to be developed, which no library here does; every camera also stores
the JPEG that it would have made itself.
"""

import struct
from typing import Final

from PIL import Image

from headstart.images.jpeg import BASELINE_TO_PROGRESSIVE, frame, segments

_FILE_TYPE, _COMPRESSION, _PHOTOMETRIC, _ORIENTATION = 254, 259, 262, 274
_SUB_IFDS, _DNG_VERSION = 330, 50706
_SENSOR_PHOTOMETRICS: Final = (32803, 34892)
"""Color filter array, and linear raw."""
_SENSOR_COMPRESSIONS: Final = (32767, 32769, 32770, 34713, 65535)
"""Those of Sony, Epson, Samsung, Nikon and Pentax."""
_MAX_TAGS: Final = 1000
_CR3_METADATA: Final = b"CMT1"


def is_raw(content: bytes) -> bool:
    """Whether a TIFF file is a camera's raw file, such as DNG, NEF and ARW."""
    tags = _first_directory(content)
    return (
        content[8:10] == b"CR"
        or _DNG_VERSION in tags
        or tags.get(_PHOTOMETRIC) in _SENSOR_PHOTOMETRICS
        or tags.get(_COMPRESSION) in _SENSOR_COMPRESSIONS
        or (_SUB_IFDS in tags and bool(tags.get(_FILE_TYPE, 0) & 1))
    )


def preview(content: bytes) -> bytes | None:
    """Return the largest JPEG in a raw file, with its orientation; None if there is none."""
    best, pixels, at = None, 0, -1
    while (at := content.find(b"\xff\xd8\xff", at + 1)) >= 0:
        found = frame(content, at + 2, strict=True)
        if found is None or found.marker not in BASELINE_TO_PROGRESSIVE or found.unsupported:
            continue
        width, height = found.size
        if width * height > pixels:
            best, pixels = at, width * height
    return None if best is None else _oriented(content, best)


def has_thumbnail(content: bytes) -> bool:
    """Whether the first image of a TIFF file is a smaller copy for display."""
    return bool(_first_directory(content).get(_FILE_TYPE, 0) & 1)


def _oriented(content: bytes, start: int) -> bytes:
    jpeg = content[start:]
    if any(one.content.startswith(b"Exif\0\0") for one in segments(jpeg)):
        return jpeg
    metadata = content.find(_CR3_METADATA, 0, 100_000) + 4 if content[4:8] == b"ftyp" else 0
    orientation = _first_directory(content[metadata:]).get(_ORIENTATION, 1)
    if orientation not in range(2, 9):
        return jpeg
    exif = Image.Exif()
    exif[_ORIENTATION] = orientation
    segment = exif.tobytes()
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + jpeg[2:]


def _first_directory(content: bytes) -> dict[int, int]:
    """Return the tags of a TIFF file's first image, with their first numbers or offsets."""
    order = {b"II": "<", b"MM": ">"}.get(content[:2])
    if order is None or len(content) < 8:
        return {}
    (start,) = struct.unpack_from(order + "I", content, 4)
    if start + 2 > len(content):
        return {}
    (count,) = struct.unpack_from(order + "H", content, start)
    entries = content[start + 2 : start + 2 + 12 * min(count, _MAX_TAGS)]
    tags = {}
    for at in range(0, len(entries) - 11, 12):
        tag, kind = struct.unpack_from(order + "HH", entries, at)
        (tags[tag],) = struct.unpack_from(order + ("H" if kind == 3 else "I"), entries, at + 8)
    return tags
