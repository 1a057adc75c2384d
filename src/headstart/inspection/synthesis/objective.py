"""Objectives of gradient ascent: functions of (B, 3, H, W) in [0, 1] with (B,) values."""

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

Objective: TypeAlias = Callable[[Tensor], Tensor]
"""(B, 3, H, W) in [0, 1] to (B,); higher is better."""
Logits: TypeAlias = Callable[[Tensor], Tensor]
"""(B, 3, H, W) in [0, 1] to (B, K)."""


def log_likelihood(logits: Logits, index: int) -> Objective:
    """Minus the cross-entropy of class `index`; flat once the class is probable."""
    return lambda pixels: logits(pixels).log_softmax(1)[:, index]


def probability(logits: Logits, index: int) -> Objective:
    """Return the probability of class `index`, in [0, 1]."""
    return lambda pixels: logits(pixels).softmax(1)[:, index]


def log_odds(logits: Logits, index: int) -> Objective:
    """Return log(p / (1 - p)) of class `index`, which does not saturate.

    Unlike the logit alone, the objective of Simonyan et al. 2014, it does not reward evidence that
    raises related classes just as much.
    """

    def value(pixels: Tensor) -> Tensor:
        found = logits(pixels)
        others = torch.cat([found[:, :index], found[:, index + 1 :]], dim=1)
        return found[:, index] - others.logsumexp(1)

    return value


def activation(
    maps: Callable[[Tensor], Tensor], channel: int, at: tuple[int, int] | None = None
) -> Objective:
    """Return the mean of a channel of a stage, or one unit of it.

    Args:
        maps: (B, 3, H, W) in [0, 1] to the stage's activations (B, C, h, w).
        channel: index from 0.
        at: row and column of the unit, from 0; None for the mean over all positions.
    """

    def value(pixels: Tensor) -> Tensor:
        found = maps(pixels)[:, channel]
        return found.mean((1, 2)) if at is None else found[:, at[0], at[1]]

    return value


def total_variation(pixels: Tensor) -> Tensor:
    """Return the mean absolute difference to the pixels below and to the right: (B,).

    The anisotropic form of Rudin, Osher and Fatemi 1992, as a mean, so that it does not depend on
    the size of the image.
    """
    vertical = (pixels[..., 1:, :] - pixels[..., :-1, :]).abs().mean((1, 2, 3))
    horizontal = (pixels[..., 1:] - pixels[..., :-1]).abs().mean((1, 2, 3))
    return vertical + horizontal
