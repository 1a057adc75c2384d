"""Files of every kind are decoded to the levels that they show, or refused for what they are."""

import io

import numpy as np
import pytest

imagecodecs = pytest.importorskip("imagecodecs")
tifffile = pytest.importorskip("tifffile")

from headstart.images.decode import decode  # noqa: E402 - needs the packages above
from headstart.images.notes import ImageNote  # noqa: E402
from tests.images import pixel_kinds as kinds  # noqa: E402
from tests.images.raw_png import GRAY, GRAY_ALPHA, RGB, RGB_ALPHA, raw_png  # noqa: E402

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
@pytest.mark.parametrize("layout", ["gray", "inverted", "gray-alpha", "rgb", "rgb-alpha"])
def test_tiff_of_16_bits_that_uses_fewer(layout, bits, storage):
    data, expected = kinds.tiff(layout, "u2", storage, bits)
    assert check(data, expected, tolerance=6) == [ImageNote.REDUCED_BIT_DEPTH]


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("channels", [1, 3])
def test_other_formats_of_16_bits_that_use_fewer(channels, bits):
    colors = kinds.picture(channels)
    samples = kinds.stored(colors, "u2", bits)
    expected = [ImageNote.REDUCED_BIT_DEPTH] * (bits < 16)
    gray = samples[:, :, 0] if channels == 1 else samples
    for data in (
        imagecodecs.jpeg2k_encode(gray, level=0),
        imagecodecs.jpegxl_encode(gray, lossless=True),
        raw_png(samples, GRAY if channels == 1 else RGB, 16),
        b"P%d %d %d 65535\n" % (5 if channels == 1 else 6, kinds.WIDTH, kinds.HEIGHT)
        + samples.astype(">u2").tobytes(),
    ):
        assert check(data, kinds.shown(colors)) == expected


@pytest.mark.parametrize("bits", [10, 12])
def test_bits_that_jpeg_2000_states(bits):
    """A dark image."""
    for channels in (1, 3):
        colors = kinds.picture(channels) / 8
        samples = kinds.stored(colors, "u2", bits)
        gray = samples[:, :, 0] if channels == 1 else samples
        data = imagecodecs.jpeg2k_encode(gray, level=0, bitspersample=bits)
        assert check(data, kinds.shown(colors)) == []


@pytest.mark.parametrize("fraction", [1, 0.1])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("color_type", [GRAY, RGB, GRAY_ALPHA, RGB_ALPHA])
def test_bits_that_png_states(color_type, bits, fraction):
    """Small values are dark if they were scaled up, and as the standard has them otherwise."""
    channels = {GRAY: 1, RGB: 3, GRAY_ALPHA: 2, RGB_ALPHA: 4}[color_type]
    alpha = channels in (2, 4)
    colors = kinds.picture(channels)[:, :, : channels - alpha] * fraction
    chunks = [(b"sBIT", bytes([bits] * channels))]
    values = kinds.stored(colors, "i8", bits)
    for stored, top in ((values, 2**bits - 1), (values << (16 - bits), 65535)):
        opaque = np.full((*values.shape[:2], 1), 65535)
        samples = np.dstack([stored, opaque]) if alpha else stored
        data = raw_png(samples, color_type, 16, chunks=chunks)
        assert check(data, kinds.shown(stored / top)) == []


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
