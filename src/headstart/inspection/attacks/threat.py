"""What an attacker may do to a picture: stay close to it, in [0, 1], and on the grid of 8 bits."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from headstart.types import Norm

_GRID_SLACK = 1e-3
"""Of a level: pixels and epsilon are float32, and 4/255 must allow four levels."""


@dataclass(frozen=True, slots=True)
class Threat:
    """All pictures within `epsilon` of the original.

    Attributes:
        norm: of the difference of pixels in [0, 1].
        epsilon: the largest difference, positive.
        levels: steps from black to white that pictures are rounded to; 255 is what files hold.
            None allows any number.
    """

    norm: Norm
    epsilon: float
    levels: int | None = 255

    def project(self, candidates: Tensor, originals: Tensor) -> Tensor:
        """The closest allowed pictures, not rounded: (B, 3, H, W) to the same."""
        if self.norm is Norm.LINF:
            low, high = originals - self.epsilon, originals + self.epsilon
            return candidates.clamp(low.clamp_min(0), high.clamp_max(1))
        # In turn, the cube first: scaling towards a point of the cube does not leave it.
        change = candidates.clamp(0, 1) - originals
        return originals + change * (self.epsilon / _wide(l2(change))).clamp_max(1)

    def steepest(self, gradients: Tensor) -> Tensor:
        """The change of length 1 that raises a linear function most; 0 where the gradient is 0."""
        return gradients.sign() if self.norm is Norm.LINF else gradients / _wide(l2(gradients))

    def random(self, originals: Tensor, generator: torch.Generator) -> Tensor:
        """Pictures drawn from the whole of the threat, not rounded."""
        if self.norm is Norm.LINF:
            noise = torch.rand(originals.shape, generator=generator) * 2 - 1
            change = noise * self.epsilon
        else:
            noise = torch.randn(originals.shape, generator=generator)
            share = torch.rand(len(noise), 1, 1, 1, generator=generator)
            change = noise / _wide(l2(noise)) * share * self.epsilon
        return self.project(originals + change.to(originals.device), originals)

    def rounded(self, candidates: Tensor, originals: Tensor) -> Tensor:
        """Allowed pictures on the grid.

        Args:
            candidates: (B, 3, H, W), allowed.
            originals: (B, 3, H, W), on the grid where there is one.

        Returns:
            The nearest pictures of the grid, or where these are not allowed any more, those that
            lie between them and the originals.
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
            whole = torch.where(_wide(outside), change.trunc(), whole)
        # From whole numbers again, so that two roundings of a picture agree to the last bit.
        levels: Tensor = (originals * self.levels).round() + whole
        return levels.div(self.levels)


def l2(change: Tensor) -> Tensor:
    """Length of each picture's change: (B, ...) to (B,)."""
    length: Tensor = change.flatten(1).norm(dim=1)
    return length


def _wide(values: Tensor) -> Tensor:
    """(B,) to (B, 1, 1, 1), and never a division by zero."""
    values = values if values.dtype == torch.bool else values.clamp_min(1e-12)
    return values.view(-1, 1, 1, 1)
