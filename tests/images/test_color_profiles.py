import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageCms

from headstart.images.color_profiles import to_srgb
from headstart.images.decode import decode
from tests.images.icc import (
    ADOBE_RGB,
    DISPLAY_P3,
    SRGB,
    cmyk_profile,
    decoded_curve,
    encoded_curve,
    profile,
    to_xyz,
)

PIXELS = np.stack(np.meshgrid(*[np.arange(20, 250, 23, dtype=np.uint8)] * 2), axis=-1)
PIXELS = np.dstack([PIXELS, PIXELS[::-1, :, 0]])
IMAGE = Image.fromarray(PIXELS)
ADOBE = profile("Adobe RGB (1998)", gamma=563 / 256, primaries=ADOBE_RGB)
P3 = profile("Display P3", gamma=0, primaries=DISPLAY_P3)


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def converted(levels, primaries, linear):
    """Levels in [0, 255] of sRGB, computed without any library of color management."""
    matrix = np.linalg.inv(to_xyz(SRGB)) @ to_xyz(primaries)
    return 255 * encoded_curve(linear(levels / 255) @ matrix.T)


def adobe(levels):
    return converted(levels, ADOBE_RGB, lambda values: values ** (563 / 256))


def difference(data, expected):
    return np.abs(np.asarray(decode(data), float) - expected).max()


@pytest.mark.parametrize(
    ("kind", "options"), [("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True})]
)
def test_wide_colors_become_those_of_srgb(kind, options):
    expected = adobe(PIXELS)
    assert np.abs(expected - PIXELS).max() > 25
    assert difference(encoded(IMAGE, kind, icc_profile=ADOBE, **options), expected) < 1.5


def test_a_scaled_jpeg_is_converted_as_well():
    color = np.array([90, 160, 60])
    image = Image.new("RGB", (400, 400), tuple(color.tolist()))
    data = encoded(image, "JPEG", quality=100, icc_profile=ADOBE)
    small = decode(data, min_size=lambda *_: (50, 50))
    assert small.size == (50, 50)
    assert np.abs(small.getpixel((9, 9)) - adobe(color)).max() < 4


def test_palettes_opacity_and_grays_with_a_profile_of_rgb():
    colors = IMAGE.quantize(50)
    data = encoded(colors, "PNG", icc_profile=ADOBE)
    assert difference(data, adobe(np.asarray(colors.convert("RGB")))) < 1.5
    alpha = np.full(PIXELS.shape[:2], 128, np.uint8)
    data = encoded(Image.fromarray(np.dstack([PIXELS, alpha])), "PNG", icc_profile=ADOBE)
    share = 128 / 255
    assert difference(data, adobe(PIXELS) * share + 255 * (1 - share)) < 1.5
    gray = IMAGE.getchannel("R")
    data = encoded(gray, "PNG", icc_profile=ADOBE)
    assert difference(data, adobe(np.asarray(gray.convert("RGB")))) < 1.5


def test_grays():
    linear = profile("Linear gray", gamma=1.0)
    gray = IMAGE.getchannel("R")
    expected = encoded_curve(np.asarray(gray) / 255) * 255
    assert difference(encoded(gray, "PNG", icc_profile=linear), expected[:, :, None]) < 1.5


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_inks(kind):
    options = {"quality": 100} if kind == "JPEG" else {}
    half_black = Image.new("CMYK", (16, 16), (0, 0, 0, 128))
    data = encoded(half_black, kind, icc_profile=cmyk_profile(), **options)
    assert difference(data, 119) <= 3  # L* of 50
    assert difference(encoded(half_black, kind, **options), 127) <= 3
    # One that is not for inks is ignored.
    assert difference(encoded(half_black, kind, icc_profile=ADOBE, **options), 127) <= 3


@pytest.mark.parametrize(
    "same",
    [
        profile("sRGB IEC61966-2.1", gamma=0, primaries=SRGB),
        profile("a camera's", gamma=0, primaries=SRGB),
        profile("sRGB, simplified", gamma=2.2, primaries=SRGB),
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
        ADOBE[:300],
        b"no profile",
        profile("Gray", gamma=1.0),
    ],
    ids=["srgb", "camera", "simplified", "library", "truncated", "damaged", "other-space"],
)
def test_srgb_and_useless_profiles_leave_every_bit(same):
    assert difference(encoded(IMAGE, "PNG", icc_profile=same), PIXELS) == 0
    assert to_srgb(IMAGE, same) is IMAGE


def test_linear_light_is_not_taken_for_srgb_by_its_name():
    linear = profile("sRGB, linear", gamma=1.0, primaries=SRGB)
    expected = encoded_curve(PIXELS / 255) * 255
    assert difference(encoded(IMAGE, "PNG", icc_profile=linear), expected) < 1.5


def test_display_p3_in_many_threads():
    data = encoded(IMAGE, "PNG", icc_profile=P3)
    whole = np.asarray(decode(data))
    with ThreadPoolExecutor(4) as pool:
        assert all((np.asarray(one) == whole).all() for one in pool.map(decode, [data] * 40))
    matrix = np.linalg.inv(to_xyz(SRGB)) @ to_xyz(DISPLAY_P3)
    expected = 255 * encoded_curve(decoded_curve(PIXELS / 255) @ matrix.T)
    assert np.abs(whole - expected).max() < 1.5
