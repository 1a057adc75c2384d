import colorsys
import io
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import gaussian_filter

from headstart.errors import DataError
from headstart.images.corruptions import STRENGTHS, Corruption, corrupt, plasma
from headstart.types import Pixels
from tests.conftest import picture
from tests.properties import examples

DRAWN = {Corruption.NOISE, Corruption.FOG}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def made(kind: Corruption, strength: int, pixels: Pixels, seed: int = 0) -> Pixels:
    return corrupt(pixels, kind, strength, rng(seed))


@pytest.fixture(scope="module")
def photo() -> Pixels:
    """Smooth, of middle brightness, with some grain: what nature's pictures are like."""
    grain = rng(5).normal(0, 6, (96, 80, 3))
    y, x = np.mgrid[0:96, 0:80] / 90
    waves = np.stack([np.sin(5 * x + 3 * y), np.cos(4 * x), np.sin(7 * y)], axis=2)
    return np.clip(120 + 50 * waves + grain, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("kind", Corruption)
@examples(15)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    strength=st.sampled_from(STRENGTHS),
    seed=st.integers(0, 2**32 - 1),
)
def test_pictures_stay_pictures(kind: Corruption, height: int, width: int, strength: int, seed):
    pixels = rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    before = pixels.copy()
    found = made(kind, strength, pixels, seed)
    assert (found.dtype, found.shape) == (np.uint8, pixels.shape)
    assert np.array_equal(pixels, before)
    assert np.array_equal(found, made(kind, strength, pixels, seed))


@pytest.mark.parametrize("kind", Corruption)
def test_stronger_is_further_from_the_original(kind: Corruption, photo: Pixels):
    distances = [
        np.abs(made(kind, strength, photo).astype(float) - photo).mean() for strength in STRENGTHS
    ]
    assert distances[0] > 0
    assert all(a < b for a, b in pairwise(distances))


@pytest.mark.parametrize("kind", Corruption)
def test_only_noise_and_fog_depend_on_chance(kind: Corruption, photo: Pixels):
    same = np.array_equal(made(kind, 3, photo, seed=1), made(kind, 3, photo, seed=2))
    assert same == (kind not in DRAWN)


@pytest.mark.parametrize(
    ("strength", "deviation"), [*enumerate((0.08, 0.12, 0.18, 0.26, 0.38), start=1)]
)
def test_noise_has_the_deviation_of_the_table(strength: int, deviation: float):
    gray = np.full((200, 200, 3), 128, np.uint8)
    x = made(Corruption.NOISE, strength, gray) / 255
    drawn = np.clip(128 / 255 + rng(9).normal(0, deviation, 10**6), 0, 1)
    assert x.mean() == pytest.approx(drawn.mean(), abs=5e-3)
    assert x.std() == pytest.approx(drawn.std(), rel=0.02)
    channels = x.reshape(-1, 3).T
    assert np.abs(np.corrcoef(channels) - np.eye(3)).max() < 0.03


@pytest.mark.parametrize(("strength", "deviation"), [*enumerate((1, 2, 3, 4, 6), start=1)])
def test_blur_is_gaussian(strength: int, deviation: int, photo: Pixels):
    expected = gaussian_filter(photo.astype(float), (deviation, deviation, 0), mode="nearest")
    assert np.abs(made(Corruption.BLUR, strength, photo) - expected).mean() < 1


@pytest.mark.parametrize(("strength", "kept"), [*enumerate((0.4, 0.3, 0.2, 0.1, 0.05), start=1)])
def test_contrast_shrinks_to_the_mean(strength: int, kept: float, photo: Pixels):
    found = made(Corruption.CONTRAST, strength, photo).astype(float)
    mean = photo.mean(axis=(0, 1))
    np.testing.assert_allclose(found.mean(axis=(0, 1)), mean, atol=0.5)
    np.testing.assert_allclose(found, mean + kept * (photo - mean), atol=0.51)


@pytest.mark.parametrize(("strength", "more"), [*enumerate((0.1, 0.2, 0.3, 0.4, 0.5), start=1)])
def test_brightness_raises_the_value_of_hsv(strength: int, more: float):
    pixels = rng(3).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    pixels[0, 0] = 0
    found = made(Corruption.BRIGHTNESS, strength, pixels)
    for before, after in zip(pixels.reshape(-1, 3), found.reshape(-1, 3), strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*(before / 255))
        expected = colorsys.hsv_to_rgb(hue, saturation, min(value + more, 1))
        np.testing.assert_allclose(after / 255, expected, atol=0.51 / 255)


@pytest.mark.parametrize(("strength", "quality"), [*enumerate((25, 18, 15, 10, 7), start=1)])
def test_jpeg_is_a_jpeg_of_that_quality(strength: int, quality: int, photo: Pixels):
    file = io.BytesIO()
    Image.fromarray(photo).save(file, "JPEG", quality=quality)
    assert np.array_equal(made(Corruption.JPEG, strength, photo), np.asarray(Image.open(file)))


def test_fog_is_bright_and_without_color():
    pixels = np.asarray(picture("stripes", 1))
    found = made(Corruption.FOG, 5, pixels).astype(float)
    top = pixels.max() / 255
    # What the veil adds is the same for all channels and lies between nothing and its thickness.
    veil = found / 255 * (top + 3) / top - pixels / 255
    assert np.ptp(veil, axis=2).max() < 4 / 255 * (top + 3) / top
    assert veil.min() > -0.02
    assert veil.max() < 3.02


@pytest.mark.parametrize("side", [1, 2, 5, 64])
def test_plasma_fills_0_to_1(side: int):
    field = plasma(side, 2, rng())
    assert field.shape == (1 << (side - 1).bit_length(),) * 2
    assert field.min() == 0
    assert field.max() == (1 if side > 1 else 0)


def test_plasma_has_no_seam_and_is_smoother_with_more_decay():
    def roughness(decay: float) -> float:
        field = plasma(128, decay, rng(4))
        return float(np.abs(np.diff(field, axis=0)).mean())

    assert roughness(2) < roughness(1.7) < roughness(1.4)
    field = plasma(128, 2, rng(4))
    inside = np.abs(np.diff(field, axis=1)).max()
    assert np.abs(field[:, 0] - field[:, -1]).max() <= 1.5 * inside


def test_there_are_five_strengths(photo: Pixels):
    for strength in (0, 6):
        with pytest.raises(DataError, match=f"the strength is {strength}: give 1, 2, 3, 4 or 5"):
            made(Corruption.BLUR, strength, photo)
