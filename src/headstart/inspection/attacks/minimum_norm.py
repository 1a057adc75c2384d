"""The smallest change in L2 that reaches a goal: decoupled direction and norm.

Rony et al. 2019, "Decoupling direction and norm for efficient gradient-based L2 adversarial attacks
and defenses", algorithm 1. The search walks along a sphere around the original, which shrinks while
the goal is reached and grows while it is not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from headstart.inspection.attacks.goal import AttackGoal
from headstart.inspection.attacks.search import AttackResult, Logits
from headstart.inspection.attacks.threat import Threat, l2


@dataclass(frozen=True, slots=True, kw_only=True)
class MinimumNorm:
    """Searches for the smallest change, not for any within epsilon.

    Attributes:
        steps: gradients.
        first: radius of the first sphere.
        change: by what share the sphere grows or shrinks (gamma).
    """

    steps: int = 100
    first: float = 1.0
    change: float = 0.05

    def run(
        self,
        logits: Logits,
        pixels: Tensor,
        goal: AttackGoal,
        threat: Threat,
        *,
        start: Tensor | None = None,
        confidence: float = 0.0,
        seed: int = 0,
    ) -> AttackResult:
        """See `Attack.run`: the smallest changes that reach `confidence`, at most epsilon.

        Where none does, the picture with the largest margin. Nothing is drawn by chance; `start`
        is not used, since the search begins at the picture itself.
        """
        del start, seed
        change = torch.zeros_like(pixels)
        radius = pixels.new_full((len(pixels),), min(self.first, threat.epsilon))
        best = pixels.clone()
        margins = torch.full_like(radius, -torch.inf)
        smallest = torch.full_like(radius, torch.inf)
        for step in range(self.steps):
            shown = threat.rounded(pixels + change, pixels).detach().requires_grad_()
            with torch.enable_grad():
                found = logits(shown)
                (gradients,) = torch.autograd.grad(goal.gain(found).sum(), shown)
            margin = goal.margin(found.detach())
            length = l2(shown.detach() - pixels)
            reached = (margin > 0) & (margin >= confidence)
            nobody = torch.isinf(smallest)
            better = torch.where(reached, length < smallest, nobody & (margin > margins))
            best = torch.where(better.view(-1, 1, 1, 1), shown.detach(), best)
            margins = torch.where(better, margin, margins)
            smallest = torch.where(better & reached, length, smallest)

            # The step shrinks along a cosine from 1 to 0.01, in units of the gradient's direction.
            size = 0.01 + 0.99 * (1 + math.cos(math.pi * step / self.steps)) / 2
            change = change + size * gradients / l2(gradients).clamp_min(1e-12).view(-1, 1, 1, 1)
            radius = radius * torch.where(reached, 1 - self.change, 1 + self.change)
            radius = radius.clamp_max(threat.epsilon)
            change = change * (radius / l2(change).clamp_min(1e-12)).view(-1, 1, 1, 1)
            change = (pixels + change).clamp(0, 1) - pixels
        steps = torch.full((len(pixels),), self.steps, dtype=torch.int64, device=pixels.device)
        return AttackResult(best, margins, steps)
