"""Images unlike all others of their class."""

from typing import Final

import numpy as np

from headstart.auditing.issue import Issue, IssueKind, LabeledImages
from headstart.heads.knn import unit_length
from headstart.heads.rows import Rows
from headstart.types import Doubles, Floats, Labels

_NEIGHBORS: Final = 5
_DEVIATIONS: Final = 3.0
"""Robust standard deviations of the class above its median distance."""
_MIN: Final = 10
"""Images of the smallest class that is checked."""
_SAMPLE: Final = 4096
"""Images that mean and scale of the features are computed on."""
_MEMORY: Final = 4 * 2**20
"""Similarities to compute at a time."""


def class_distances(features: Rows, y: Labels) -> Doubles:
    """Return how unlike the nearest images of its own class each image is.

    Args:
        features: Features of N images, D numbers each.
        y: (N,) labels.

    Returns:
        (N,) mean cosine distance to the 5 nearest images of the class, after standardization: its
        difference from the median of the class in robust standard deviations (1.4826 times the
        median absolute deviation). The deviation is that of the class or, if it is larger, the
        median one of all classes. -inf in classes of fewer than 10 images.
    """
    sample = features.picked(features.evenly(_SAMPLE)).whole()
    mean, scale = sample.mean(axis=0), np.maximum(sample.std(axis=0), np.float32(1e-6))
    members = [rows for label in np.unique(y) if len(rows := np.flatnonzero(y == label)) >= _MIN]
    differences: Doubles = np.full(len(y), -np.inf)
    spreads = []
    for rows in members:
        Z = unit_length((features.picked(rows).whole() - mean) / scale)
        step = max(1, _MEMORY // len(rows))
        blocks = [_distances(Z, start, step) for start in range(0, len(rows), step)]
        distances = np.concatenate(blocks, dtype=np.float64)
        differences[rows] = distances - np.median(distances)
        spreads.append(1.4826 * float(np.median(np.abs(differences[rows]))))
    for rows, spread in zip(members, spreads, strict=True):
        differences[rows] /= max(spread, float(np.median(spreads)), 1e-6)
    return differences


def outlier_issues(images: LabeledImages, features: Rows) -> list[Issue]:
    """Return the images that are unlike all others of their class."""
    deviations = class_distances(features, images.labels)
    return [
        images.issue(
            row,
            IssueKind.OUTLIER,
            1 - _DEVIATIONS / (2 * deviations[row]),
            f"its distance to the nearest images of its class is {deviations[row]:.1f} standard "
            "deviations above the median of the class",
        )
        for row in np.flatnonzero(deviations > _DEVIATIONS).tolist()
    ]


def _distances(Z: Floats, start: int, step: int) -> Floats:
    """Return the mean distances of a block of rows to their nearest other rows."""
    cosine = Z[start : start + step] @ Z.T
    place = np.arange(len(cosine))
    cosine[place, start + place] = -2
    nearest: Floats = np.partition(cosine, -_NEIGHBORS, axis=1)[:, -_NEIGHBORS:]
    distances: Floats = np.float32(1) - nearest.mean(axis=1)
    return distances
