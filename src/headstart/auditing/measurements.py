"""What the checks of pixels need to know about each image, from decoding it once."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from headstart.errors import UnreadableImageError
from headstart.images.alignment import thumbnail
from headstart.images.decode import decode
from headstart.images.descriptors import color_histogram
from headstart.images.limits import one_large_image
from headstart.system.prefetch import prefetch
from headstart.system.text import count_reasons, pluralize
from headstart.types import Doubles, Floats, ProgressCallback, Skipped, no_progress

_SIDE: Final = 128
"""Shorter side in pixels at which images are measured; smaller ones are not enlarged."""
_BLUR: Final = 5
"""Length in pixels of the filter of `blur`. At this size no photo of eight sets had a blur above
0.79, and a Gaussian blur of 2 pixels raised most to 0.83 or more (measured)."""
_CELLS: Final = 8
"""Cells per side of the grid whose outermost cells are the border."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurements:
    """Measurements of N images.

    Attributes:
        rows: (N,) indices into the paths that were given; unreadable files are missing.
        thumbnails: (N, SIDE, SIDE) uint8; see `headstart.images.alignment`.
        sizes: (N, 2) width and height in pixels.
        contrast: (N,) standard deviation of the gray levels, 0 to 127.5.
        darkest: (N,) gray level that 1% of the pixels are below, 0 to 255.
        brightest: (N,) gray level that 1% of the pixels are above, 0 to 255.
        blur: (N,) in [0, 1]; see `blur`.
        surroundings: (N, D) colors of the border, color histogram and logarithmic size, but
            nothing of the shapes in the image.
        skipped: The files that could not be read.
    """

    rows: np.ndarray
    thumbnails: np.ndarray
    sizes: np.ndarray
    contrast: Doubles
    darkest: Doubles
    brightest: Doubles
    blur: Doubles
    surroundings: Floats
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True, slots=True)
class _Measured:
    thumbnail: np.ndarray
    size: tuple[int, int]
    numbers: tuple[float, float, float, float]
    surroundings: Floats


def measure_images(
    paths: Sequence[Path], *, progress: ProgressCallback = no_progress
) -> Measurements:
    """Decode images at a reduced size, several at a time, and measure them.

    Args:
        paths: Image files.
        progress: Called with (done, total) images.
    """
    rows, found, skipped = [], [], []
    for done, (row, result) in enumerate(prefetch(partial(_read, paths), range(len(paths)))):
        if isinstance(result, Skipped):
            skipped.append(result)
        else:
            rows.append(row)
            found.append(result)
        progress(done + 1, len(paths))
    if not found:
        reasons = count_reasons(one.reason for one in skipped)
        raise UnreadableImageError(
            f"none of {pluralize(len(paths), 'image')} can be read ({reasons}); check the files"
        )
    contrast, darkest, brightest, blurs = np.array([one.numbers for one in found]).T
    return Measurements(
        rows=np.array(rows, np.int64),
        thumbnails=np.stack([one.thumbnail for one in found]),
        sizes=np.array([one.size for one in found], np.int64),
        contrast=contrast,
        darkest=darkest,
        brightest=brightest,
        blur=blurs,
        surroundings=np.stack([one.surroundings for one in found]),
        skipped=tuple(skipped),
    )


def blur(gray: Floats) -> float:
    """Return the blur metric of Crete et al. 2007: 0 is sharp, 1 is blurred.

    An image that is blurred already changes little when it is blurred again ("The blur effect:
    perception and estimation with a new no-reference perceptual blur metric").

    Args:
        gray: (H, W) gray levels in any range; without edges to measure, the result is 0.
    """
    scores = [0.0]
    for values in (gray, gray.T):
        if min(values.shape) < _BLUR + 2:
            continue
        edges = _edges(values)[_BLUR // 2 : -(_BLUR // 2)]
        windows = [values[start : len(values) - _BLUR + 1 + start] for start in range(_BLUR)]
        again = _edges(np.mean(windows, axis=0, dtype=np.float32))
        total = float(edges.sum())
        lost = float(np.maximum(edges - again, 0).sum())
        scores.append(1 - lost / total if total > 0 else 0.0)
    return max(scores)


def _edges(values: Floats) -> Floats:
    """Return the size of Sobel's derivative along the rows, without the outermost pixels."""
    smooth = values[:, :-2] + 2 * values[:, 1:-1] + values[:, 2:]
    edges: Floats = np.abs(smooth[2:] - smooth[:-2])
    return edges


@one_large_image()
def _read(paths: Sequence[Path], row: int) -> _Measured | Skipped:
    """Measure one image; called in threads."""
    sizes: list[tuple[int, int]] = []

    def enough(width: int, height: int) -> tuple[int, int]:
        sizes.append((width, height))
        return _reduced(width, height)

    try:
        image = decode(paths[row], min_size=enough)
    except UnreadableImageError as error:
        return Skipped(str(paths[row]), str(error))
    # Only formats that can be decoded at a reduced size ask for it.
    width, height = sizes[0] if sizes else image.size
    small = image.resize(_reduced(*image.size), Image.Resampling.BOX)
    levels = small.convert("L")
    shares = np.cumsum(levels.histogram()) / (small.width * small.height)
    darkest, brightest = np.searchsorted(shares, (0.01, 0.99))
    gray = np.asarray(levels, np.float32)
    shape = np.log([width, height])
    return _Measured(
        thumbnail=thumbnail(image).clip(0, 255).astype(np.uint8),
        size=(width, height),
        numbers=(float(gray.std()), float(darkest), float(brightest), blur(gray)),
        surroundings=np.concatenate([_surroundings(small), shape]).astype(np.float32),
    )


def _reduced(width: int, height: int) -> tuple[int, int]:
    """Return the (width, height) at which an image of this size is measured."""
    scale = min(1.0, _SIDE / min(width, height))
    most = 32 * _SIDE  # an image one pixel high need not be measured at its full length
    return (
        max(1, min(most, round(scale * width))),
        max(1, min(most, round(scale * height))),
    )


def _surroundings(image: Image.Image) -> Doubles:
    """Return colors of the border in [0, 1], and the square roots of a color histogram."""
    grid = np.asarray(image.resize((_CELLS, _CELLS), Image.Resampling.BOX), np.float64) / 255
    inside = np.zeros((_CELLS, _CELLS), bool)
    inside[1:-1, 1:-1] = True
    return np.concatenate([grid[~inside].ravel(), np.sqrt(color_histogram(np.asarray(image)))])
