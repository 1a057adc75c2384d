"""Strips and tiles of TIFF files: those that the image needs, of no more pixels than it has."""

import io
import struct
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from headstart.errors import UnreadableImageError
from headstart.images import tiff_segments
from headstart.images.decode import decode
from headstart.images.tiff_layout import TiffLayout
from headstart.images.tiff_segments import check_segments
from tests.images.raw_tiff import raw_tiff
from tests.images.test_decode import encoded
from tests.images.test_jpeg_scans import photo


def in_tiff(jpeg, size, **tags):
    """Return a TIFF of one strip, which is a JPEG."""
    return raw_tiff(jpeg, size, t259=(3, [7]), **tags)


def stating(jpeg, width, height):
    """Return a JPEG whose header states another size."""
    at = max(jpeg.find(b"\xff\xc0"), jpeg.find(b"\xff\xc2")) + 5
    return jpeg[:at] + struct.pack(">HH", height, width) + jpeg[at + 4 :]


@pytest.mark.parametrize("progressive", [False, True])
def test_a_strip_that_is_larger_than_its_place_is_refused_undecoded(progressive, monkeypatch):
    jpeg = encoded(photo("L"), "JPEG", progressive=progressive)
    decode(in_tiff(jpeg, (160, 120)))
    monkeypatch.setattr(tiff_segments, "load_jpeg", lambda *_: pytest.fail("it is decoded"))
    with pytest.raises(UnreadableImageError, match="JPEG of 30000 x 120 pixels in place of 160"):
        decode(in_tiff(stating(jpeg, 30_000, 120), (160, 120)))
    monkeypatch.setattr("headstart.images.limits.MAX_MEMORY", 4e7)
    with pytest.raises(UnreadableImageError, match="too large: 160 x 65000"):
        decode(in_tiff(stating(jpeg, 160, 65_000), (160, 120)))


def test_the_last_strip_may_have_further_rows():
    data = in_tiff(encoded(photo("L"), "JPEG"), (160, 100))
    expected = Image.open(io.BytesIO(data)).convert("RGB")
    np.testing.assert_array_equal(decode(data), expected)


def test_only_the_needed_strips_are_decoded(monkeypatch):
    content = in_tiff(encoded(photo("L"), "JPEG"), (160, 120))
    layout = TiffLayout.of(content)
    decoded = []
    monkeypatch.setattr(tiff_segments, "load_jpeg", lambda *_: decoded.append(1))
    check_segments(content, with_entries(layout, 100))
    assert len(decoded) == 1


def test_a_fax_may_list_more_strips_than_it_has_rows():
    content = encoded(photo("1"), "TIFF", compression="group4")
    check_segments(content, with_entries(TiffLayout.of(content), 3))


def with_entries(layout, count):
    """List all strips several times."""
    return replace(
        layout, tags={**layout.tags, **{tag: layout.tags[tag] * count for tag in (273, 279)}}
    )
