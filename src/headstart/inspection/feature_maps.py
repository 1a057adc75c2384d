"""What each stage of a network extracts from one picture, and the filters that it begins with.

The figure of the textbooks: a channel's map shows where in the picture its pattern was found.
Zeiler & Fergus 2014 looked into a network this way; see Chollet, Deep Learning with Python,
"Visualizing intermediate activations".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from headstart.backbones.staged import StagedNetwork, on_grid
from headstart.errors import BackboneError, DataError
from headstart.inspection.differentiable_model import DifferentiableModel
from headstart.types import Doubles, Floats, Pixels

TOP = 16
"""Channels that are shown of a stage."""


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel of a stage.

    Attributes:
        index: from 0, in the stage's activation.
        strength: see `strengths`.
        minimum: least value in the picture.
        maximum: greatest value in the picture.
    """

    index: int
    strength: float
    minimum: float
    maximum: float


@dataclass(frozen=True, slots=True, eq=False)
class StageMaps:
    """What a stage made of one picture.

    Attributes:
        name: of the stage.
        number: of the stage, from 1 for the shallowest of the network.
        channels: how many the stage has.
        height: of a map; 1 in fully connected layers.
        width: of a map; 1 in fully connected layers.
        ranked: the strongest channels, the strongest first.
        maps: (len(ranked), height, width) float32, theirs.
    """

    name: str
    number: int
    channels: int
    height: int
    width: int
    ranked: tuple[Channel, ...]
    maps: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Filters:
    """The first layer's filters: patterns of colors, since its input is the picture itself.

    Attributes:
        layer: its path in the network.
        values: (F, 3, height, width) float32, the weights for red, green and blue.
    """

    layer: str
    values: Floats


def stage_maps(
    subject: DifferentiableModel, pixels: Pixels, *, stages: Sequence[str] = (), top: int = TOP
) -> tuple[StageMaps, ...]:
    """The strongest channels of each stage, in one pass.

    Args:
        subject: the network.
        pixels: (crop, crop, 3) uint8, a picture as `prepare` leaves it.
        stages: names of those wanted; all by default.
        top: channels of each; fewer where a stage has fewer.

    Returns:
        From the shallowest stage to the deepest, each once, whatever the order asked for.

    Raises:
        BackboneError: a stage that the network does not have.
        DataError: the network computes numbers that are not finite.
    """
    network = subject.network
    check_stages(subject.name, network.stages, stages)
    batch = torch.tensor(pixels, device=subject.device).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        activations = network.activations(batch)
    return tuple(
        _strongest(name, number, on_grid(activations[name])[0].float().cpu().numpy(), top)
        for number, name in enumerate(network.stages, start=1)
        if not stages or name in stages
    )


def check_stages(network: str, known: Sequence[str], asked: Sequence[str]) -> None:
    """Refuse names of stages that a network does not have.

    Raises:
        BackboneError: one is not known; the message lists those that are.
    """
    if unknown := [stage for stage in asked if stage not in known]:
        raise BackboneError(
            f"{network} has no stage {unknown[0]!r}; its stages are {', '.join(known)}"
        )


def strengths(maps: Floats) -> Doubles:
    """How strongly each channel answers to the picture.

    It is the standard deviation over positions: the same channel says different things of
    different places. After a ReLU that favors, as the mean does, large answers to a part of the
    picture. The mean fails elsewhere: outputs of linear bottlenecks, of residual streams and of
    GELU are signed, or carry an offset that is the same everywhere and says nothing of the
    picture. The maximum favors maps that are flat but for one corner of the padding.

    With a single position there is nothing to deviate from, and the magnitude counts.

    Args:
        maps: (C, H, W).

    Returns:
        (C,) in the units of the activation, at least 0.
    """
    values = maps.reshape(len(maps), -1).astype(np.float64)
    if values.shape[1] == 1:
        return np.abs(values[:, 0])
    deviations: Doubles = values.std(axis=1)
    return deviations


def first_filters(network: StagedNetwork) -> Filters:
    """The filters that look at the picture itself; of a vision transformer, its patch embedding.

    They look at normalized pixels: differences in the channels' standard deviations are not in
    these weights.

    Raises:
        DataError: the first layer is no convolution of red, green and blue.
    """
    path, module = network.first_layer()
    if not isinstance(module, nn.Conv2d) or module.in_channels != 3 or module.groups != 1:
        raise DataError(
            f"the network begins with {path}, a {type(module).__name__} of "
            f"{module.weight[0].shape[0]} inputs and not of red, green and blue, so its filters "
            f"are no pictures; leave out --filters"
        )
    return Filters(path, module.weight.detach().float().cpu().numpy())


def _strongest(name: str, number: int, maps: Floats, top: int) -> StageMaps:
    if not np.isfinite(maps).all():
        raise DataError(
            f"stage {name} computes numbers that are not finite; the weights may be damaged: "
            f"load them anew or choose others"
        )
    strength = strengths(maps)
    order = np.argsort(-strength, kind="stable")[:top]  # of equals, the first
    return StageMaps(
        name=name,
        number=number,
        channels=maps.shape[0],
        height=maps.shape[1],
        width=maps.shape[2],
        ranked=tuple(
            Channel(
                int(index),
                float(strength[index]),
                float(maps[index].min()),
                float(maps[index].max()),
            )
            for index in order
        ),
        maps=np.ascontiguousarray(maps[order]),
    )
