"""What can be said of a picture without a trained network: its pixels, colors, texture and shape.

Each is decades old and documented; they are what a pre-trained network has to beat.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import numpy as np
from PIL import Image

from headstart.types import Doubles, Floats, Pixels

THUMBNAIL: Final = 24
"""Side of what stands for the raw pixels. 16 to 32 tell handwritten digits apart equally well."""
BLOCKS: Final = (72, 30, 144)
"""Widths of color, texture and shape in `describe`."""
_HSV_BINS: Final = (8, 3, 3)
_SCALES: Final = 3
"""Resolutions that texture is read at, each half of the one before."""
_CELLS, _ORIENTATIONS = 4, 9
_CLIP: Final = 0.2
"""Largest share of one orientation (Dalal and Triggs 2005)."""
_LUMA: Final = (0.2125, 0.7154, 0.0721)
"""Weights of red, green and blue in gray (ITU-R BT.709)."""


def thumbnail(pixels: Pixels, *, side: int = THUMBNAIL) -> Floats:
    """A picture made small: each pixel is the mean of what it covers.

    Args:
        pixels: (H, W, 3).
        side: of the result.

    Returns:
        (side, side, 3) in [0, 1].
    """
    small = Image.fromarray(pixels).resize((side, side), Image.Resampling.BOX)
    return np.asarray(small, np.float32) / np.float32(255)


def describe(pixels: Pixels) -> Floats:
    """Color, texture and shape side by side; see `BLOCKS`.

    The picture is read at half of its resolution and below: prepared for a network, most have been
    enlarged or hold the noise of the camera. Histograms are square roots of shares, so that
    distances between them are Hellinger's.

    Args:
        pixels: (H, W, 3), at least 32 pixels a side.

    Returns:
        (sum(BLOCKS),).
    """
    pixels = np.asarray(Image.fromarray(pixels).reduce(2))
    gray: Doubles = pixels @ np.array(_LUMA) / 255
    textures = [local_binary_patterns(_halved(gray, times)) for times in range(_SCALES)]
    parts = [np.sqrt(color_histogram(pixels)), *map(np.sqrt, textures), oriented_gradients(gray)]
    return np.concatenate(parts, dtype=np.float32, casting="same_kind")


def color_histogram(pixels: Pixels) -> Doubles:
    """How much of a picture has which color (Swain and Ballard 1991), in bins of HSV.

    Args:
        pixels: (H, W, 3).

    Returns:
        (72,) shares of 8 hues x 3 saturations x 3 values; they sum to 1.
    """
    hsv = np.asarray(Image.fromarray(pixels).convert("HSV"), dtype=np.int64).reshape(-1, 3)
    place = np.zeros(len(hsv), dtype=np.int64)
    for channel, bins in zip(hsv.T, _HSV_BINS, strict=True):
        place = place * bins + channel * bins // 256
    counts = np.bincount(place, minlength=int(np.prod(_HSV_BINS)))
    return counts / len(hsv)


def local_binary_patterns(gray: Doubles) -> Doubles:
    """How often which small pattern occurs (Ojala et al. 2002): uniform, 8 points, radius 1.

    Each pixel is compared with eight points around it. Where the circle has one dark and one light
    arc at most, the pattern is the number of light points; all others are one more pattern. The
    frame of the picture, whose neighbors are unknown, has none.

    Args:
        gray: (H, W), at least 3 pixels a side.

    Returns:
        (10,) shares; they sum to 1.
    """
    # In plain areas the rounding of the interpolation must not decide.
    center = gray[1:-1, 1:-1] - 1e-6
    light = np.stack([_neighbor(gray, point) >= center for point in range(8)])
    changes = np.sum(light != np.roll(light, 1, axis=0), axis=0)
    pattern = np.where(changes <= 2, light.sum(axis=0), 9)
    return np.bincount(pattern.ravel(), minlength=10) / pattern.size


def _neighbor(gray: Doubles, point: int) -> Doubles:
    """The picture at a point on the circle around each inner pixel, interpolated linearly."""
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
    """In which directions brightness changes where (Dalal and Triggs 2005).

    Args:
        gray: (H, W), at least 4 pixels a side; what does not divide by 4 is left out at the end.

    Returns:
        (144,): 9 directions in each of 4 x 4 cells, normalized, clipped and normalized again.
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
