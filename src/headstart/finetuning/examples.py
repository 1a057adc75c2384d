"""What a tail is trained from: activations, features and labels, batch by batch."""

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
    """Some examples, ready for a `TunedNetwork`.

    Attributes:
        maps: (B, ...) activations at the cut, or normalized pixels.
        features: (B, width) of each stage up to the cut.
        targets: (B, K) probabilities.
    """

    maps: Tensor
    features: tuple[Tensor, ...]
    targets: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """N labeled images in K views each.

    Attributes:
        activations: of all views.
        labels: (N,).
        classes: how many.
        weights: (K,) what an image of each class counts for.
        shape: of one view's activation.
        mean: (1, 3, 1, 1), what pixels are normalized by where there is no trunk.
        std: likewise.
        device: where batches go.
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
        """The images at `rows` (B,), each in one of its views (B,)."""
        raw = torch.from_numpy(np.ascontiguousarray(self.activations.maps[rows, views]))
        moved = raw.to(self.device)
        if raw.dtype is torch.uint8:  # pixels, as they are prepared: channels last
            _, height, width = self.shape
            pixels = moved.view(len(rows), height, width, 3).permute(0, 3, 1, 2)
            maps = (pixels.float() / 255 - self.mean) / self.std
        else:
            maps = moved.float().view(len(rows), *self.shape)
        if maps.ndim == 4:  # convolutions are faster on this layout; it changes no shape
            maps = maps.contiguous(memory_format=torch.channels_last)
        features = tuple(
            torch.from_numpy(np.ascontiguousarray(values[rows, views])).to(self.device)
            for values in self.activations.features
        )
        labels = torch.as_tensor(self.labels[rows], device=self.device)
        return Batch(maps=maps, features=features, targets=one_hot(labels, self.classes).float())

    def plain(self, rows: Labels, size: int) -> Iterator[Batch]:
        """The images at `rows` as they are, in order."""
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            yield self.batch(part, np.zeros(len(part), np.int64))


def mixed_up(batch: Batch, alpha: float, rng: np.random.Generator) -> Batch:
    """Each example mixed with another: mixup (Zhang et al. 2018, eq. 1), at the cut."""
    share, order = float(rng.beta(alpha, alpha)), _order(batch, rng)

    def mix(values: Tensor) -> Tensor:
        return values * share + values[order] * (1 - share)

    return Batch(
        maps=mix(batch.maps),
        features=tuple(mix(one) for one in batch.features),
        targets=mix(batch.targets),
    )


def cut_mixed(batch: Batch, alpha: float, rng: np.random.Generator) -> Batch:
    """A rectangle of each map replaced by another's: CutMix (Yun et al. 2019, eq. 1 and 2).

    The features of stages before the cut are averages over positions, and so become the
    averages of the two in the share of the areas. Maps without positions are mixed as by
    `mixed_up`.
    """
    if batch.maps.ndim != 4:
        return mixed_up(batch, alpha, rng)
    height, width = batch.maps.shape[2:]  # the trunk gives (B, C, H, W) whatever the network's own
    side = float(np.sqrt(1 - rng.beta(alpha, alpha)))
    down, across = (max(1, round(length * side)) for length in (height, width))
    top, left = rng.integers(0, height - down + 1), rng.integers(0, width - across + 1)
    share, order = 1 - down * across / (height * width), _order(batch, rng)
    maps = batch.maps.clone()
    box = (..., slice(top, top + down), slice(left, left + across))
    maps[box] = batch.maps[order][box]

    def mix(values: Tensor) -> Tensor:
        return values * share + values[order] * (1 - share)

    return Batch(
        maps=maps,
        features=tuple(mix(one) for one in batch.features),
        targets=mix(batch.targets),
    )


def _order(batch: Batch, rng: np.random.Generator) -> Tensor:
    return torch.as_tensor(rng.permutation(len(batch.maps)), device=batch.maps.device)


def shuffled(rows: Labels, size: int, rng: np.random.Generator) -> Sequence[Labels]:
    """All rows in random order, in batches of `size`; a last one of a single row is left out."""
    order = rng.permutation(rows)
    parts = [order[start : start + size] for start in range(0, len(order), size)]
    return parts[:-1] if len(parts) > 1 and len(parts[-1]) < 2 else parts
