"""Auto-PGD: projected gradient ascent that halves its step size where progress stalls.

Croce & Hein 2020, "Reliable evaluation of adversarial robustness with an ensemble of diverse
parameter-free attacks", algorithm 1, with the log-odds of the goal in place of cross-entropy.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from headstart.inspection.attacks.attack import Attack, AttackResult, AttackState
from headstart.inspection.attacks.threat import Threat, per_image

_MOMENTUM = 0.75  # alpha: weight of the new step against the last one
_SUCCESS_RATE = 0.75  # rho: share of steps that must increase the objective
# Periods between checkpoints in percent of the steps: the first, the decrease from one to the next,
# and the shortest.
_FIRST, _DECREASE, _SHORTEST = 22, 3, 6


@dataclass(frozen=True, slots=True, kw_only=True)
class APGD(Attack):
    """Projected gradient ascent with an adaptive step size.

    Attributes:
        steps: gradients per start.
        restarts: number of starts; the first is the image itself, the others are random.
    """

    steps: int = 50
    restarts: int = 1

    def search(self, state: AttackState) -> AttackResult:
        """See `Attack.search`."""
        for x in state.starts(self.restarts):
            self._ascend(state, x)
        return state.result()

    def _ascend(self, state: AttackState, x: Tensor) -> None:
        threat, marks, last_mark = state.threat, checkpoints(self.steps), 0
        values, gradients = state.evaluate(x)
        path = _Path(
            x, x, values, gradients, x, values, gradients,
            step=torch.full_like(values, 2 * threat.epsilon),
            increases=torch.zeros_like(values),
            halved=torch.zeros_like(values, dtype=torch.bool),
            checkpoint_values=values,
        )  # fmt: skip
        path = path.select(state.drop_finished())
        for step in range(1, self.steps):
            if not len(state.active):
                return
            x = path.propose(threat, state.originals, momentum=_MOMENTUM if step > 1 else 1.0)
            values, gradients = state.evaluate(x)
            path.move(x, values, gradients)
            path = path.select(state.drop_finished())
            if step in marks:
                path.adapt_step(step - last_mark)
                last_mark = step


def checkpoints(steps: int) -> frozenset[int]:
    """Return the steps after which the step size is adapted (section 3.1 of the paper)."""
    percents = [0, _FIRST]
    while percents[-1] < 100:
        percents.append(percents[-1] + max(percents[-1] - percents[-2] - _DECREASE, _SHORTEST))
    return frozenset(-(-percent * steps // 100) for percent in percents[1:-1])


@dataclass(slots=True)
class _Path:
    """The current image, the best image and the progress of every active image."""

    x: Tensor
    previous: Tensor
    values: Tensor
    gradients: Tensor
    best: Tensor
    best_values: Tensor
    best_gradients: Tensor
    step: Tensor
    """(A,) step sizes."""
    increases: Tensor
    """(A,) number of steps since the last checkpoint that increased the objective."""
    halved: Tensor
    """(A,) bool, whether the last checkpoint halved the step size."""
    checkpoint_values: Tensor
    """(A,) best values at the last checkpoint."""

    def select(self, rows: Tensor | slice) -> _Path:
        return _Path(*(getattr(self, one.name)[rows] for one in fields(self)))

    def propose(self, threat: Threat, originals: Tensor, *, momentum: float) -> Tensor:
        """Return the next images: a projected gradient step, averaged with the last step."""
        ahead = self.x + self.step.view(-1, 1, 1, 1) * threat.steepest(self.gradients)
        ahead = threat.project(ahead, originals)
        change = momentum * (ahead - self.x) + (1 - momentum) * (self.x - self.previous)
        return threat.project(self.x + change, originals)

    def move(self, x: Tensor, values: Tensor, gradients: Tensor) -> None:
        self.increases = self.increases + (values > self.values)
        self.previous, self.x, self.values, self.gradients = self.x, x, values, gradients
        better = values > self.best_values
        self.best = torch.where(per_image(better), x, self.best)
        self.best_gradients = torch.where(per_image(better), gradients, self.best_gradients)
        self.best_values = torch.where(better, values, self.best_values)

    def adapt_step(self, period: int) -> None:
        """If progress stalled, halve the step size and return to the best image."""
        slow = self.increases < _SUCCESS_RATE * period
        stuck = ~self.halved & (self.best_values <= self.checkpoint_values)
        self.halved = slow | stuck
        self.step = torch.where(self.halved, self.step / 2, self.step)
        back = per_image(self.halved)
        self.x = torch.where(back, self.best, self.x)
        self.previous = torch.where(back, self.best, self.previous)
        self.gradients = torch.where(back, self.best_gradients, self.gradients)
        self.values = torch.where(self.halved, self.best_values, self.values)
        self.increases = torch.zeros_like(self.increases)
        self.checkpoint_values = self.best_values
