"""Training examples of the tail: activations, features and labels, in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from headstart.features.view_activations import Activations
from headstart.types import Labels


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """B examples, ready for a `TunedNetwork`.

    Attributes:
        maps: (B, ...) float32 activations at the cut, or normalized pixels (B, 3, H, W).
        features: (B, width) float32 features of each stage up to the cut.
        targets: (B, K) float32 class probabilities.
    """

    maps: Tensor
    features: tuple[Tensor, ...]
    targets: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """N labeled images in several views each.

    Attributes:
        activations: activations of all views at the cut.
        labels: (N,) class indices in [0, K).
        classes: number of classes K.
        weights: (K,) float32 weight of each class in the loss.
        shape: shape of one view's activation; (3, H, W) if the views are pixels.
        mean: (1, 3, 1, 1) channel means that normalize pixels; unused if there is a trunk.
        std: (1, 3, 1, 1) channel standard deviations that normalize pixels.
        device: torch device of the batches, "cpu" or "cuda".
    """

    activations: Activations
    labels: Labels
    classes: int
    weights: Tensor
    shape: tuple[int, ...]
    mean: Tensor
    std: Tensor
    device: str

    def batch(self, rows: Labels, views: Labels) -> Batch:
        """Return the images at `rows` (B,), each in its view from `views` (B,)."""
        maps = self._on_device(self.activations.maps[rows, views])
        if maps.dtype is torch.uint8:  # pixels as `prepare` returns them: channels last
            _, height, width = self.shape
            pixels = maps.view(len(rows), height, width, 3).permute(0, 3, 1, 2)
            maps = (pixels.float() / 255 - self.mean) / self.std
        else:
            maps = maps.float().view(len(rows), *self.shape)
        if maps.ndim == 4:  # convolutions are faster in this memory layout
            maps = maps.contiguous(memory_format=torch.channels_last)
        return Batch(
            maps=maps,
            features=tuple(
                self._on_device(values[rows, views]) for values in self.activations.features
            ),
            targets=one_hot(self._on_device(self.labels[rows]), self.classes).float(),
        )

    def plain(self, rows: Labels, size: int) -> Iterator[Batch]:
        """Yield the unaugmented images at `rows` in order, in batches of up to `size`."""
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            yield self.batch(part, np.zeros(len(part), np.int64))

    def _on_device(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)


def shuffled(rows: Labels, size: int, rng: np.random.Generator) -> Sequence[Labels]:
    """Split all rows in random order into batches of `size`; drop a last batch of one row."""
    order = rng.permutation(rows)
    starts = range(0, len(order), size)[: batch_count(len(order), size)]
    return [order[start : start + size] for start in starts]


def batch_count(rows: int, size: int) -> int:
    """Return the number of batches that `shuffled` makes."""
    return rows // size + (rows % size > 1 or rows == 1)
