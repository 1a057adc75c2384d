"""Descriptors against scikit-image."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from skimage import color, feature

from headstart.images import descriptors
from tests.conftest import KINDS, picture
from tests.properties import examples


def pictures() -> list[np.ndarray]:
    return [np.asarray(picture(kind, seed)) for kind in KINDS for seed in range(2)]


@pytest.mark.parametrize("pixels", pictures())
def test_local_binary_patterns_are_scikit_images(pixels: np.ndarray):
    noise = np.random.default_rng(0).integers(0, 1000, pixels.shape[:2])
    gray = noise + 1000 * pixels.astype(np.int64).sum(axis=2)
    theirs = feature.local_binary_pattern(gray, 8, 1, "uniform")[1:-1, 1:-1]
    expected = np.bincount(theirs.astype(int).ravel(), minlength=10) / theirs.size
    np.testing.assert_allclose(descriptors.local_binary_patterns(gray), expected, atol=1e-12)


@pytest.mark.parametrize("pixels", pictures())
def test_oriented_gradients_are_scikit_images(pixels: np.ndarray):
    gray = pixels.mean(axis=2) / 255
    height, width = (side // 4 * 4 for side in gray.shape)
    gray = gray[:height, :width]
    theirs = feature.hog(
        gray,
        orientations=9,
        pixels_per_cell=(height // 4, width // 4),
        cells_per_block=(4, 4),
        block_norm="L2-Hys",
    )
    np.testing.assert_allclose(descriptors.oriented_gradients(gray), theirs, atol=1e-4)


def test_colors_fall_into_the_bins_of_hsv():
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    found = descriptors.color_histogram(pixels)
    hsv = color.rgb2hsv(pixels).reshape(-1, 3)
    expected, _ = np.histogramdd(hsv, bins=(8, 3, 3), range=[(0, 1)] * 3)
    # Pillow rounds hue, saturation and value to 8 bits.
    assert np.abs(found - expected.ravel() / len(hsv)).sum() < 0.05


def test_one_color_is_one_bin():
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 255
    found = descriptors.color_histogram(red)
    assert found.max() == 1
    assert found.argmax() == 0 * 9 + 2 * 3 + 2


def test_a_thumbnail_is_the_mean_of_what_it_covers():
    pixels = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    expected = pixels.reshape(24, 2, 24, 2, 3).mean(axis=(1, 3)) / 255
    np.testing.assert_allclose(
        descriptors.thumbnail(pixels), expected, atol=1.01 / 255
    )  # Pillow rounds twice


@examples(20)
@given(arrays(np.uint8, st.tuples(st.integers(32, 50), st.integers(32, 50), st.just(3))))
def test_any_picture_has_descriptors(pixels: np.ndarray):
    found = descriptors.describe(pixels)
    assert found.shape == (sum(descriptors.BLOCKS),)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert np.square(found[:72]).sum() == pytest.approx(1, abs=1e-5)


def test_plain_areas_have_one_pattern():
    for shade in (0.1, 1 / 3, 0.7):
        found = descriptors.local_binary_patterns(np.full((9, 9), shade))
        np.testing.assert_array_equal(found, np.eye(10)[8])


def test_a_mirrored_picture_keeps_its_colors_and_textures():
    pixels = np.asarray(Image.new("RGB", (64, 64)))
    pixels = np.random.default_rng(1).integers(0, 256, pixels.shape, dtype=np.uint8)
    found, mirrored = descriptors.describe(pixels), descriptors.describe(pixels[:, ::-1])
    np.testing.assert_allclose(found[:102], mirrored[:102], atol=1e-6)
