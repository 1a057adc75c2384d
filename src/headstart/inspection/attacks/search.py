"""What attacks have in common: looking at pictures, and remembering the best."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from headstart.inspection.attacks.goal import AttackGoal
from headstart.inspection.attacks.threat import Threat

Logits = Callable[[Tensor], Tensor]
"""(B, 3, H, W) float in [0, 1] to (B, K)."""


@dataclass(frozen=True, slots=True)
class AttackResult:
    """What an attack found.

    Attributes:
        pixels: (B, 3, H, W), the best picture of each, allowed by the threat and on its grid.
        margins: (B,) how clearly they reach the goal; positive is reached, negative is not.
        steps: (B,) gradients that were computed for each.
    """

    pixels: Tensor
    margins: Tensor
    steps: Tensor


class Attack(Protocol):
    """Searches a threat for pictures that reach a goal."""

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
        """Attack pictures, each on its own.

        Args:
            logits: the network. One picture's logits must not depend on the others.
            pixels: (B, 3, H, W) in [0, 1], on the threat's grid.
            goal: for the same B pictures.
            threat: what is allowed.
            start: (B, 3, H, W), where to begin; the pictures themselves by default.
            confidence: the margin, in logits, at which a picture is left alone.
            seed: of random starts.
        """
        ...


class Search:
    """The pictures of one attack: originals, goals, the best found, and who still needs work.

    Attributes:
        open: (A,) rows of the pictures that have not reached the goal. Everything else that
            methods take and give has these rows alone.
        originals: (A, 3, H, W), the pictures of these rows.
    """

    def __init__(
        self, logits: Logits, pixels: Tensor, goal: AttackGoal, threat: Threat, confidence: float
    ) -> None:
        self._logits, self._goals, self._confidence = logits, goal, confidence
        self.threat = threat
        self._best = pixels.clone()
        self._margins = torch.full((len(pixels),), -torch.inf, device=pixels.device)
        self._steps = torch.zeros(len(pixels), dtype=torch.int64, device=pixels.device)
        self.open = torch.arange(len(pixels), device=pixels.device)
        self.originals = pixels

    def look(self, candidates: Tensor) -> tuple[Tensor, Tensor]:
        """Show pictures to the network, as they would be saved.

        Rounding is inside: the gradient is that at the rounded picture, and passes the rounding
        as if it were not there (straight-through, Bengio et al. 2013).

        Args:
            candidates: (A, 3, H, W), allowed.

        Returns:
            (A,) gains and (A, 3, H, W) their gradients.
        """
        shown = self.threat.rounded(candidates, self.originals).detach().requires_grad_()
        with torch.enable_grad():
            logits = self._logits(shown)
            gains = self._goals.gain(logits)
            (gradients,) = torch.autograd.grad(gains.sum(), shown)
        margins = self._goals.margin(logits.detach())
        better = margins > self._margins[self.open]
        rows = self.open[better]
        self._margins[rows] = margins[better]
        if len(rows) == len(self._best):
            self._best = shown.detach().clone()  # never the caller's own pictures
        else:
            self._best[rows] = shown.detach()[better]
        self._steps[self.open] += 1
        return gains.detach(), gradients

    def narrow(self) -> Tensor:
        """Leave alone what has reached the goal: (A,) bool, which rows go on."""
        going = self._margins[self.open] < self._confidence
        if not self._confidence:  # an exact tie is no success
            going = self._margins[self.open] <= 0
        if not going.all():  # pictures are large: none is copied for nothing
            self.open = self.open[going]
            self.originals, self._goals = self.originals[going], self._goals[going]
        return going

    def result(self) -> AttackResult:
        """What was found so far."""
        return AttackResult(self._best, self._margins, self._steps)
