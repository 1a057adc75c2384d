"""Training examples of the tail, in batches that mixup and CutMix may mix."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from headstart.features.view_activations import Activations
from headstart.finetuning.settings import TuningSettings
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


def mix_batch(batch: Batch, settings: TuningSettings, rng: np.random.Generator) -> Batch:
    """Apply mixup or CutMix, whichever is enabled; with both, choose one at random per batch."""
    methods = ((mixup, settings.mixup), (cutmix, settings.cutmix))
    enabled = [(method, alpha) for method, alpha in methods if alpha]
    if not enabled:
        return batch
    method, alpha = enabled[int(rng.integers(len(enabled)))]
    return method(batch, alpha, rng)


def mixup(batch: Batch, alpha: float, rng: np.random.Generator) -> Batch:
    """Interpolate each example with another one (mixup; Zhang et al. 2018, eq. 1).

    The weight of an example in its pair is drawn from Beta(alpha, alpha).
    """
    weight = float(rng.beta(alpha, alpha))
    order = _permutation(batch, rng)
    return _mixed(batch, order, weight, maps=_interpolated(batch.maps, order, weight))


def cutmix(batch: Batch, alpha: float, rng: np.random.Generator) -> Batch:
    """Replace a rectangle of each map by that of another example (CutMix; Yun et al. 2019, eq. 1).

    The fraction of the area that is kept is drawn from Beta(alpha, alpha). Features of stages
    before the cut are averages over positions, so they are interpolated by the same fraction. Maps
    without spatial positions are mixed by `mixup`.
    """
    if batch.maps.ndim != 4:
        return mixup(batch, alpha, rng)
    height, width = batch.maps.shape[2:]  # trunks always return (B, C, H, W)
    side = float(np.sqrt(1 - rng.beta(alpha, alpha)))
    rows, columns = (max(1, round(length * side)) for length in (height, width))
    top, left = rng.integers(0, height - rows + 1), rng.integers(0, width - columns + 1)
    order = _permutation(batch, rng)
    maps = batch.maps.clone()
    box = (..., slice(top, top + rows), slice(left, left + columns))
    maps[box] = batch.maps[order][box]
    return _mixed(batch, order, 1 - rows * columns / (height * width), maps=maps)


def _permutation(batch: Batch, rng: np.random.Generator) -> Tensor:
    return torch.as_tensor(rng.permutation(len(batch.maps)), device=batch.maps.device)


def _interpolated(values: Tensor, order: Tensor, weight: float) -> Tensor:
    return values * weight + values[order] * (1 - weight)


def _mixed(batch: Batch, order: Tensor, weight: float, *, maps: Tensor) -> Batch:
    return Batch(
        maps=maps,
        features=tuple(_interpolated(values, order, weight) for values in batch.features),
        targets=_interpolated(batch.targets, order, weight),
    )
