"""The smallest change in L2 that reaches a goal: decoupled direction and norm (DDN).

Rony et al. 2019, "Decoupling direction and norm for efficient gradient-based L2 adversarial attacks
and defenses", algorithm 1. The search moves on a sphere around the original, which shrinks after
each success and expands after each failure.
"""

import math
from dataclasses import dataclass

import torch

from headstart.inspection.attacks.attack import Attack, AttackResult, AttackState
from headstart.inspection.attacks.threat import l2, per_image


@dataclass(frozen=True, slots=True, kw_only=True)
class MinimumNorm(Attack):
    """Find the smallest successful change, not just any within epsilon.

    It is deterministic and begins at the image itself; `start` is ignored. Where no change within
    epsilon reaches the confidence, the result is the image with the largest margin.

    Attributes:
        steps: gradients per image.
        first: radius of the first sphere, in L2 of pixels in [0, 1].
        change: factor by which the sphere shrinks or expands, minus 1 (gamma in the paper).
    """

    steps: int = 100
    first: float = 1.0
    change: float = 0.05

    def search(self, state: AttackState) -> AttackResult:
        """See `Attack.search`."""
        pixels, epsilon = state.originals, state.threat.epsilon
        change = torch.zeros_like(pixels)
        radius = pixels.new_full((len(pixels),), min(self.first, epsilon))
        best = pixels.clone()
        margins = torch.full_like(radius, -torch.inf)
        smallest = torch.full_like(radius, torch.inf)  # norm of the smallest successful change
        for step in range(self.steps):
            images, margin, _, gradients = state.gradients(pixels + change)
            length = l2(images - pixels)
            success = (margin > 0) & (margin >= state.confidence)
            first_better = torch.isinf(smallest) & (margin > margins)
            better = torch.where(success, length < smallest, first_better)
            best = torch.where(per_image(better), images, best)
            margins = torch.where(better, margin, margins)
            smallest = torch.where(better & success, length, smallest)

            # The step size falls from 1 to 0.01 along a cosine.
            size = 0.01 + 0.99 * (1 + math.cos(math.pi * step / self.steps)) / 2
            change = change + size * gradients / per_image(l2(gradients))
            radius = radius * torch.where(success, 1 - self.change, 1 + self.change)
            radius = radius.clamp_max(epsilon)
            change = change * (radius / l2(change).clamp_min(1e-12)).view(-1, 1, 1, 1)
            change = (pixels + change).clamp(0, 1) - pixels
        return AttackResult(best, margins, torch.full_like(state.active, self.steps))
