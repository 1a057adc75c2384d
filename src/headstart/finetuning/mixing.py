"""Mixup and CutMix of activations at the cut."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from headstart.finetuning.examples import Batch
from headstart.finetuning.settings import TuningSettings


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
