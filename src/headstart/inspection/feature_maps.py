"""The strongest activations of every stage for an image, and the filters of the first layer.

As in textbooks: a channel's map shows where in the image its pattern was found. See Zeiler & Fergus
2014 and Chollet, Deep Learning with Python, "Visualizing intermediate activations".
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from headstart.backbones.staged import StagedNetwork, on_grid
from headstart.backbones.stages import check_stages
from headstart.errors import DataError
from headstart.inspection.differentiable_model import DifferentiableView
from headstart.inspection.image_tensor import to_tensor
from headstart.inspection.receptive_fields import ReceptiveField
from headstart.system.display import Plotted
from headstart.types import Doubles, Floats, Pixels

TOP = 16
"""Default number of channels to show per stage."""


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel of a stage.

    Attributes:
        index: index from 0 in the stage's activation.
        strength: how strongly it responds to the image; see `strengths`.
        minimum: smallest value for the image.
        maximum: largest value for the image.
    """

    index: int = field(metadata={"json": "channel"})
    strength: float
    minimum: float
    maximum: float


@dataclass(frozen=True, slots=True, eq=False)
class StageMaps:
    """The strongest activations of a stage for one image.

    Attributes:
        name: name of the stage.
        number: position of the stage in the network, from 1 for the shallowest.
        channels: number of channels of the stage.
        height: height of a map; 1 in fully connected layers.
        width: width of a map; 1 in fully connected layers.
        ranked: the strongest channels in descending order.
        maps: (len(ranked), height, width) float32, the maps of those channels.
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
    """The filters of the first layer, which are small color images.

    Attributes:
        layer: module path of the layer in the network.
        values: (F, 3, height, width) float32, the weights for red, green and blue.
    """

    layer: str
    values: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FeatureMaps(Plotted):
    """The strongest activations of the stages of a network for one image.

    Attributes:
        network: name of the network or view.
        image: name of the image.
        pixels: (crop, crop, 3) uint8, the image as the network sees it.
        stages: the maps of each stage, shallow to deep.
        filters: the filters of the first layer; None unless they were asked for.
        fields: the part of the image that the middle of each stage's maps depends on; None unless
            they were asked for.
    """

    network: str
    image: str
    pixels: Pixels
    stages: tuple[StageMaps, ...]
    filters: Filters | None = None
    fields: tuple[ReceptiveField, ...] | None = None

    def __repr__(self) -> str:
        return f"<FeatureMaps of {self.image}: {len(self.stages)} stages of {self.network}>"


def stage_maps(
    view: DifferentiableView, pixels: Pixels, *, stages: Sequence[str] = (), top: int = TOP
) -> tuple[StageMaps, ...]:
    """Compute the strongest channels of each stage, shallow to deep, in one forward pass.

    Pixels are (crop, crop, 3) uint8, made by `prepare`; all stages are used by default.

    Raises:
        BackboneError: the network does not have one of the stages.
        DataError: the network computes NaN or infinity.
    """
    network = view.network
    check_stages(view.name, network.stages, stages)
    with torch.no_grad():
        activations = network.activations(to_tensor(pixels, view.device))
    return tuple(
        _strongest(name, number, on_grid(activations[name])[0].float().cpu().numpy(), top)
        for number, name in enumerate(network.stages, start=1)
        if not stages or name in stages
    )


def strengths(maps: Floats) -> Doubles:
    """Return how strongly each channel of (C, H, W) responds to the image: (C,), 0 or more.

    This is the standard deviation over positions; with a single position, the magnitude. Like the
    mean after a ReLU, it favors strong responses to part of the image. The mean fails elsewhere:
    outputs of linear bottlenecks, residual streams and GELU are signed or have a constant offset
    unrelated to the image. The maximum favors flat maps with a large value at the padding.
    """
    values = maps.reshape(len(maps), -1).astype(np.float64)
    if values.shape[1] == 1:
        return np.abs(values[:, 0])
    deviations: Doubles = values.std(axis=1)
    return deviations


def first_filters(network: StagedNetwork) -> Filters:
    """Return the filters of the first layer; of a vision transformer, its patch embedding.

    They apply to normalized pixels, so the channels' standard deviations are not in the weights.

    Raises:
        DataError: the first layer is not a convolution of red, green and blue.
    """
    path, module = network.first_layer()
    if not isinstance(module, nn.Conv2d) or module.in_channels != 3 or module.groups != 1:
        raise DataError(
            f"the network begins with {path}, a {type(module).__name__} of "
            f"{module.weight[0].shape[0]} inputs and not of red, green and blue, so its filters "
            "cannot be shown as images; do not ask for them"
        )
    return Filters(path, module.weight.detach().float().cpu().numpy())


def _strongest(name: str, number: int, maps: Floats, top: int) -> StageMaps:
    if not np.isfinite(maps).all():
        raise DataError(
            f"stage {name} computes NaN or infinity; the weights may be damaged: download them "
            f"again or choose others"
        )
    strength = strengths(maps)
    order = np.argsort(-strength, kind="stable")[:top]  # ties: the first channel
    ranked = tuple(
        Channel(int(i), float(strength[i]), float(maps[i].min()), float(maps[i].max()))
        for i in order
    )
    channels, height, width = maps.shape
    best = np.ascontiguousarray(maps[order])
    return StageMaps(name, number, channels, height, width, ranked, best)
