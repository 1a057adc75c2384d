"""Auto-PGD: projected gradient ascent that halves its step where it stops paying.

Croce & Hein 2020, "Reliable evaluation of adversarial robustness with an ensemble of diverse
parameter-free attacks", algorithm 1, with the log-odds of the goal in place of cross-entropy.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from headstart.inspection.attacks.goal import AttackGoal
from headstart.inspection.attacks.search import AttackResult, Logits, Search
from headstart.inspection.attacks.threat import Threat

_INERTIA = 0.75  # alpha: share of the new step against the last one
_RISING = 0.75  # rho: share of steps that must gain
_FIRST, _SHORTER, _SHORTEST = 22, 3, 6  # percent of the steps between two checkpoints


@dataclass(frozen=True, slots=True, kw_only=True)
class APGD:
    """No step size to choose.

    Attributes:
        steps: gradients a start.
        restarts: starts; the first at the picture, the others drawn from the threat.
    """

    steps: int = 50
    restarts: int = 1

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
        for attempt in range(self.restarts):
            if attempt:
                first = threat.random(pixels, generator)
            self._climb(search, first[search.open])
            if not len(search.open):
                break
        return search.result()

    def _climb(self, search: Search, x: Tensor) -> None:
        gains, gradients = search.look(x)
        going = search.narrow()
        state = _State.at(x, gains, gradients, step=2 * search.threat.epsilon).kept(going)
        marks = checkpoints(self.steps)
        last_mark = 0
        for step in range(1, self.steps):
            if not len(search.open):
                return
            x = self._next(search, state, inertia=_INERTIA if step > 1 else 1.0)
            gains, gradients = search.look(x)
            state.move(x, gains, gradients)
            state = state.kept(search.narrow())
            if step in marks:
                state.review(step - last_mark)
                last_mark = step

    @staticmethod
    def _next(search: Search, state: _State, *, inertia: float) -> Tensor:
        threat, originals = search.threat, search.originals
        ahead = state.x + state.step.view(-1, 1, 1, 1) * threat.steepest(state.gradients)
        ahead = threat.project(ahead, originals)
        drift = inertia * (ahead - state.x) + (1 - inertia) * (state.x - state.previous)
        return threat.project(state.x + drift, originals)


def checkpoints(steps: int) -> frozenset[int]:
    """The steps after which the step size is reviewed (section 3.1 of the paper)."""
    percents = [0, _FIRST]
    while percents[-1] < 100:
        percents.append(percents[-1] + max(percents[-1] - percents[-2] - _SHORTER, _SHORTEST))
    return frozenset(-(-percent * steps // 100) for percent in percents[1:-1])


@dataclass(slots=True)
class _State:
    """One climb: where each picture is, where it was best, and how it has fared.

    Everything has one row a picture that is still worked on.
    """

    x: Tensor
    previous: Tensor
    gains: Tensor
    gradients: Tensor
    best: Tensor
    best_gains: Tensor
    best_gradients: Tensor
    step: Tensor
    """(A,) step sizes."""
    rises: Tensor
    """(A,) steps since the last checkpoint that gained."""
    halved: Tensor
    """(A,) bool, whether the last checkpoint halved the step."""
    reviewed_gains: Tensor
    """(A,) best gains at the last checkpoint."""

    @classmethod
    def at(cls, x: Tensor, gains: Tensor, gradients: Tensor, *, step: float) -> _State:
        """The beginning of a climb."""
        return cls(
            x, x, gains, gradients, x, gains, gradients,
            step=torch.full_like(gains, step),
            rises=torch.zeros_like(gains),
            halved=torch.zeros_like(gains, dtype=torch.bool),
            reviewed_gains=gains,
        )  # fmt: skip

    def kept(self, rows: Tensor) -> _State:
        """The state of some of the pictures."""
        if rows.all():
            return self
        return _State(*(getattr(self, one.name)[rows] for one in fields(self)))

    def move(self, x: Tensor, gains: Tensor, gradients: Tensor) -> None:
        self.rises = self.rises + (gains > self.gains)
        self.previous, self.x, self.gains, self.gradients = self.x, x, gains, gradients
        better = gains > self.best_gains
        wide = better.view(-1, 1, 1, 1)
        self.best = torch.where(wide, x, self.best)
        self.best_gradients = torch.where(wide, gradients, self.best_gradients)
        self.best_gains = torch.where(better, gains, self.best_gains)

    def review(self, period: int) -> None:
        """Halve the step where it did not pay, and go back to the best picture there."""
        slow = self.rises < _RISING * period
        stuck = ~self.halved & (self.best_gains <= self.reviewed_gains)
        self.halved = slow | stuck
        self.step = torch.where(self.halved, self.step / 2, self.step)
        wide = self.halved.view(-1, 1, 1, 1)
        self.x = torch.where(wide, self.best, self.x)
        self.previous = torch.where(wide, self.best, self.previous)
        self.gradients = torch.where(wide, self.best_gradients, self.gradients)
        self.gains = torch.where(self.halved, self.best_gains, self.gains)
        self.rises = torch.zeros_like(self.rises)
        self.reviewed_gains = self.best_gains
