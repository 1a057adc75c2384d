"""Copies of images, also if they were resized, compressed, cropped, mirrored or recolored.

Candidates are images with similar coarse thumbnails, mirrored or not. Each candidate pair is then
compared after the best alignment (`headstart.images.alignment`). Independent photographs are hardly
ever that similar, but images of a uniform kind, such as digits, may be: each class has a threshold
that random pairs of its images do not reach.
"""

from typing import Final

import numpy as np

from headstart.images.alignment import coarse, similarities
from headstart.types import Doubles, Floats, Labels

SIMILAR: Final = 0.88
"""Least similarity of a copy to its original. Copies cropped by a tenth have 0.91 or more, other
photographs at most 0.85 (measured)."""
_CANDIDATES: Final = 3
"""Images with the most similar coarse thumbnails to compare with, for each image."""
_COARSE: Final = 0.5
"""Least similarity of the coarse thumbnails."""
_NULL_PAIRS: Final = 100
"""Random pairs of a class that its threshold is based on."""
_MIN_CLASS: Final = 10
"""Images of the smallest class with a threshold of its own; smaller ones share one."""
_DEVIATIONS: Final = 6.0
"""Robust standard deviations above the median of random pairs, after Fisher's transformation. Of
1,000 handwritten digits, none is then reported as a copy; without the rule 322 are."""
_BLOCK: Final = 1024
"""Pairs to compare at a time."""
_MEMORY: Final = 4 * 2**20
"""Rough similarities to compute at a time."""


def find_copies(thumbnails: np.ndarray, y: Labels, *, seed: int) -> tuple[Labels, Doubles]:
    """Find pairs of images that show the same picture.

    Args:
        thumbnails: (N, SIDE, SIDE) uint8; see `headstart.images.alignment.thumbnail`.
        y: (N,) labels, for the thresholds.
        seed: Random seed of the pairs that thresholds are based on.

    Returns:
        (P, 2) pairs of rows, the smaller row first, and (P,) their similarities.
    """
    pairs = _candidates(thumbnails)
    found = _aligned(thumbnails, pairs)
    limits = thresholds(thumbnails, y, seed=seed)
    copies = found >= limits[y[pairs]].max(axis=1, initial=SIMILAR)
    return pairs[copies], found[copies]


def thresholds(thumbnails: np.ndarray, y: Labels, *, seed: int) -> Doubles:
    """Return the least similarity of copies for each class: (K,) in [`SIMILAR`, 1]."""
    rng = np.random.default_rng(seed)
    sizes = np.bincount(y)
    small = sizes < _MIN_CLASS
    limits = np.full(len(sizes), _threshold(thumbnails, _random_pairs(np.arange(len(y)), rng)))
    for label in np.flatnonzero(~small):
        pairs = _random_pairs(np.flatnonzero(y == label), rng)
        limits[label] = _threshold(thumbnails, pairs)
    # Images of one class are more alike than any two images are.
    limits[small] = np.maximum(limits[small], _threshold(thumbnails, _pairs_within(y, small, rng)))
    return limits


def _random_pairs(rows: Labels, rng: np.random.Generator) -> Labels:
    if len(rows) < _MIN_CLASS:
        return np.empty((0, 2), np.int64)
    pairs: Labels = rng.choice(rows, (_NULL_PAIRS, 2))
    return pairs


def _pairs_within(y: Labels, classes: np.ndarray, rng: np.random.Generator) -> Labels:
    """Return random pairs (P, 2) of images of the same class, among the classes (K,) selected."""
    rows = np.flatnonzero(classes[y])
    if not len(rows):
        return np.empty((0, 2), np.int64)
    left = rng.choice(rows, _NULL_PAIRS)
    order = np.argsort(y, kind="stable")
    first, end = (np.searchsorted(y[order], y[left], side) for side in ("left", "right"))
    return np.stack([left, order[rng.integers(first, end)]], axis=1)


def _threshold(thumbnails: np.ndarray, pairs: Labels) -> float:
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    if len(pairs) < _MIN_CLASS:
        return SIMILAR
    scale = np.arctanh(_aligned(thumbnails, pairs).clip(-0.999, 0.999))
    middle = np.median(scale)
    deviation = 1.4826 * np.median(np.abs(scale - middle))
    return max(SIMILAR, float(np.tanh(middle + _DEVIATIONS * deviation)))


def _candidates(thumbnails: np.ndarray) -> Labels:
    """Return (P, 2) pairs of rows with similar coarse thumbnails, the smaller row first."""
    images, mirrored = (
        np.concatenate(
            [
                coarse(some[at : at + _BLOCK].astype(np.float32))
                for at in range(0, max(1, len(some)), _BLOCK)
            ]
        )
        for some in (thumbnails, thumbnails[:, :, ::-1])
    )
    count, found = min(_CANDIDATES, len(images) - 1), [np.empty((0, 2), np.int64)]
    step = max(1, _MEMORY // max(1, len(images)))
    for start in range(0, len(images) if count > 0 else 0, step):
        rows = np.arange(start, min(start + step, len(images)))
        alike: Floats = np.maximum(images[rows] @ images.T, mirrored[rows] @ images.T)
        alike[np.arange(len(rows)), rows] = -1
        nearest = np.argpartition(-alike, count - 1, axis=1)[:, :count]
        near = np.take_along_axis(alike, nearest, 1) >= _COARSE
        pairs = np.stack([np.repeat(rows, count).reshape(nearest.shape), nearest], axis=2)[near]
        found.append(np.sort(pairs, axis=1))
    return np.unique(np.concatenate(found), axis=0)


def _aligned(thumbnails: np.ndarray, pairs: Labels) -> Doubles:
    """Return the similarity of each pair (P, 2), without copying all thumbnails at once."""
    found: Doubles = np.empty(len(pairs))
    for start in range(0, len(pairs), _BLOCK):
        part = slice(start, start + _BLOCK)
        A, B = (thumbnails[rows].astype(np.float32) for rows in pairs[part].T)
        found[part] = similarities(A, B)
    return found
