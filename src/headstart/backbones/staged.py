"""The PyTorch form of every backbone: pixels in [0, 1] to stage activations and logits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from headstart.backbones.backbone import Stage
from headstart.preprocessing import Preprocessing


def pooled(activation: Tensor, channels_last: bool = False) -> Tensor:
    """Average an activation over its positions.

    (B, C) stays; (B, T, C) tokens become (B, C); (B, C, H, W), or (B, H, W, C) where
    `channels_last`, becomes (B, C).
    """
    if activation.ndim == 2:
        return activation
    if activation.ndim == 3:
        return activation.mean(1)
    return activation.mean((1, 2) if channels_last else (2, 3))
