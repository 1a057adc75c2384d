"""Reading of the composite image in Photoshop files (PSD, and PSB for large ones).

Colors in the composite are already blended with white where layers are transparent. Further
channels are the opacity used for that, or saved selections, and are left out.
"""

import struct
import zlib
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from PIL import Image, ImageChops

from headstart.errors import UnreadableImageError
from headstart.images.limits import check_size
from headstart.images.notes import NoteCallback

_MODES: Final = {0: "1", 1: "L", 2: "P", 3: "RGB", 4: "CMYK", 7: "L", 8: "L", 9: "LAB"}
"""Color modes; of multichannel files (7) the first channel is used, of duotones (8) the gray."""
_HEADER: Final = ">4sH6xHIIHH"
_VERSION_INFO, _PROFILE = 1057, 1039
"""Numbers of image resources."""
_RAW, _RLE, _ZIP, _ZIP_PREDICTED = range(4)
_LARGE: Final = 2
"""The version of PSB, whose lengths have twice as many bytes."""


@dataclass(frozen=True, slots=True)
class _Header:
    version: int
    channels: int
    height: int
    width: int
    depth: int
    mode: str

    @property
    def bands(self) -> int:
        return len(Image.new(self.mode, (1, 1)).getbands())

    @property
    def row_bytes(self) -> int:
        return (self.width * self.depth + 7) // 8


def read_psd(content: bytes, on_note: NoteCallback) -> Image.Image:  # noqa: ARG001
    """Read the composite of a Photoshop file.

    Raises:
        UnreadableImageError: it is damaged, has no composite, or more than 8 bits per channel.
    """
    try:
        header = _header(content)
        view = memoryview(content)
        colors, place = _section(view, struct.calcsize(_HEADER), ">I")
        resources, place = _section(view, place, ">I")
        _layers, place = _section(view, place, ">Q" if header.version == _LARGE else ">I")
        found = _resources(resources)
        has_composite = found.get(_VERSION_INFO, b"")[4:5] != b"\0"
        if not has_composite or place >= len(content):
            raise UnreadableImageError(
                "not supported: a PSD saved without its composite image; save it with maximized "
                "compatibility"
            )
        image = _composite(content, place, header)
    except struct.error as error:
        raise UnreadableImageError("truncated") from error
    if header.mode == "P":
        image.putpalette(np.frombuffer(colors, np.uint8)[:768].reshape(3, -1).T.tobytes())
    if _PROFILE in found:
        image.info["icc_profile"] = found[_PROFILE]
    return image


def _header(content: bytes) -> _Header:
    _, version, channels, height, width, depth, mode = struct.unpack_from(_HEADER, content)
    check_size(width, height, pixel_bytes=2 * channels + 4)
    if depth in (16, 32):
        raise UnreadableImageError(
            f"not supported: a PSD with {depth} bits per channel; save it with 8"
        )
    if mode not in _MODES or depth != (1 if mode == 0 else 8):
        raise UnreadableImageError(f"damaged PSD: color mode {mode} with {depth} bits")
    header = _Header(version, channels, height, width, depth, _MODES[mode])
    if header.bands > channels:
        raise UnreadableImageError(f"damaged PSD: {channels} of {header.bands} channels")
    return header


def _section(content: memoryview, start: int, length: str) -> tuple[memoryview, int]:
    """Return what is in a section that begins with its length, and where the next one begins."""
    (size,) = struct.unpack_from(length, content, start)
    start += struct.calcsize(length)
    return content[start : start + size], start + size


def _resources(section: memoryview) -> dict[int, bytes]:
    found, place = {}, 0
    while place + 12 <= len(section):
        number, name = struct.unpack_from(">HB", section, place + 4)
        data, place = _section(section, place + 6 + (name + 2) // 2 * 2, ">I")
        place += len(data) % 2
        found[number] = bytes(data)
    return found


def _composite(content: bytes, place: int, header: _Header) -> Image.Image:
    (compression,) = struct.unpack_from(">H", content, place)
    size, length = (header.width, header.height), header.row_bytes * header.height
    place += 2
    if compression == _RLE:
        rows = header.channels * header.height
        kind = ">u4" if header.version == _LARGE else ">u2"
        if place + rows * int(kind[-1]) > len(content):
            raise UnreadableImageError("truncated")
        counts = np.frombuffer(content, kind, rows, place).reshape(header.channels, -1)
        place += rows * int(kind[-1])
        ends = place + counts.sum(axis=1, dtype=np.int64).cumsum()
        starts, decoder = [place, *ends.tolist()], "packbits"
    elif compression in (_RAW, _ZIP, _ZIP_PREDICTED):
        if compression != _RAW:
            total = length * header.channels
            content, place = zlib.decompressobj().decompress(content[place:], total), 0
        starts, decoder = [place + length * i for i in range(header.channels + 1)], "raw"
    else:
        raise UnreadableImageError(f"not supported: a PSD compressed by scheme {compression}")
    if starts[header.bands] > len(content):
        raise UnreadableImageError("truncated")
    bands = []
    for start, end in pairwise(starts[: header.bands + 1]):
        data = content[start:end]
        if compression == _ZIP_PREDICTED:
            differences = np.frombuffer(data, np.uint8).reshape(header.height, -1)
            data = differences.cumsum(axis=1, dtype=np.uint8).tobytes()
        # In a bitmap 1 is black.
        mode, stored = ("1", "1;I") if header.depth == 1 else ("L", "L")
        bands.append(Image.frombytes(mode, size, data, decoder, stored))
    if header.mode == "CMYK":  # 255 is no ink
        bands = [ImageChops.invert(band) for band in bands]
    if header.mode == "P":
        return Image.frombytes("P", size, bands[0].tobytes())
    return bands[0] if len(bands) == 1 else Image.merge(header.mode, bands)
