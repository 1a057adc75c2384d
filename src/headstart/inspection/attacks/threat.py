"""The threat model: stay close to the original image, in [0, 1], and on the grid of 8 bits."""

from dataclasses import dataclass

import torch
from torch import Tensor

from headstart.types import Norm

_GRID_SLACK = 1e-3
"""In levels: pixels and epsilon are float32, and 4/255 must allow four levels."""


@dataclass(frozen=True, slots=True)
class Threat:
    """All images within a distance of `epsilon` from the original.

    Attributes:
        norm: norm of the change of pixels in [0, 1].
        epsilon: largest allowed norm of the change, positive.
        levels: number of steps from black to white that pixels are rounded to, 255 for 8-bit
            files. None allows any value.
    """

    norm: Norm
    epsilon: float
    levels: int | None = 255

    def project(self, candidates: Tensor, originals: Tensor) -> Tensor:
        """Project candidates to the nearest allowed images, not rounded; both (B, 3, H, W)."""
        if self.norm is Norm.LINF:
            low, high = originals - self.epsilon, originals + self.epsilon
            return candidates.clamp(low.clamp_min(0), high.clamp_max(1))
        # First [0, 1], then the ball: scaling towards the original does not leave [0, 1].
        change = candidates.clamp(0, 1) - originals
        return originals + change * (self.epsilon / per_image(l2(change))).clamp_max(1)

    def steepest(self, gradients: Tensor) -> Tensor:
        """Return the change of norm 1 that raises a linear function most; 0 for gradient 0."""
        if self.norm is Norm.LINF:
            return gradients.sign()
        return gradients / per_image(l2(gradients))

    def sample(self, originals: Tensor, generator: torch.Generator) -> Tensor:
        """Draw random allowed images, not rounded, one for each original."""
        if self.norm is Norm.LINF:
            noise = torch.rand(originals.shape, generator=generator) * 2 - 1
            change = noise * self.epsilon
        else:
            noise = torch.randn(originals.shape, generator=generator)
            share = torch.rand(len(noise), 1, 1, 1, generator=generator)
            change = noise / per_image(l2(noise)) * share * self.epsilon
        return self.project(originals + change.to(originals.device), originals)

    def quantize(self, candidates: Tensor, originals: Tensor) -> Tensor:
        """Round allowed images to the grid without leaving the threat.

        Args:
            candidates: (B, 3, H, W), allowed.
            originals: (B, 3, H, W), on the grid if there is one.

        Returns:
            (B, 3, H, W), the nearest images on the grid; where those are not allowed, images on
            the grid that are closer to the originals.
        """
        if self.levels is None:
            return candidates
        change: Tensor = (candidates - originals) * self.levels
        if self.norm is Norm.LINF:
            most = int(self.epsilon * self.levels + _GRID_SLACK)
            whole = change.round().clamp(-most, most)
        else:
            whole = change.round()
            outside = l2(whole) > self.epsilon * self.levels
            whole = torch.where(per_image(outside), change.trunc(), whole)
        # Computed from integers, so that quantizing twice gives the same to the last bit.
        levels: Tensor = (originals * self.levels).round() + whole
        return levels.div(self.levels)


def l2(change: Tensor) -> Tensor:
    """Return the L2 norm of each image's change: (B, ...) to (B,)."""
    length: Tensor = change.flatten(1).norm(dim=1)
    return length


def per_image(values: Tensor) -> Tensor:
    """Reshape (B,) to (B, 1, 1, 1) and raise values below 1e-12, so that they can be divisors."""
    values = values if values.dtype == torch.bool else values.clamp_min(1e-12)
    return values.view(-1, 1, 1, 1)
