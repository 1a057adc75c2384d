"""Random transforms: an image shifted, scaled, rotated, mirrored, and covered with noise.

A pattern that activates a network under many of them is a shape; one that needs a single view may
be noise (Olah, Mordvintsev and Schubert 2017, "Feature visualization", on transformation
robustness).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

_GRAY = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformRanges:
    """Ranges of the transforms, each drawn uniformly.

    Attributes:
        scale: smallest and largest side of the visible part, as a fraction of the image's side;
            above 1, gray around the image is visible, too.
        turn: largest rotation in degrees, in either direction.
        shift: how far the visible part may leave the image, as a fraction of half its side.
        spread: how far from the middle the visible part may lie: 1 anywhere in the image, or the
            image anywhere in it, 0 always in the middle.
        flip: whether half of the views are mirrored.
        noise: largest standard deviation of Gaussian noise in the pixels of a view; gradients of
            noisy images agree on large shapes (Smilkov et al. 2017, "SmoothGrad").
    """

    scale: tuple[float, float] = (1.0, 1.0)
    turn: float = 0.0
    shift: float = 0.0
    spread: float = 1.0
    flip: bool = False
    noise: float = 0.0

    def sample(self, pixels: Tensor, side: int, generator: torch.Generator) -> Tensor:
        """Draw a random view (B, 3, side, side) of every image, on a gray background.

        Args:
            pixels: (B, 3, H, W) in [0, 1], which the views may leave by their noise.
            side: side of the views in pixels.
            generator: random numbers, on the CPU.
        """

        def uniform(low: float, high: float) -> Tensor:
            return (low + (high - low) * torch.rand(len(pixels), generator=generator)).to(pixels)

        scale, turn = uniform(*self.scale), uniform(-self.turn, self.turn) * (math.pi / 180)
        room = self.spread * (1 - scale).abs() + self.shift
        x, y = uniform(-1, 1) * room, uniform(-1, 1) * room
        mirror = uniform(-1, 1).sign() if self.flip else torch.ones_like(x)
        cosine, sine = scale * turn.cos(), scale * turn.sin()
        # Maps each pixel of a view to the image, in coordinates from -1 to 1 (`affine_grid`).
        rows = [cosine * mirror, -sine, x, sine * mirror, cosine, y]
        matrices = torch.stack(rows, dim=1).view(-1, 2, 3)
        grid = affine_grid(matrices, [len(pixels), 3, side, side], align_corners=False)
        # Outside the image `grid_sample` returns 0, which stands for gray here.
        views = grid_sample(pixels - _GRAY, grid, align_corners=False) + _GRAY
        if not self.noise:
            return views
        level = uniform(0, self.noise).view(-1, 1, 1, 1)
        return views + level * torch.randn(views.shape, generator=generator).to(views)
