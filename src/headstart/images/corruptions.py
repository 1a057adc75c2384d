"""Image corruptions at five strengths, as caused by cameras, weather and compression.

Hendrycks and Dietterich 2019, "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations" (ICLR): formulas and strengths are those of ImageNet-C, which are made for images of
about 224 pixels. ImageNet-C truncates values to whole numbers and saves its images as JPEG; here
values are rounded, so accuracies are close to published ones but not equal.
"""

import io
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final

import numpy as np
from PIL import Image, ImageFilter

from headstart.errors import DataError
from headstart.types import Doubles, Pixels

STRENGTHS: Final = (1, 2, 3, 4, 5)
"""From barely visible to barely recognizable."""


class Corruption(StrEnum):
    """The kinds of corruption."""

    NOISE = "noise"
    """Gaussian noise, independent for each pixel and channel, as in low light."""
    BLUR = "blur"
    """Gaussian blur, as when out of focus."""
    JPEG = "jpeg"
    """Strong JPEG compression."""
    BRIGHTNESS = "brightness"
    """Higher brightness up to overexposure, with the same hues."""
    CONTRAST = "contrast"
    """Lower contrast: values closer to the mean of each channel."""
    FOG = "fog"
    """Fog of varying density."""


def corrupt(
    pixels: Pixels, corruption: Corruption, strength: int, rng: np.random.Generator
) -> Pixels:
    """Return a corrupted image, (H, W, 3) uint8.

    Only noise and fog are random: the same state of `rng` gives the same pattern at every strength,
    from 1 to 5.

    Raises:
        DataError: the strength is not from 1 to 5.
    """
    if strength not in STRENGTHS:
        raise DataError(f"the strength is {strength}: give 1, 2, 3, 4 or 5")
    return _OPERATIONS[corruption](pixels, strength - 1, rng)


def _noise(pixels: Pixels, level: int, rng: np.random.Generator) -> Pixels:
    deviation = (0.08, 0.12, 0.18, 0.26, 0.38)[level]
    return _rounded(pixels / 255 + rng.normal(scale=deviation, size=pixels.shape))


def _blur(pixels: Pixels, level: int, _rng: np.random.Generator) -> Pixels:
    deviation = (1, 2, 3, 4, 6)[level]  # pixels
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(deviation)))


def _jpeg(pixels: Pixels, level: int, _rng: np.random.Generator) -> Pixels:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=(25, 18, 15, 10, 7)[level])
    with Image.open(file) as image:
        return np.asarray(image)


def _brightness(pixels: Pixels, level: int, _rng: np.random.Generator) -> Pixels:
    more = (0.1, 0.2, 0.3, 0.4, 0.5)[level]
    x = pixels / 255
    value = x.max(axis=2, keepdims=True)  # (H, W, 1), the V of HSV
    brighter = np.minimum(value + more, 1)
    # Hue and saturation stay if all channels are scaled by one factor; black becomes gray.
    return _rounded(np.where(value > 0, x * (brighter / np.maximum(value, 1 / 255)), brighter))


def _contrast(pixels: Pixels, level: int, _rng: np.random.Generator) -> Pixels:
    kept = (0.4, 0.3, 0.2, 0.1, 0.05)[level]
    x = pixels / 255
    mean = x.mean(axis=(0, 1), keepdims=True)  # (1, 1, 3)
    return _rounded((x - mean) * kept + mean)


def _fog(pixels: Pixels, level: int, rng: np.random.Generator) -> Pixels:
    thickness, decay = ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4))[level]
    x = pixels / 255
    height, width = x.shape[:2]
    veil = thickness * plasma(max(height, width), decay, rng)[:height, :width, None]
    brightest = x.max()
    return _rounded((x + veil) * brightest / (brightest + thickness))


_OPERATIONS: Final[Mapping[Corruption, Callable[[Pixels, int, np.random.Generator], Pixels]]] = {
    Corruption.NOISE: _noise,
    Corruption.BLUR: _blur,
    Corruption.JPEG: _jpeg,
    Corruption.BRIGHTNESS: _brightness,
    Corruption.CONTRAST: _contrast,
    Corruption.FOG: _fog,
}


def plasma(side: int, decay: float, rng: np.random.Generator) -> Doubles:
    """Return clouds made by the diamond-square algorithm (Fournier, Fussell and Carpenter 1982).

    Args:
        side: smallest number of rows and columns; S is the next power of two.
        decay: each halving of the grid divides the random part by the square of this number;
            larger ones give smoother clouds.
        rng: source of randomness.

    Returns:
        (S, S) values from 0 to 1, both reached if S > 1; the field tiles seamlessly.
    """
    field, spread = np.zeros((1, 1)), 1.0
    while len(field) < side:
        n = len(field)
        noise = spread * rng.uniform(-1, 1, (3, n, n))
        below, right = np.roll(field, -1, 0), np.roll(field, -1, 1)
        centers = (field + below + right + np.roll(below, -1, 1)) / 4 + noise[0]
        finer = np.empty((2 * n, 2 * n))
        finer[::2, ::2], finer[1::2, 1::2] = field, centers
        finer[::2, 1::2] = (field + right + centers + np.roll(centers, 1, 0)) / 4 + noise[1]
        finer[1::2, ::2] = (field + below + centers + np.roll(centers, 1, 1)) / 4 + noise[2]
        field, spread = finer, spread / decay**2
    span = np.ptp(field)
    return (field - field.min()) / span if span > 0 else field


def _rounded(x: Doubles) -> Pixels:
    """Convert values in [0, 1] to bytes, clipping the others."""
    return np.rint(np.clip(x, 0, 1) * 255).astype(np.uint8)
