"""Loading of JPEG files, none of whose pixels may be missing.

A decoder makes missing pixels gray and is content if only the end marker is there. So it gets the
data up to that marker, and then some bits that mean nothing: it finishes, or skips them while it
waits for the next scan, only if all pixels were there. Of a progressive file all bits of all
coefficients must be there, too, even those that can hardly be seen.

What is not noticed: the loss of the end of the last blocks of 8 x 8 pixels, at the lower right, up
to about a hundred bytes in all. These bits end a block like its own code for that, and the decoder
reads so far ahead that it needs some of them after a whole file, too.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from headstart.images.jpeg import LOSSLESS, frame, segments

_END_OF_DATA: Final = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_RESTART: Final = re.compile(rb"\xff([\xd0-\xd7])")
_START: Final = b"\xff\xda"
_END: Final = b"\xff\xd9"
_DEFINITION: Final = b"\xff\xdd\0\4"
_SCAN, _INTERVAL = 0xDA, 0xDD
_ARITHMETIC: Final = range(0xC9, 0xD0)
"""Markers of frames whose decoder cannot wait, and whose data may end before the pixels do."""
_NO_CODE: Final = b"\xff\x00"
"""Eight bits with which no code begins that is longer than half of them."""
_AHEAD: Final = 8
"""Bytes that the decoder reads ahead."""
_BLOCK, _COEFFICIENTS = 8, 64
_NO_MEMORY: Final = -9
_LEAST_HEADER: Final = 6
_RESTARTS: Final = bytes(range(0xD0, 0xD8))


@dataclass(frozen=True, slots=True)
class _Scan:
    """One pass over the pixels.

    Attributes:
        components: the numbers of its components.
        coefficients: those that it refines to their last bit.
        interval: blocks between two restart markers; 0 for none.
        start: where its data starts.
        end: where the data ends, at a marker.
    """

    components: bytes
    coefficients: range
    interval: int
    start: int
    end: int


def load_jpeg(image: JpegImageFile, content: bytes) -> None:
    """Load the pixels of a file that was opened, with or without `draft`.

    Raises:
        EOFError: some are missing.
        OSError: the file is damaged.
    """
    assert image.fp is not None
    start = image.fp.tell()  # Pillow has read the header, up to the data of the first scan
    header = content[content.rfind(_START, 0, start) + 4 : start]
    is_single = "progressive" not in image.info and len(header) == 2 * image.layers + 4
    end = len(content) - len(_END)
    if not is_single or content.find(_DEFINITION, 0, start) >= 0:
        end = _end(image, content, start, header)
    elif not content.endswith(_END) or "mp" in image.info:  # which lists further images behind
        found = content.find(_END, start)
        end = found if found >= 0 else len(content)
    if _fed(image, content, end):
        # It met a marker before, or did not happen to read ahead.
        marker = _END_OF_DATA.search(content, start)
        if marker is not None and marker.start() < end and _fed(image, content, marker.start()):
            raise EOFError
    image.tile = []


def _fed(image: JpegImageFile, content: bytes, end: int) -> bool:
    """Decode the data before a marker; return whether that data was sufficient."""
    image.load_prepare()
    [(name, box, _, args)] = image.tile
    decoder = Image._getdecoder(image.mode, name, args, image.decoderconfig)
    try:
        decoder.setimage(image.im, box)
        data = memoryview(content)[:end]
        used, error = decoder.decode(data)
        is_enough, skipped = used < 0, 0
        for count in (_AHEAD, 1, 1):
            if used < 0:
                break
            data = memoryview(bytes(data[used:]) + _NO_CODE * count)
            used, error = decoder.decode(data)
            skipped = skipped + 1 if used == len(data) else 0
        if skipped >= 2:  # what is needed of two bytes in a row would be kept once
            used, error = decoder.decode(content[end:] + _END)
        if used >= 0:
            raise EOFError
    finally:
        decoder.cleanup()
    if error == _NO_MEMORY:
        raise MemoryError
    if error < 0:
        if (found := frame(content)) is None or found.marker not in _ARITHMETIC:
            raise OSError(Image.core.getcodecstatus(error))
        image.load()
    return is_enough


def coefficient_bytes(image: JpegImageFile) -> float:
    """Return the memory of a pixel of full size besides the image: its coefficients.

    All are kept in files of several scans, which few but progressive ones have.
    """
    if "progressive" not in image.info:
        return 0
    areas = [across * down for _, across, down, _ in image.layer]
    return 2 * sum(areas) / max(1, *areas)


def _end(image: JpegImageFile, content: bytes, start: int, header: bytes) -> int:
    """Return where the data of the last scan ends.

    Raises:
        EOFError: scans or restart markers are missing.
    """
    missing = {number: set(range(_COEFFICIENTS)) for number, *_ in image.layer}
    end = len(content)
    for scan in _scans(image, content, start, header):
        if scan.interval and not _restarts_are_whole(image, content, scan):
            raise EOFError
        for number in scan.components:
            missing.get(number, set()).difference_update(scan.coefficients)
        end = scan.end
    if any(missing.values()):
        raise EOFError
    return end


def _scans(image: JpegImageFile, content: bytes, at: int, header: bytes) -> Iterator[_Scan]:
    """Yield the scans up to the end of the image; of a sequential file none after the whole one."""
    is_progressive = "progressive" in image.info
    # To read the header again takes as long as to decode a small image.
    interval = _interval(content) if content.find(_DEFINITION, 0, at) >= 0 else 0
    while len(header) >= _LEAST_HEADER:
        found = _END_OF_DATA.search(content, at)
        end = len(content) if found is None else found.start()
        components = header[1:-3:2]
        coefficients = range(_COEFFICIENTS)
        if is_progressive:
            coefficients = range(header[-3], header[-2] + 1) if not header[-1] & 15 else range(0)
        yield _Scan(components, coefficients, interval, at, end)
        if found is None or (not is_progressive and len(components) == image.layers):
            return
        for one in segments(content, end):
            if content.find(_END, end, one.start) >= 0:
                return
            end = one.end
            if one.marker == _INTERVAL:
                interval = int.from_bytes(one.content, "big")
            if one.marker == _SCAN:
                header, at = one.content, one.end
                break
        else:
            return


def _interval(content: bytes) -> int:
    stated = [one.content for one in segments(content) if one.marker == _INTERVAL]
    return int.from_bytes(stated[-1], "big") if stated else 0


def _restarts_are_whole(image: JpegImageFile, content: bytes, scan: _Scan) -> bool:
    """Whether all restart markers are there, in order; where one is not, pixels are lost."""
    header = frame(content)
    sampling = {number: sides for number, *sides, _ in image.layer}
    if header is None or not set(scan.components) <= set(sampling):
        return False
    units = 1
    for side, length in enumerate(header.size):
        most = max(sides[side] for sides in sampling.values())
        if len(scan.components) == 1:
            length, most = -(-length * sampling[scan.components[0]][side] // most), 1
        units *= -(-length // (most * (1 if header.marker == LOSSLESS else _BLOCK)))
    found = b"".join(_RESTART.findall(content, scan.start, scan.end))
    needed = -(-units // scan.interval) - 1
    return found[:needed] == (_RESTARTS * (needed // 8 + 1))[:needed]
