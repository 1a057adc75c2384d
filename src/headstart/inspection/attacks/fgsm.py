"""The fast gradient sign method: one step, as far as allowed.

Goodfellow, Shlens & Szegedy 2015, "Explaining and harnessing adversarial examples", section 4; for
L2 the step goes along the gradient itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from headstart.inspection.attacks.goal import AttackGoal
from headstart.inspection.attacks.search import AttackResult, Logits, Search
from headstart.inspection.attacks.threat import Threat


@dataclass(frozen=True, slots=True)
class FGSM:
    """One step; the gradient of the new picture is computed only to see where it led."""

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
        """See `Attack.run`; nothing is drawn by chance."""
        del seed
        search = Search(logits, pixels, goal, threat, confidence)
        x = pixels if start is None else threat.project(start, pixels)
        _, gradients = search.look(x)
        going = search.narrow()
        if going.any():
            x = x[going] + threat.epsilon * threat.steepest(gradients[going])
            search.look(threat.project(x, search.originals))
        return search.result()
