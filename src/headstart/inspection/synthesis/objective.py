"""What a picture is judged by: numbers to raise, one a picture."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

Objective: TypeAlias = Callable[[Tensor], Tensor]
"""From (B, 3, H, W) in [0, 1] to (B,), the more the better."""


def log_likelihood(logits: Objective, index: int) -> Objective:
    """Minus the cross-entropy; it hardly grows once the class is probable.

    Args:
        logits: (B, 3, H, W) in [0, 1] to (B, K).
        index: of the class.
    """
    return lambda pixels: logits(pixels).log_softmax(1)[:, index]


def probability(logits: Objective, index: int) -> Objective:
    """Of the class, in [0, 1]; arguments as of `log_likelihood`."""
    return lambda pixels: logits(pixels).softmax(1)[:, index]


def log_odds(logits: Objective, index: int) -> Objective:
    """Log of p / (1 - p), which goes on growing; arguments as of `log_likelihood`.

    Unlike the class's logit alone, the objective of Simonyan et al. 2014, it does not grow by what
    speaks for related classes just as much.
    """

    def value(pixels: Tensor) -> Tensor:
        found = logits(pixels)
        others = torch.cat([found[:, :index], found[:, index + 1 :]], dim=1)
        return found[:, index] - others.logsumexp(1)

    return value


def activation(
    maps: Callable[[Tensor], Tensor], channel: int, at: tuple[int, int] | None = None
) -> Objective:
    """A channel of a stage, averaged over its positions, or one unit of it.

    Args:
        maps: (B, 3, H, W) in [0, 1] to the stage's activations (B, C, h, w).
        channel: from 0.
        at: row and column of the unit, from 0.
    """

    def value(pixels: Tensor) -> Tensor:
        found = maps(pixels)[:, channel]
        return found.mean((1, 2)) if at is None else found[:, at[0], at[1]]

    return value


def total_variation(pixels: Tensor) -> Tensor:
    """Mean absolute difference of neighbors below and beside, added: (B, 3, H, W) to (B,).

    The anisotropic form of Rudin, Osher and Fatemi 1992, in pixels of [0, 1], so that it does not
    depend on the size of the picture.
    """
    below = (pixels[..., 1:, :] - pixels[..., :-1, :]).abs().mean((1, 2, 3))
    beside = (pixels[..., 1:] - pixels[..., :-1]).abs().mean((1, 2, 3))
    return below + beside
