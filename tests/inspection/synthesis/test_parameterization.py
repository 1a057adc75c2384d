"""Spectra are checked with NumPy's own Fourier transform."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from headstart.inspection.synthesis.parameterization import PlainPixels, Spectrum
from tests.properties import examples

KINDS = (PlainPixels, Spectrum)
GRAY = np.array([1, 1, 1]) / np.sqrt(3)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def brightness(picture: Spectrum, side: int | None = None) -> np.ndarray:
    """Before the sigmoid: (H, W)."""
    latent = picture.pixels(side).detach().double().logit().numpy()[0]
    return np.tensordot(GRAY, latent, axes=1)


def pictures(least: int = 2) -> st.SearchStrategy[np.ndarray]:
    sides = array_shapes(min_dims=2, max_dims=2, min_side=least, max_side=9)
    return sides.flatmap(lambda shape: arrays(np.uint8, (3, *shape)))


@pytest.mark.parametrize("kind", KINDS)
@given(values=pictures())
@examples(40)
def test_a_picture_comes_back(kind, values: np.ndarray):
    found = kind.of(torch.from_numpy(values).float() / 255).pixels().detach()
    assert found.shape == (1, *values.shape)
    # Black and white move by half a level, so that they stand for finite numbers.
    np.testing.assert_allclose(found[0].numpy() * 255, values, atol=0.51)


@pytest.mark.parametrize("kind", KINDS)
def test_noise_is_gray_on_average_and_drawn_from_the_generator(kind):
    first, same, other = (kind.noise(33, generator(seed)).pixels().detach() for seed in (0, 0, 1))
    assert torch.equal(first, same)
    assert not torch.allclose(first, other, atol=0.01)
    assert first.shape == (1, 3, 33, 33)
    assert first.mean() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("side", [64, 65])
def test_the_noise_has_the_spectrum_of_photographs(side: int):
    latent = [brightness(Spectrum.noise(side, generator(seed))) for seed in range(40)]
    spectrum = np.sqrt(np.square(np.abs(np.fft.fft2(latent))).mean(axis=0))
    across = np.fft.fftfreq(side)
    frequency = np.hypot(across[:, None], across)
    inside = (frequency > 0) & (frequency < 0.45) & (across != 0)
    slope, _ = np.polyfit(np.log(frequency[inside]), np.log(spectrum[inside]), 1)
    assert slope == pytest.approx(-1.4, abs=0.05)


def test_brightness_varies_more_than_color():
    noises = [Spectrum.noise(32, generator(seed)).pixels() for seed in range(40)]
    latent = torch.cat(noises, dim=3).detach().logit().numpy()[0]
    red_blue = (latent[0] - latent[2]) / np.sqrt(2)
    magenta_green = (latent[0] - 2 * latent[1] + latent[2]) / np.sqrt(6)
    spreads = np.array([(GRAY @ latent.reshape(3, -1)).std(), red_blue.std(), magenta_green.std()])
    np.testing.assert_allclose(spreads / spreads[0], [1, 0.28, 0.13], rtol=0.15)


@pytest.mark.parametrize("side", [1, 2, 7, 8])
def test_a_smaller_image_has_the_low_frequencies(side: int):
    picture = Spectrum.of(torch.rand(3, 16, 16, generator=generator()))
    small = picture.pixels(side)
    assert small.shape == (1, 3, side, side)
    whole = np.fft.rfft2(brightness(picture)) / 16**2
    found = np.fft.rfft2(np.tensordot(GRAY, small.detach().double().logit().numpy()[0], axes=1))
    inner = (side + 1) // 2  # without the highest one, where a frequency meets its negative
    np.testing.assert_allclose(
        found[:inner, :inner] / side**2, whole[:inner, :inner], rtol=1e-3, atol=1e-5
    )


@pytest.mark.parametrize("kind", KINDS)
def test_no_image_is_larger_than_it_is(kind):
    picture = kind.noise(9, generator())
    assert torch.equal(picture.pixels(9), picture.pixels())
    assert torch.equal(picture.pixels(20), picture.pixels())


@pytest.mark.parametrize("kind", KINDS)
@given(jump=st.floats(-1e4, 1e4))
@examples(20)
def test_pixels_stay_between_0_and_1_whatever_the_parameters(kind, jump: float):
    picture = kind.noise(8, generator())
    with torch.no_grad():
        picture.parameters.add_(jump * torch.randn(picture.parameters.shape))
    pixels = picture.pixels()
    assert 0 <= pixels.min() <= pixels.max() <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_the_parameters(kind):
    picture = kind.noise(8, generator())
    picture.pixels()[0, 0, :4].sum().backward()
    assert picture.parameters.grad.abs().sum() > 0
