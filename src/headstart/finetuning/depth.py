"""How much of a network is trained: from a recipe, a number or the probe to a place to cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from headstart.backbones.backbone import LOGITS, Backbone
from headstart.backbones.cut import PIXELS, keeps_moments
from headstart.backbones.staged import StagedNetwork
from headstart.errors import UserError
from headstart.finetuning.precision import has_half
from headstart.finetuning.settings import BatchNorm, TuningRecipe, TuningSettings
from headstart.models.trained_model import Model

LEAST = 3
"""Fewer stages hold too little to change what the features are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CutPoint:
    """Where a network is cut.

    Attributes:
        stages: shallow to deep, down to the deepest that the head grows on.
        cut: the last of them that stays as it is; `PIXELS` for none.
        depth: how many are trained.
    """

    stages: tuple[str, ...]
    cut: str
    depth: int


def place_of(
    network: StagedNetwork, backbone: Backbone, model: Model, settings: TuningSettings
) -> CutPoint:
    """Where the settings, or else the probe, say to cut.

    Args:
        network: of the backbone.
        backbone: its stages are counted.
        model: the probe.
        settings: `recipe` or `depth` of it.
    """
    names = tuple(stage.name for stage in backbone.stages)
    grafted = [stage for stage in model.origin.stages if stage in names]
    # A head on the network's own logits stands behind all stages.
    stages = names[: names.index(grafted[-1]) + 1] if grafted else names
    match settings.recipe:
        case TuningRecipe.CLASSIFIER:
            last = convolutional_section(network, backbone.preprocessing.crop)
            return CutPoint(
                stages=stages, cut=last, depth=len(stages) - stages.index(last) - 1 or 1
            )
        case TuningRecipe.PROBE:
            depth = 0
        case TuningRecipe.LAST_STAGE:
            depth = 1
        case TuningRecipe.FULL:
            depth = len(stages)
        case None if settings.depth is None:
            depth = automatic_depth(stages, grafted)
        case None if settings.depth > len(stages):
            raise UserError(
                f"depth is {settings.depth}, and the head stands on {len(stages)} stages; give 0 "
                f"to {len(stages)}"
            )
        case None:
            depth = settings.depth
    return CutPoint(
        stages=stages, cut=stages[-depth - 1] if depth < len(stages) else PIXELS, depth=depth
    )


def convolutional_section(network: StagedNetwork, side: int) -> str:
    """The deepest stage that has a map: what the textbook's recipe leaves as it is.

    For AlexNet and VGG this is the end of the convolutions, and their fully connected layers
    follow. Other networks have but one such layer, the classifier itself; for them it is their
    last stage.
    """
    with torch.no_grad():
        device = network.mean.device
        maps = network.activations(torch.zeros(1, 3, side, side, device=device))
    return [stage for stage, values in maps.items() if values.ndim > 2][-1]


def automatic_depth(stages: Sequence[str], grafted: Sequence[str]) -> int:
    """A depth from where the probe grows best.

    Args:
        stages: shallow to deep, down to the deepest that the head grows on.
        grafted: those that it grows on.

    Returns:
        Stages to train: from the shallowest that the head grows on, but no fewer than `LEAST`, and
        not the first one, which holds edges and colors.
    """
    first = list(stages).index(grafted[0]) if grafted else len(stages) - 1
    return max(1, min(max(len(stages) - first, LEAST), len(stages) - 1))


def completed(
    settings: TuningSettings, network: nn.Module, backbone: Backbone, model: Model, *, device: str
) -> TuningSettings:
    """The settings with what they leave open: batch normalization, the rate and the precision.

    Args:
        settings: as given.
        network: what is trained; without batch normalization there are no moments to follow.
        backbone: the whole network.
        model: the probe.
        device: where it is trained.
    """
    batch_norm = settings.batch_norm
    if not any(keeps_moments(module) for module in network.modules()):
        batch_norm = BatchNorm.FROZEN
    elif batch_norm is BatchNorm.AUTO:
        unlike = model.origin.stages not in {(backbone.stages[-1].name,), (LOGITS,)}
        batch_norm = BatchNorm.UPDATED if unlike else BatchNorm.FROZEN
    # Moments that follow each batch bear longer steps than those of other pictures do.
    rate = settings.rate or (5e-4 if batch_norm is BatchNorm.UPDATED else 1e-4)
    half = settings.mixed_precision
    if half is None:
        half = has_half(device)
    return replace(settings, batch_norm=batch_norm, rate=rate, mixed_precision=half)
