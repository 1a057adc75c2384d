"""The fast gradient sign method: a single step of the largest allowed size.

Goodfellow, Shlens & Szegedy 2015, "Explaining and harnessing adversarial examples", section 4. For
L2 the step follows the gradient itself instead of its sign.
"""

from __future__ import annotations

from dataclasses import dataclass

from headstart.inspection.attacks.attack import Attack, AttackResult, AttackState


@dataclass(frozen=True, slots=True)
class FGSM(Attack):
    """One step; deterministic."""

    def search(self, state: AttackState) -> AttackResult:
        """See `Attack.search`."""
        for x in state.starts(1):
            _, gradients = state.evaluate(x)
            keep = state.drop_finished()
            if len(state.active):
                step = state.threat.epsilon * state.threat.steepest(gradients[keep])
                state.evaluate(state.threat.project(x[keep] + step, state.originals))
        return state.result()
