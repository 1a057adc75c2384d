"""Choose the stages to train, from a recipe, a number, or the probe's stages."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from headstart.backbones.backbone import Backbone
from headstart.backbones.cut import PIXELS
from headstart.backbones.staged import StagedNetwork
from headstart.errors import UserError
from headstart.finetuning.settings import MIN_DEPTH, TuningRecipe, TuningSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class CutPoint:
    """Which stages are frozen and which are trained.

    Attributes:
        stages: names of the stages, shallow to deep, up to the deepest one that feeds the head.
        last_frozen: name of the last stage that is not trained; `PIXELS` if all are.
        depth: number of trained stages.
    """

    stages: tuple[str, ...]
    last_frozen: str
    depth: int


def choose_cut(
    network: StagedNetwork,
    backbone: Backbone,
    head_stages: Sequence[str],
    settings: TuningSettings,
) -> CutPoint:
    """Choose where to cut the network: by recipe or depth, or else by the stages of the probe.

    `network` is the PyTorch form of `backbone`; `head_stages` feed the probe's head, shallow to
    deep.

    Raises:
        UserError: the depth exceeds the number of stages.
    """
    stages, used = _stages(backbone, head_stages)
    if settings.recipe is TuningRecipe.CLASSIFIER:
        last = last_convolutional_stage(network, backbone.preprocessing.crop)
        depth = len(stages) - stages.index(last) - 1 or 1
        return CutPoint(stages=stages, last_frozen=last, depth=depth)
    depth = _depth(stages, used, settings)
    last = stages[-depth - 1] if depth < len(stages) else PIXELS
    return CutPoint(stages=stages, last_frozen=last, depth=depth)


def check_depth(backbone: Backbone, head_stages: Sequence[str], settings: TuningSettings) -> None:
    """Check that there are as many stages as are to be trained, before any features are computed.

    `head_stages` are as for `choose_cut`; empty if they are still to be chosen.

    Raises:
        UserError: the depth exceeds the number of stages.
    """
    if settings.recipe is None:
        _depth(*_stages(backbone, head_stages), settings)


def _stages(
    backbone: Backbone, head_stages: Sequence[str]
) -> tuple[tuple[str, ...], Sequence[str]]:
    """Return the stages up to the deepest one that feeds the head, and those that feed it."""
    names = tuple(stage.name for stage in backbone.stages)
    used = [stage for stage in head_stages if stage in names]
    # A head on the network's own logits comes after all stages.
    return names[: names.index(used[-1]) + 1] if used else names, used


def _depth(stages: Sequence[str], used: Sequence[str], settings: TuningSettings) -> int:
    by_recipe = {TuningRecipe.PROBE: 0, TuningRecipe.LAST_STAGE: 1, TuningRecipe.FULL: len(stages)}
    if settings.recipe is not None:
        return by_recipe[settings.recipe]
    if settings.depth is None:
        return automatic_depth(stages, used)
    if settings.depth > len(stages):
        raise UserError(
            f"depth is {settings.depth}, but only {len(stages)} stages come before the head; give "
            f"0 to {len(stages)}"
        )
    return settings.depth


def last_convolutional_stage(network: StagedNetwork, side: int) -> str:
    """Return the deepest stage with a spatial map, up to which the classifier recipe freezes.

    In AlexNet and VGG it is the end of the convolutions, and the fully connected layers follow. In
    other networks the classifier is the only fully connected layer, so it is their last stage.
    `side` is the height and width of the network's input in pixels.
    """
    with torch.no_grad():
        device = network.mean.device
        maps = network.activations(torch.zeros(1, 3, side, side, device=device))
    return [stage for stage, values in maps.items() if values.ndim > 2][-1]


def automatic_depth(stages: Sequence[str], used: Sequence[str]) -> int:
    """Return the number of stages to train, by the stages that the probe selected.

    Train from the shallowest stage that feeds the head, at least `MIN_DEPTH` stages, but never the
    first one, which detects edges and colors.

    Both are shallow to deep, and the last stage is the deepest one that feeds the head. `used` is
    empty if the network's own logits feed it.
    """
    first = list(stages).index(used[0]) if used else len(stages) - 1
    return max(1, min(max(len(stages) - first, MIN_DEPTH), len(stages) - 1))
