"""Files of every kind are decoded to the levels that they show, or refused for what they are."""

import io

import numpy as np
import pytest

pytest.importorskip("imagecodecs")
tifffile = pytest.importorskip("tifffile")

from headstart.images.decode import decode  # noqa: E402 - needs the packages above
from headstart.images.notes import ImageNote  # noqa: E402
from tests.images import pixel_kinds as kinds  # noqa: E402

TOLERANCE = 4
"""Levels; 12 would be right, and rounding takes no more than this."""


def check(data, expected, tolerance=TOLERANCE):
    notes = []
    image = decode(data, on_note=notes.append)
    assert image.mode == "RGB"
    assert np.abs(np.asarray(image, float) - expected).max() <= tolerance
    return notes


@pytest.mark.parametrize("storage", kinds.STORAGE)
@pytest.mark.parametrize("layout", kinds.LAYOUTS)
def test_tiff_of_every_number_type(layout, storage):
    for dtype in kinds.DTYPES:
        if storage == "deflate-predicted" and dtype in ("u8", "i8"):
            continue  # tifffile does not write them
        data, expected = kinds.tiff(layout, dtype, storage)
        assert check(data, expected) == [], dtype


@pytest.mark.parametrize("storage", ["plain", "big-endian", "planar", "deflate-predicted"])
@pytest.mark.parametrize("bits", [8, 10, 12, 14])
@pytest.mark.parametrize("layout", ["gray", "inverted", "gray-alpha", "rgb", "rgb-alpha", "cmyk"])
def test_tiff_of_16_bits_that_uses_fewer(layout, bits, storage):
    data, expected = kinds.tiff(layout, "u2", storage, bits)
    assert check(data, expected, tolerance=6) == [ImageNote.REDUCED_BIT_DEPTH]


@pytest.mark.parametrize(
    "table", [kinds.packed_tiffs, kinds.ycbcr_tiffs, kinds.codec_tiffs, kinds.pngs, kinds.pnms]
)
def test_other_kinds(table):
    for name, (data, expected) in table().items():
        assert check(data, expected) == [], name


@pytest.mark.parametrize("layout", ["gray", "inverted", "rgb", "rgb-alpha", "gray-alpha"])
def test_the_files_are_what_an_independent_reader_takes_them_for(layout):
    """The tables above are checked by tifffile as well."""
    for dtype in ("u1", "u2", "f4"):
        for storage in kinds.STORAGE:
            data, expected = kinds.tiff(layout, dtype, storage)
            with tifffile.TiffFile(io.BytesIO(data)) as file:
                page = file.pages.first
                samples = page.asarray().reshape(page.shaped)[:, 0]
            channels = np.moveaxis(samples, 0, -1)[..., 0, :] if len(samples) > 1 else samples[0]
            values = channels / (np.iinfo(dtype).max if dtype != "f4" else 1)
            colors = values[:, :, :1] if layout != "rgb" and "gray" in layout else values[:, :, :3]
            if layout == "inverted":
                colors = 1 - colors
            alpha = values[:, :, -1:] if "alpha" in layout else None
            assert np.abs(kinds.shown(colors, alpha) - expected).max() < 2
