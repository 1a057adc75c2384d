"""Receptive fields: the part of the image that a value of a feature map depends on.

They are found by differentiation, so that they are right for any network: the derivative of a value
is zero for exactly the pixels that it does not depend on.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from headstart.backbones.staged import on_grid
from headstart.inspection.differentiable_model import DifferentiableView


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceptiveField:
    """The part of the network's input that the value in the middle of a map depends on.

    Attributes:
        stage: name of the stage.
        left: first column.
        top: first row.
        width: number of columns, at most those of the input.
        height: number of rows, at most those of the input.
    """

    stage: str
    left: int
    top: int
    width: int
    height: int


def receptive_fields(
    view: DifferentiableView, stages: Sequence[str] = ()
) -> tuple[ReceptiveField, ...]:
    """Return the receptive field of each stage, shallow to deep; by default of all stages.

    A field that does not fit into the input is cut off at its border.
    """
    # In double precision on the CPU: faster convolutions leave rounding errors where there should
    # be zeros.
    network = copy.deepcopy(view.network).to("cpu", torch.float64)
    side = view.preprocessing.crop
    # Noise, because equal neighbors would leave maxima undecided.
    noise = torch.rand((1, 3, side, side), generator=torch.Generator().manual_seed(0))
    pixels = noise.double().requires_grad_()
    found = []
    for stage, activation in network.activations(pixels).items():
        if not stages or stage in stages:
            grid = on_grid(activation)
            middle = grid[0, :, grid.shape[2] // 2, grid.shape[3] // 2]
            (gradient,) = torch.autograd.grad(middle.sum(), pixels, retain_graph=True)
            found.append(_field(stage, gradient[0].any(dim=0)))
    return tuple(found)


def _field(stage: str, used: Tensor) -> ReceptiveField:
    """Return the smallest rectangle with all pixels that are used, (H, W) bool."""
    (top, height), (left, width) = (_extent(used.any(dim=axis)) for axis in (1, 0))
    return ReceptiveField(stage=stage, left=left, top=top, width=width, height=height)


def _extent(used: Tensor) -> tuple[int, int]:
    at = used.nonzero().flatten().tolist()
    return (at[0], at[-1] - at[0] + 1) if at else (0, 0)
