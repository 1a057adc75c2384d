"""Objectives of gradient ascent: functions of (B, 3, H, W) in [0, 1] with (B,) values."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

Objective: TypeAlias = Callable[[Tensor], Tensor]
"""(B, 3, H, W) in [0, 1] to (B,); higher is better."""
Logits: TypeAlias = Callable[[Tensor], Tensor]
"""(B, 3, H, W) in [0, 1] to (B, K)."""


def log_likelihood(logits: Logits, indices: Sequence[int]) -> Objective:
    """Minus the cross-entropy of one of the classes `indices`; flat once they are probable."""
    return lambda pixels: logits(pixels).log_softmax(1)[:, indices].logsumexp(1)


def probability(logits: Logits, indices: Sequence[int]) -> Objective:
    """Return the probability of the classes `indices`, in [0, 1]."""
    return lambda pixels: logits(pixels).softmax(1)[:, indices].sum(1)


def log_odds(logits: Logits, indices: Sequence[int]) -> Objective:
    """Return log(p / (1 - p)) of the classes `indices`, which does not saturate.

    Unlike the logit alone, the objective of Simonyan et al. 2014, it does not reward evidence that
    raises related classes just as much.
    """

    def value(pixels: Tensor) -> Tensor:
        found = logits(pixels)
        wanted = torch.zeros(found.shape[1], dtype=torch.bool, device=found.device)
        wanted[list(indices)] = True
        return found[:, wanted].logsumexp(1) - found[:, ~wanted].logsumexp(1)

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
