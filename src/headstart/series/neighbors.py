"""Nearest neighbors among the features of images, in blocks, so that memory stays small."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from headstart.types import Floats, Labels

_BLOCK = 1_024
"""Rows whose distances to all others are in memory at the same time."""

_SAMPLE = 200
"""Images of a class that its spread is measured on."""


@dataclass(frozen=True, slots=True)
class Space:
    """Features in which distances are compared: standardized, of unit length.

    Attributes:
        X: (N, D) float32; rows have length 1, or 0 where all features are constant.
    """

    X: Floats

    @classmethod
    def of(cls, stages: Sequence[Floats]) -> "Space":
        """Combine the features (N, width) of some stages, each with the same weight."""
        parts = [_unit_length(_standardized(values)) for values in stages]
        whole = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
        return cls(whole if len(parts) == 1 else _unit_length(_standardized(whole)))

    def __len__(self) -> int:
        return len(self.X)

    def distances(self, left: Labels, right: Labels) -> Floats:
        """Return the Euclidean distances (P,) of P pairs, given by their rows; at most 2."""
        squared = np.square(self.X[left] - self.X[right]).sum(1)
        result: Floats = np.sqrt(squared)
        return result

    def blocks(self) -> Iterator[tuple[Labels, Floats]]:
        """Yield rows (B,), and their distances (B, N) to all rows; infinite to themselves."""
        for start in range(0, len(self.X), _BLOCK):
            rows = np.arange(start, min(start + _BLOCK, len(self.X)))
            squared = 2 - 2 * (self.X[rows] @ self.X.T)
            distances = np.sqrt(np.maximum(squared, 0, out=squared), out=squared)
            distances[np.arange(len(rows)), rows] = np.inf
            yield rows, distances


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbors:
    """The nearest neighbors of N images.

    Attributes:
        rows: (N, k) rows of the nearest images of any class, the nearest first.
        distances: (N, k) their distances.
        other_class: (N,) distance of the nearest image of another class; infinite without one.
    """

    rows: Labels
    distances: Floats
    other_class: Floats

    @classmethod
    def of(cls, space: Space, labels: Labels, *, count: int) -> "Neighbors":
        """Find the `count` nearest neighbors of each image, or all if there are fewer."""
        count = min(count, len(space) - 1)
        rows, near, other = [], [], []
        for block, distances in space.blocks():
            found = np.argpartition(distances, count - 1, axis=1)[:, :count]
            values = np.take_along_axis(distances, found, axis=1)
            # Rows break ties, so that the result does not depend on the partition.
            order = np.lexsort((found, values))
            rows.append(np.take_along_axis(found, order, axis=1))
            near.append(np.take_along_axis(values, order, axis=1))
            same = labels[block][:, None] == labels[None]
            other.append(np.where(same, np.float32(np.inf), distances).min(1))
        return cls(
            rows=np.concatenate(rows),
            distances=np.concatenate(near),
            other_class=np.concatenate(other),
        )


def class_spread(space: Space, labels: Labels) -> Floats:
    """Return, for each image, how far apart images of its class are: the 90% quantile, (N,).

    It is measured on up to 200 images of a class; infinite for a class of one image.
    """
    spread = np.full(len(labels), np.inf, np.float32)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        few = rows[np.linspace(0, len(rows) - 1, min(_SAMPLE, len(rows)), dtype=np.int64)]
        one, other = np.triu_indices(len(few), 1)
        if len(one):
            spread[rows] = np.quantile(space.distances(few[one], few[other]), 0.9)
    return spread


def _standardized(values: Floats) -> Floats:
    centered = values - values.mean(0, dtype=np.float64).astype(np.float32)
    scale = np.sqrt(np.square(centered).mean(0, dtype=np.float64))
    result: Floats = centered / np.maximum(scale, 1e-9).astype(np.float32)
    return result


def _unit_length(values: Floats) -> Floats:
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    result: Floats = values / np.maximum(lengths, np.float32(1e-9))
    return result
