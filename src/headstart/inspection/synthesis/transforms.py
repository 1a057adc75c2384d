"""Points of view: a picture shifted, scaled, turned and mirrored at random.

What pleases a network from many of them is a shape; what pleases it from one alone may be noise
(Olah, Mordvintsev and Schubert 2017, "Feature visualization", on transformation robustness).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformRanges:
    """How far points of view may differ; each is drawn uniformly.

    Attributes:
        scale: the least and the greatest side of what is seen, as a share of the picture's.
        turn: degrees to either side.
        shift: beyond where what is seen fits into the picture, as a share of half its side.
        flip: whether half of the views are mirrored.
    """

    scale: tuple[float, float] = (1.0, 1.0)
    turn: float = 0.0
    shift: float = 0.0
    flip: bool = False

    def draw(self, pixels: Tensor, side: int, generator: torch.Generator) -> Tensor:
        """One view of each picture.

        Args:
            pixels: (B, 3, H, W) in [0, 1].
            side: of the views.
            generator: on the CPU.

        Returns:
            (B, 3, side, side) in [0, 1]; outside a picture there is its mirror image.
        """

        def uniform(low: float, high: float) -> Tensor:
            return (low + (high - low) * torch.rand(len(pixels), generator=generator)).to(pixels)

        scale, turn = uniform(*self.scale), uniform(-self.turn, self.turn) * (math.pi / 180)
        room = (1 - scale).clamp_min(0) + self.shift
        x, y = uniform(-1, 1) * room, uniform(-1, 1) * room
        mirror = uniform(-1, 1).sign() if self.flip else torch.ones_like(x)
        cosine, sine = scale * turn.cos(), scale * turn.sin()
        # Where each pixel of a view comes from, in coordinates from -1 to 1 (`affine_grid`).
        rows = [cosine * mirror, -sine, x, sine * mirror, cosine, y]
        maps = torch.stack(rows, dim=1).view(-1, 2, 3)
        grid = affine_grid(maps, [len(pixels), 3, side, side], align_corners=False)
        return grid_sample(pixels, grid, padding_mode="reflection", align_corners=False)
