"""Similarity of two images after the best crop, shift and mirroring, from small gray thumbnails.

The score is the normalized cross-correlation (Lewis 1995, "Fast normalized cross-correlation") of
band-passed thumbnails, maximized over scales, shifts and mirroring. It depends neither on
brightness and contrast nor, mostly, on color and compression. Two photographs of the same kind of
scene rarely reach 0.8; a photograph and a changed copy of it are rarely below 0.9.
"""

from functools import cache
from typing import Final

import numpy as np
from PIL import Image
from scipy import fft

from headstart.types import Doubles, Floats

SIDE: Final = 32
"""Side of a thumbnail in pixels. Twice as many pixels separate copies no better (measured)."""
COARSE_SIDE: Final = 12
"""Side of the thumbnails that candidates are found with; see `coarse`."""
_FINE: Final = 1.0
_COARSE: Final = 4.0
"""Standard deviations in pixels of the two Gaussians whose difference is the band: larger patterns
depend on the light, smaller ones on the compression."""
_SCALES: Final = ((1.0, 1.0), (0.95, 0.95), (0.9, 0.9), (1.0, 0.9), (0.9, 1.0))
"""Shares of the height and width that one image may show of the other one."""
_MARGIN: Final = 2
"""Pixels cut off on each side of the part to find, where the filter extends past the edge."""
_LARGEST_SHIFT: Final = 4
"""Pixels by which two images of the same scale may be shifted against each other."""
_FLAT: Final = 0.01
"""Variance in squared gray levels that is added, so that mere noise does not correlate."""
_BATCH: Final = 256


def thumbnail(image: Image.Image) -> Floats:
    """Return a small gray version of an RGB image, stretched to a square: (SIDE, SIDE) float32."""
    small = image.convert("L").resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    return np.asarray(small, np.float32)


def similarity(a: Floats, b: Floats) -> float:
    """Return how similar two thumbnails are after the best alignment, in [-1, 1].

    Args:
        a: (SIDE, SIDE) gray levels, 0 to 255; see `thumbnail`.
        b: the same for the other image; the order makes no difference.
    """
    return float(similarities(a[None], b[None])[0])


def similarities(A: Floats, B: Floats) -> Doubles:
    """Return the similarity of each pair of thumbnails; see `similarity`.

    Args:
        A: (P, SIDE, SIDE) the first image of each pair.
        B: (P, SIDE, SIDE) the second image of each pair.

    Returns:
        (P,) in [-1, 1].
    """
    best: Doubles = np.empty(len(A))
    for start in range(0, len(A), _BATCH):
        rows = slice(start, start + _BATCH)
        best[rows] = _best_alignment(A[rows], B[rows])
    return best


def coarse(images: Floats) -> Floats:
    """Return vectors whose inner product is a rough similarity without alignment.

    Args:
        images: (N, SIDE, SIDE) thumbnails.

    Returns:
        (N, COARSE_SIDE ** 2) of length 1, or shorter for an image without contrast.
    """
    values = _band(images, COARSE_SIDE, COARSE_SIDE).reshape(len(images), COARSE_SIDE**2)
    values -= values.mean(axis=1, keepdims=True)
    length = np.linalg.norm(values, axis=1, keepdims=True)
    units: Floats = values / np.maximum(length, 1e-2)
    return units


def _best_alignment(A: Floats, B: Floats) -> Doubles:
    best = np.full(len(A), -1.0)
    whole = _Scenes(A)
    for other in (B, B[:, :, ::-1]):
        other_whole = _Scenes(other)
        for scale in _SCALES:
            # Either image may be the one that shows only a part.
            np.maximum(best, whole.correlation(_templates(other, scale)), out=best)
            np.maximum(best, other_whole.correlation(_templates(A, scale)), out=best)
    best.clip(-1, 1, out=best)
    return best


class _Scenes:
    """Band-passed images to search for a part, (P, SIDE, SIDE)."""

    def __init__(self, images: Floats) -> None:
        band = _band(images, SIDE, SIDE)
        self._spectrum = fft.rfft2(band)
        self._sums, self._squares = _cumulative(band), _cumulative(np.square(band))

    def correlation(self, templates: Floats) -> Doubles:
        """Return the largest normalized cross-correlation with (P, h, w) templates, (P,)."""
        _, height, width = templates.shape
        pixels = height * width
        centered: Floats = templates - templates.mean((1, 2), keepdims=True)
        spectrum = self._spectrum * np.conj(fft.rfft2(centered, s=(SIDE, SIDE)))
        # Positions at which the template would wrap around the edge are dropped.
        products = fft.irfft2(spectrum, s=(SIDE, SIDE))[:, : SIDE - height + 1, : SIDE - width + 1]
        sums, squares = (_windows(one, height, width) for one in (self._sums, self._squares))
        variance = np.maximum(squares - np.square(sums) / pixels, 0) + _FLAT * pixels
        own = np.square(centered).sum((1, 2))[:, None, None] + _FLAT * pixels
        best: Doubles = (products / np.sqrt(variance * own)).max(axis=(1, 2))
        return best


def _templates(images: Floats, scale: tuple[float, float]) -> Floats:
    """Return band-passed images at a scale, without their margins: (P, h, w)."""
    height, width = (round(SIDE * share) for share in scale)
    margin = _LARGEST_SHIFT if height == width == SIDE else _MARGIN
    return _band(images, height, width)[:, margin:-margin, margin:-margin]


def _band(images: Floats, height: int, width: int) -> Floats:
    """Resize images (P, SIDE, SIDE) to (P, height, width), keeping only details of the band."""
    fine = _smoothing(height, _FINE) @ images @ _smoothing(width, _FINE).T
    coarse = _smoothing(height, _COARSE) @ images @ _smoothing(width, _COARSE).T
    return np.subtract(fine, coarse, dtype=np.float32)


@cache
def _smoothing(size: int, sigma: float) -> Floats:
    """Return the matrix (size, SIDE) that resizes a column and smooths it by `sigma` new pixels."""
    new, old = np.arange(size)[:, None] + 0.5, np.arange(SIDE) + 0.5
    weights = np.exp(-np.square((new - old * size / SIDE) / sigma) / 2)
    matrix: Floats = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return matrix


def _cumulative(images: Floats) -> Doubles:
    """Return sums over all pixels above and to the left, (P, S + 1, S + 1)."""
    total: Doubles = np.zeros((len(images), images.shape[1] + 1, images.shape[2] + 1))
    total[:, 1:, 1:] = images.cumsum(axis=1, dtype=np.float64).cumsum(axis=2)
    return total


def _windows(total: Doubles, height: int, width: int) -> Doubles:
    """Return the sums over all windows of a size, from cumulative sums."""
    return (
        total[:, height:, width:]
        - total[:, :-height, width:]
        - total[:, height:, :-width]
        + total[:, :-height, :-width]
    )
