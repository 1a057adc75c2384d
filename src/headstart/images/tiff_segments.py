"""Strips and tiles of TIFF files that tifffile does not decode, or not safely."""

import io
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import TiffImageFile

from headstart.errors import UnreadableImageError
from headstart.images.depth import Samples
from headstart.images.jpeg_scans import coefficient_bytes, load_jpeg
from headstart.images.limits import check_size
from headstart.images.tiff_layout import TiffLayout
from headstart.types import Pixels

if TYPE_CHECKING:
    from tifffile import TiffPage

LZW: Final = 5
UNCOMPRESSED: Final = 1
_JPEG: Final = 7
_FAXES: Final = (2, 3, 4)
Decompressor = Callable[[bytes, int], bytes]
"""Decompresses data, given the number of bytes that it becomes."""


def decompress_lzw(data: bytes, size: int) -> bytes:
    """Decompress with libtiff, by way of Pillow: imagecodecs crashes on some damaged data."""
    return _strip(data, {256: size, 257: 1, 258: 8, 259: LZW, 262: 1})


def _strip(data: bytes, tags: dict[int, int]) -> bytes:
    """Decode one strip with libtiff, given the tags of its size and compression."""
    tags |= {273: 0, 277: 1, 278: tags[257], 279: len(data)}
    tags[273] = start = 8 + 2 + 12 * len(tags) + 4
    fields = b"".join(struct.pack("<HHII", tag, 4, 1, tags[tag]) for tag in sorted(tags))
    head = struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + fields + bytes(4)
    assert len(head) == start
    return TiffImageFile(io.BytesIO(head + data)).tobytes()


def check_segments(content: bytes, layout: TiffLayout) -> None:
    """Check the strips and tiles whose decoders are content with too little data.

    A file may list more of them than its pixels need; those are not read.

    Raises:
        EOFError: pixels are missing.
        UnreadableImageError: one has more pixels than the image has there.
    """
    needed = layout.needed_segments
    if layout.compression == _JPEG:
        for index, (start, length) in enumerate(layout.segments[:needed], 1):
            is_last = index == needed and bool(layout.strips)
            data = content[start : start + length]
            _check_jpeg(data, layout.jpeg_tables, layout.segment_size, is_last=is_last)
    if layout.compression in _FAXES:
        for index, (start, length) in enumerate(layout.strips[:needed]):
            above = index % layout.plane_segments * layout.rows_per_strip
            rows = min(layout.rows_per_strip, layout.height - above)
            tags = {256: layout.width, 257: rows, 258: 1, 259: layout.compression}
            tags |= layout.fax_options
            data = content[start : start + length]
            # Whatever follows the data of all rows is not read.
            if len({_strip(data + more, dict(tags)) for more in (bytes(512), data)}) > 1:
                raise EOFError


def _check_jpeg(data: bytes, tables: bytes, size: tuple[int, int], *, is_last: bool) -> None:
    """Check a strip or tile of a size; as in libtiff, the last strip may have further rows."""
    if tables:
        data = tables.removesuffix(b"\xff\xd9") + data[2:]
    try:
        image = JpegImageFile(io.BytesIO(data))
    except SyntaxError:  # of a kind that only others read
        return
    width, height = image.size
    if width > size[0] or (height > size[1] and not is_last):
        raise UnreadableImageError(
            f"damaged TIFF: a JPEG of {width} x {height} pixels in place of {size[0]} x {size[1]}"
        )
    check_size(width, height, further=width * height * coefficient_bytes(image))
    image.draft(None, (1, 1))
    with suppress(OSError):  # the same holds here
        load_jpeg(image, data)


def read_lzw(content: bytes, layout: TiffLayout, page: "TiffPage") -> Samples:
    """Return the samples of a page as `TiffPage.asarray` does, in the shape `TiffPage.shaped`."""
    page.compression = UNCOMPRESSED  # tifffile gets decompressed segments
    samples = np.zeros(page.shaped, page.dtype)
    _, depth, height, width, channels = page.shaped
    for index, (start, length) in enumerate(
        zip(page.dataoffsets, page.databytecounts, strict=True)
    ):
        rows, columns, planes = height, width, 1
        if page.is_tiled:
            rows, columns, planes = page.tilelength, page.tilewidth, page.tiledepth
        elif page.rowsperstrip < height:
            strips = -(-height // page.rowsperstrip)
            rows = min(page.rowsperstrip, height - index % strips * page.rowsperstrip)
        row_bytes = (columns * channels * layout.bits[0] + 7) // 8
        data = content[start : start + length]
        plain = decompress_lzw(data, planes * rows * row_bytes) if length else None
        segment, (plane, z, y, x, _), shape = page.decode(plain, index)
        if segment is not None:
            target = samples[plane, z : z + shape[0], y : y + shape[1], x : x + shape[2]]
            target[:] = segment[: depth - z, : height - y, : width - x]
    return samples


def read_subsampled(content: bytes, layout: TiffLayout, decompress: Decompressor) -> Pixels:
    """Return Y, Cb and Cr of each pixel, (H, W, 3), where several pixels share their color.

    A strip consists of units: the luma of a block of pixels, row by row, then its Cb and Cr.
    """
    if layout.planar or not layout.strips or layout.bits[0] != 8 or layout.predictor != 1:
        raise UnreadableImageError(
            "not supported: a TIFF with such subsampled colors; save it as RGB"
        )
    across, down = layout.subsampling
    pixels = np.empty((layout.height, layout.width, 3), np.uint8)
    columns, unit = -(-layout.width // across), across * down + 2
    for index, (start, length) in enumerate(layout.strips):
        rows = pixels[index * layout.rows_per_strip :][: layout.rows_per_strip]
        blocks = -(-len(rows) // down)
        size = blocks * columns * unit
        strip = content[start : start + length]
        data = strip if layout.compression == UNCOMPRESSED else decompress(strip, size)
        if len(data) < size:
            raise UnreadableImageError("truncated")
        units = np.frombuffer(data, np.uint8, size).reshape(blocks, columns, unit)
        luma = units[:, :, :-2].reshape(blocks, columns, down, across).swapaxes(1, 2)
        rows[:, :, 0] = luma.reshape(blocks * down, columns * across)[: len(rows), : layout.width]
        chroma = units[:, :, -2:].repeat(down, axis=0).repeat(across, axis=1)
        rows[:, :, 1:] = chroma[: len(rows), : layout.width]
    return pixels
