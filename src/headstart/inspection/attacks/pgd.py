"""Projected gradient descent with momentum and restarts.

Madry et al. 2018, "Towards deep learning models resistant to adversarial attacks"; the momentum is
that of Dong et al. 2018, "Boosting adversarial attacks with momentum", equation 6.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from headstart.inspection.attacks.goal import AttackGoal
from headstart.inspection.attacks.search import AttackResult, Logits, Search
from headstart.inspection.attacks.threat import Threat


@dataclass(frozen=True, slots=True, kw_only=True)
class PGD:
    """Steps of one length along the steepest ascent, projected back.

    Attributes:
        steps: gradients a start.
        restarts: starts; the first at the picture, the others drawn from the threat.
        momentum: share of the past directions that is kept; 0 is plain PGD.
        step: length of a step, in epsilons; None is 2.5 / steps (Madry et al.'s choice), but at
            least a quarter so that a picture may cross the threat.
    """

    steps: int = 40
    restarts: int = 1
    momentum: float = 0.75
    step: float | None = None

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
        """See `Attack.run`."""
        search = Search(logits, pixels, goal, threat, confidence)
        generator = torch.Generator().manual_seed(seed)
        first = pixels if start is None else threat.project(start, pixels)
        length = threat.epsilon * (max(2.5 / self.steps, 0.25) if self.step is None else self.step)
        for attempt in range(self.restarts):
            if attempt:
                first = threat.random(pixels, generator)
            x = first[search.open]
            velocity = torch.zeros_like(x)
            for step in range(self.steps):
                _, gradients = search.look(x)
                going = search.narrow()
                if not len(search.open):
                    return search.result()
                if step == self.steps - 1:
                    break
                if not going.all():
                    x, velocity, gradients = x[going], velocity[going], gradients[going]
                if self.momentum:
                    # Gradients of different steps differ in size by orders; directions add up.
                    size = gradients.abs().mean((1, 2, 3), keepdim=True).clamp_min(1e-20)
                    velocity = self.momentum * velocity + gradients / size
                else:
                    velocity = gradients
                x = threat.project(x + length * threat.steepest(velocity), search.originals)
        return search.result()
