"""Projected gradient descent with momentum and restarts, and its single-step ancestor.

Madry et al. 2018, "Towards deep learning models resistant to adversarial attacks". The momentum is
that of Dong et al. 2018, "Boosting adversarial attacks with momentum", equation 6.
"""

from dataclasses import dataclass

import torch

from headstart.inspection.attacks.attack import Attack, AttackResult, AttackState


@dataclass(frozen=True, slots=True, kw_only=True)
class PGD(Attack):
    """Steps of constant length in the direction of steepest ascent, each projected back.

    Attributes:
        steps: gradients per start.
        restarts: number of starts; the first is the image itself, the others are random.
        momentum: weight of the past directions in [0, 1); 0 is plain PGD.
        step: step length as a multiple of epsilon. None is 2.5 / steps (Madry et al.), but at least
            0.25 so that the search can cross the whole ball.
    """

    steps: int = 40
    restarts: int = 1
    momentum: float = 0.75
    step: float | None = None

    def search(self, state: AttackState) -> AttackResult:
        """See `Attack.search`."""
        threat = state.threat
        length = threat.epsilon * (max(2.5 / self.steps, 0.25) if self.step is None else self.step)
        for x in state.starts(self.restarts):
            velocity = torch.zeros_like(x)
            for _ in range(self.steps - 1):
                _, gradients = state.evaluate(x)
                keep = state.drop_finished()
                if not len(state.active):
                    return state.result()
                x, velocity, gradients = x[keep], velocity[keep], gradients[keep]
                if self.momentum:
                    # Gradients of different steps differ by orders of magnitude: normalize them.
                    size = gradients.abs().mean((1, 2, 3), keepdim=True).clamp_min(1e-20)
                    velocity = self.momentum * velocity + gradients / size
                else:
                    velocity = gradients
                x = threat.project(x + length * threat.steepest(velocity), state.originals)
            state.evaluate(x)
            state.drop_finished()
        return state.result()


@dataclass(frozen=True, slots=True)
class FGSM(Attack):
    """The fast gradient sign method: one step of the largest allowed size; deterministic.

    Goodfellow, Shlens & Szegedy 2015, "Explaining and harnessing adversarial examples", section 4.
    For L2 the step follows the gradient itself instead of its sign.
    """

    def search(self, state: AttackState) -> AttackResult:
        """See `Attack.search`."""
        for x in state.starts(1):
            _, gradients = state.evaluate(x)
            keep = state.drop_finished()
            if len(state.active):
                step = state.threat.epsilon * state.threat.steepest(gradients[keep])
                state.evaluate(state.threat.project(x[keep] + step, state.originals))
        return state.result()
