"""Files other than JPEG that end before their pixels do, though nothing else is wrong with them."""

import contextlib
import io
import struct
import zlib
from unittest import mock

import numpy as np
import pytest
import tifffile
from PIL import Image

from headstart.errors import UnreadableImageError
from headstart.images.decode import decode
from tests.images.raw_png import GRAY, chunk, raw_png
from tests.images.test_decode import encoded
from tests.images.test_jpeg_scans import photo


def shortened_png(content, lost):
    """Return a PNG file of one IDAT whose valid stream lacks the last bytes."""
    at = content.find(b"IDAT")
    (size,) = struct.unpack_from(">I", content, at - 4)
    stream = zlib.compress(zlib.decompress(content[at + 4 : at + 4 + size])[:-lost])
    part = b"IDAT" + stream
    checksum = struct.pack(">I", zlib.crc32(part))
    rest = content[at + 8 + size :]
    return content[: at - 4] + struct.pack(">I", len(stream)) + part + checksum + rest


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGB", "RGBA", "I;16"])
def test_a_png_whose_stream_ends_early(mode):
    image = Image.fromarray(np.asarray(photo().resize((20, 15)).convert("L")).astype("u2") << 6)
    image = image if mode == "I;16" else photo().resize((20, 15)).convert(mode)
    content = encoded(image, "PNG")
    decode(content)
    row = {"1": 3, "LA": 40, "RGB": 60, "RGBA": 80, "I;16": 40}.get(mode, 20) + 1
    for rows in (1, 7):
        with pytest.raises(UnreadableImageError, match="truncated"):
            decode(shortened_png(content, rows * row))


@pytest.mark.parametrize("size", [(7, 5), (8, 6), (5, 1), (4, 1), (1, 1), (1, 4)])
@pytest.mark.parametrize("level", [0, 165, 255])
def test_interlaced_files_and_any_level_in_the_last_pixel(size, level):
    samples = np.full((*size[::-1], 1), level, np.uint8)
    for interlaced in (False, True):
        content = raw_png(samples, 0, 8, interlaced=interlaced)
        assert (np.asarray(decode(content)) == level).all()
        if size[0] * size[1] > 1:
            last = 2 if interlaced and size[1] == 1 else None
            row = size[0] + 1 if last is None else size[0] // 2 + 1
            if interlaced and size == (1, 4):
                row = 2
            with pytest.raises(UnreadableImageError, match="truncated"):
                decode(shortened_png(content, row))


def shortened_tiff(content, share):
    """Return a TIFF file of which one strip or tile has less data."""
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        page = file.pages.first
        tag = page.tags.get(279) or page.tags[325]
        index = len(page.databytecounts) // 2
        length = int(page.databytecounts[index] * share)
        width = {3: 2, 4: 4}[int(tag.dtype)]
    at = tag.valueoffset + index * width
    return content[:at] + length.to_bytes(width, "little") + content[at + width :]


@pytest.mark.parametrize("compression", ["zlib", "lzw", "packbits", "zstd", "jpeg"])
@pytest.mark.parametrize("kind", ["u1", "f4", "f8"])
@pytest.mark.parametrize("layout", [{"rowsperstrip": 16}, {"tile": (64, 64)}])
def test_a_tiff_with_a_shorter_segment(compression, kind, layout):
    if compression == "jpeg" and kind != "u1":
        pytest.skip("JPEG has 8 bits")
    samples = np.asarray(photo("L")).astype(kind)
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, samples, compression=compression, photometric="minisblack", **layout)
    decode(buffer.getvalue())
    for share in (0, 0.5, 0.9):
        with pytest.raises(UnreadableImageError, match=r"truncated|damaged TIFF"):
            decode(shortened_tiff(buffer.getvalue(), share))


@pytest.mark.parametrize("compression", ["tiff_ccitt", "group3", "group4"])
def test_a_shorter_fax(compression):
    content = encoded(photo("1"), "TIFF", compression=compression)
    decode(content)
    for share in (0.3, 0.6, 0.9):
        with pytest.raises(UnreadableImageError, match=r"truncated|damaged TIFF"):
            decode(shortened_tiff(content, share))


def test_a_jpeg_within_a_tiff_that_an_end_mark_closes():
    content = encoded(photo(), "TIFF", compression="jpeg")
    start = content.rfind(b"\xff\xda") + 200
    content = content[:start] + b"\xff\xd9" + bytes(len(content) - start - 2)
    with pytest.raises(UnreadableImageError, match=r"truncated|damaged TIFF"):
        decode(content)


def test_an_icon_whose_mask_was_cut():
    content = encoded(photo().resize((32, 32)), "ICO", sizes=[(32, 32)], bitmap_format="bmp")
    decode(content)
    with pytest.raises(UnreadableImageError, match="truncated"):
        decode(content[:-20])


@pytest.mark.parametrize("name", ["JPEG", "PNG"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_zeros_that_a_download_has_not_replaced(name, share):
    content = encoded(photo(), name)
    cut = int(share * len(content))
    with pytest.raises(UnreadableImageError, match=r"truncated|damaged"):
        decode(content[:cut] + bytes(len(content) - cut))


@pytest.mark.parametrize("name", ["JPEG", "PNG"])
def test_zeros_behind_the_image(name):
    content = encoded(photo(), name)
    assert decode(content + bytes(1000)) == decode(content)


def test_png_files_with_flipped_bits():
    content = encoded(photo(), "PNG")
    at, end = content.find(b"IDAT") + 4, content.rfind(b"IEND") - 8
    whole = decode(content)
    for place in range(at, end, (end - at) // 50):
        flipped = bytearray(content)
        flipped[place] ^= 1 << place % 8
        with contextlib.suppress(UnreadableImageError):
            assert decode(bytes(flipped)) == whole
    wrong_sum = bytearray(content)
    wrong_sum[end + 1] ^= 1  # the pixels themselves are as they were
    assert decode(bytes(wrong_sum)) == whole


def test_what_follows_the_last_chunk_of_a_png_does_not_count():
    content = encoded(photo(), "PNG")
    damaged = struct.pack(">I", 4) + b"IDAT" + bytes(8)  # its checksum is wrong
    with mock.patch("headstart.images.png.zlib.decompressobj") as expansion:
        assert decode(content + damaged) == decode(content)
    expansion.assert_not_called()


def test_a_png_without_rows_takes_no_memory():
    rows = chunk(b"IDAT", zlib.compress(b"\0"))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 6_000, 6_000, 8, 0, 0, 0, 0))
    content = b"\x89PNG\r\n\x1a\n" + head + rows + chunk(b"IEND", b"")
    refused = pytest.raises(UnreadableImageError, match="truncated")
    with mock.patch("headstart.images.png._keeps") as load, refused:
        decode(content)
    assert not load.called


def test_the_most_compressed_png_is_whole():
    content = raw_png(np.zeros((3_000, 4_000, 1), np.uint8), GRAY, 1)
    assert len(content) < 3_000
    assert decode(content).size == (4_000, 3_000)
