"""Classical image descriptors of color, texture and shape, which need no trained network.

They are the baselines that a pre-trained network has to beat.
"""

from itertools import pairwise
from typing import Final

import numpy as np
from PIL import Image

from headstart.types import Doubles, Floats, Pixels

THUMBNAIL: Final = 24
"""Side of the image used as raw pixels. 16 to 32 distinguish handwritten digits equally well."""
BLOCKS: Final = (72, 30, 144)
"""Numbers of values for color, texture and shape in `describe`."""
_HSV_BINS: Final = (8, 3, 3)  # of hue, saturation and value
_SCALES: Final = 3
"""Number of resolutions to compute texture at, each half of the one before."""
_CELLS, _ORIENTATIONS = 4, 9
_CLIP: Final = 0.2
"""Largest share of one orientation before the second normalization (Dalal and Triggs 2005)."""
_LUMA: Final = (0.2125, 0.7154, 0.0721)
"""Weights of red, green and blue in gray (ITU-R BT.709)."""


def thumbnail(pixels: Pixels) -> Floats:
    """Reduce (H, W, 3) uint8 to (THUMBNAIL, THUMBNAIL, 3) float32 in [0, 1], averaging areas."""
    small = Image.fromarray(pixels).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    return np.asarray(small, np.float32) / np.float32(255)


def describe(pixels: Pixels) -> Floats:
    """Return descriptors of color, texture and shape, side by side: (sum(BLOCKS),) float32.

    They are computed at half the resolution and below, because most images prepared for a network
    have been enlarged or contain camera noise. Histograms are square roots of shares, which makes
    their distances Hellinger distances.

    Args:
        pixels: (H, W, 3) uint8, at least 32 pixels per side.
    """
    pixels = np.asarray(Image.fromarray(pixels).reduce(2))
    gray: Doubles = pixels @ np.array(_LUMA) / 255
    textures = [local_binary_patterns(_halved(gray, times)) for times in range(_SCALES)]
    parts = [np.sqrt(color_histogram(pixels)), *map(np.sqrt, textures), oriented_gradients(gray)]
    return np.concatenate(parts, dtype=np.float32, casting="same_kind")


def color_histogram(pixels: Pixels) -> Doubles:
    """Return the HSV histogram of (H, W, 3) uint8 (Swain and Ballard 1991): (72,) shares, sum 1."""
    hsv = np.asarray(Image.fromarray(pixels).convert("HSV"), dtype=np.int64).reshape(-1, 3)
    index = np.zeros(len(hsv), dtype=np.int64)
    for channel, bins in zip(hsv.T, _HSV_BINS, strict=True):
        index = index * bins + channel * bins // 256
    counts = np.bincount(index, minlength=int(np.prod(_HSV_BINS)))
    return counts / len(hsv)


def local_binary_patterns(gray: Doubles) -> Doubles:
    """Return (10,) shares of uniform local binary patterns of 8 points (Ojala et al. 2002).

    Each pixel is compared with 8 points on a circle of radius 1. If the circle has at most one dark
    and one light arc, the pattern is the number of light points; all other cases are one more
    pattern. The outermost pixels, which lack neighbors, are excluded.

    Args:
        gray: (H, W), at least 3 pixels per side.
    """
    # The margin keeps rounding errors of the interpolation from deciding in uniform areas.
    center = gray[1:-1, 1:-1] - 1e-6
    light = np.stack([_neighbor(gray, point) >= center for point in range(8)])
    changes = np.sum(light != np.roll(light, 1, axis=0), axis=0)
    pattern = np.where(changes <= 2, light.sum(axis=0), 9)
    return np.bincount(pattern.ravel(), minlength=10) / pattern.size


def _neighbor(gray: Doubles, point: int) -> Doubles:
    """Return values at one point of the circle around each inner pixel, interpolated linearly."""
    angle = 2 * np.pi * point / 8
    down, right = round(-np.sin(angle), 5), round(np.cos(angle), 5)
    height, width = gray.shape
    total = np.zeros((height - 2, width - 2))
    top, left = int(np.floor(down)), int(np.floor(right))
    for dy, dx in ((0, 0), (0, 1), (1, 0), (1, 1)):
        share = (1 - abs(down - top - dy)) * (1 - abs(right - left - dx))
        if share > 0:
            y, x = 1 + top + dy, 1 + left + dx
            total += share * gray[y : y + height - 2, x : x + width - 2]
    return total


def oriented_gradients(gray: Doubles) -> Doubles:
    """Return a histogram of oriented gradients (Dalal and Triggs 2005).

    Args:
        gray: (H, W), at least 4 pixels per side; the remainder of a division by 4 is cropped.

    Returns:
        (144,) values: 9 orientations in each of 4 x 4 cells, normalized, clipped and normalized
        again.
    """
    down, across = np.zeros_like(gray), np.zeros_like(gray)
    down[1:-1] = gray[2:] - gray[:-2]
    across[:, 1:-1] = gray[:, 2:] - gray[:, :-2]
    strength = np.hypot(down, across)
    angle = np.rad2deg(np.arctan2(down, across)) % 180
    direction = np.minimum((angle * _ORIENTATIONS / 180).astype(np.int64), _ORIENTATIONS - 1)
    height, width = (side // _CELLS for side in gray.shape)
    rows, columns = (range(0, side * _CELLS + 1, side) for side in (height, width))
    cells = [
        np.bincount(
            direction[top:bottom, left:right].ravel(),
            weights=strength[top:bottom, left:right].ravel(),
            minlength=_ORIENTATIONS,
        )
        / (height * width)
        for top, bottom in pairwise(rows)
        for left, right in pairwise(columns)
    ]
    return _unit(np.minimum(_unit(np.concatenate(cells)), _CLIP))


def _unit(values: Doubles) -> Doubles:
    scaled: Doubles = values / np.sqrt(np.sum(np.square(values)) + 1e-10)
    return scaled


def _halved(gray: Doubles, times: int) -> Doubles:
    for _ in range(times):
        height, width = (side // 2 * 2 for side in gray.shape)
        quarters = gray[:height, :width].reshape(height // 2, 2, width // 2, 2)
        gray = quarters.mean(axis=(1, 3))
    return gray
