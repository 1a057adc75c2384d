"""Nearest neighbors among the features of images, in blocks, so that memory stays small."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Self

import numpy as np

from headstart.heads.knn import unit_length
from headstart.system.machine import cores, one_blas_thread
from headstart.types import Floats, Labels

_BLOCK = 512
"""Rows whose similarities to others are in memory at the same time, in each thread."""
_SAMPLE = 200
"""Images of a class that its spread is measured on."""
_COMPARED = 2_000
"""Images whose distances to other classes are measured."""
_WIDTH = 192
"""Width to which features of more than `_COMPARED` images are reduced: distances change by 5%."""


@dataclass(frozen=True, slots=True)
class Space:
    """Features in which distances are compared: standardized, of unit length.

    Attributes:
        X: (N, D) float32; rows have length 1, or 0 where all features are constant.
    """

    X: Floats

    @classmethod
    def of(cls, stages: Sequence[Floats]) -> Self:
        """Combine the features (N, width) of some stages, each with the same weight."""
        parts = [unit_length(_standardized(values)) for values in stages]
        whole = parts[0]
        if len(parts) > 1:
            whole = unit_length(_standardized(np.concatenate(parts, axis=1)))
        if len(whole) > _COMPARED and whole.shape[1] > _WIDTH:
            whole = unit_length(whole @ _projection(whole.shape[1]))
        return cls(whole)

    def __len__(self) -> int:
        return len(self.X)

    def distances(self, left: Labels, right: Labels) -> Floats:
        """Return the Euclidean distances (P,) of P pairs, given by their rows; at most 2."""
        squared = np.square(self.X[left] - self.X[right]).sum(1)
        result: Floats = np.sqrt(squared)
        return result


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbors:
    """Pairs of images of which the second is one of the nearest of the first.

    Attributes:
        rows: (N, k) rows of the nearest images, the nearest first; -1 where there are fewer.
        distances: (N, k) their distances; infinite where there are fewer.
    """

    rows: Labels
    distances: Floats


def nearest(space: Space, *, count: int, labels: Labels | None = None) -> Neighbors:
    """Find the `count` nearest neighbors of each of N images.

    With labels (N,), only images of the same class are neighbors.
    """
    size = len(space)
    rows = np.full((size, count), -1, np.int64)
    distances = np.full((size, count), np.inf, np.float32)
    classes = np.zeros(size, np.int64) if labels is None else labels

    def search(block: Labels) -> None:
        inside = np.flatnonzero(classes == classes[block[0]])
        k = min(count, len(inside) - 1)
        if k < 1:
            return
        similarity = space.X[block] @ space.X[inside].T
        similarity[np.arange(len(block)), np.searchsorted(inside, block)] = -np.inf
        found = np.argpartition(similarity, len(inside) - k, axis=1)[:, -k:]
        near = inside[found]
        length = space.distances(np.repeat(block, k), near.ravel()).reshape(near.shape)
        # Rows break ties, so that the result does not depend on the partition.
        order = np.lexsort((near, length))
        rows[block, :k] = np.take_along_axis(near, order, axis=1)
        distances[block, :k] = np.take_along_axis(length, order, axis=1)

    _in_threads(search, _blocks(classes))
    return Neighbors(rows=rows, distances=distances)


def other_class_distances(space: Space, labels: Labels) -> Floats:
    """Return the distance to the nearest image of another class, for up to 2,000 of the images.

    The result is empty if there is only one class.
    """
    few = np.linspace(0, len(labels) - 1, min(_COMPARED, len(labels)), dtype=np.int64)
    result = np.full(len(few), np.inf, np.float32)

    def search(places: Labels) -> None:
        block = few[places]
        similarity = space.X[block] @ space.X.T
        similarity[labels[block][:, None] == labels[None]] = -np.inf
        result[places] = space.distances(block, similarity.argmax(1))

    if len(np.unique(labels)) < 2:
        return np.zeros(0, np.float32)
    _in_threads(search, _blocks(np.zeros(len(few), np.int64)))
    return result


def _blocks(classes: Labels) -> list[Labels]:
    """Return all rows in blocks of one class each."""
    inside = [np.flatnonzero(classes == one) for one in np.unique(classes)]
    return [rows[i : i + _BLOCK] for rows in inside for i in range(0, len(rows), _BLOCK)]


def _in_threads(search: Callable[[Labels], None], blocks: Sequence[Labels]) -> None:
    # One thread of BLAS in each: selecting the nearest takes as long as the products do.
    with one_blas_thread(), ThreadPoolExecutor(cores()) as pool:
        for _ in pool.map(search, blocks):
            pass


def class_spread(space: Space, labels: Labels) -> Floats:
    """Return, for each image, how far apart images of its class are: the 90% quantile, (N,).

    It is measured on up to 200 images of a class; infinite for a class of one image.
    """
    spread = np.full(len(labels), np.inf, np.float32)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        few = rows[np.linspace(0, len(rows) - 1, min(_SAMPLE, len(rows)), dtype=np.int64)]
        if len(few) > 1:
            similarity = space.X[few] @ space.X[few].T
            pairs = similarity[np.triu_indices(len(few), 1)]
            spread[rows] = np.sqrt(2 - 2 * np.quantile(pairs, 0.1))  # rows have unit length
    return spread


def _standardized(values: Floats) -> Floats:
    centered = values - values.mean(0, dtype=np.float64).astype(np.float32)
    scale = np.sqrt(np.square(centered).mean(0, dtype=np.float64))
    result: Floats = centered / np.maximum(scale, 1e-9).astype(np.float32)
    return result


@cache
def _projection(width: int) -> Floats:
    """Return a random orthogonal projection (width, `_WIDTH`), the same one every time."""
    random = np.random.default_rng(0).normal(size=(width, _WIDTH))
    return np.linalg.qr(random)[0].astype(np.float32)
