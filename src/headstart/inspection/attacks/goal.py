"""The goal of an attack: the classes that the network should predict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class AttackGoal:
    """The wanted classes of each image; the attack succeeds if one of them is predicted.

    A targeted attack wants one class or any of a group; an untargeted attack wants any class but
    the true one.

    Attributes:
        wanted: (B, K) bool; each row has at least one True and one False.
    """

    wanted: Tensor

    @classmethod
    def targeted(cls, targets: Sequence[int], *, classes: int, images: int = 1) -> Self:
        """Want any of the classes `targets`, out of `classes`, for each of `images` images."""
        wanted = torch.zeros(images, classes, dtype=torch.bool)
        wanted[:, list(targets)] = True
        return cls(wanted)

    @classmethod
    def untargeted(cls, labels: Tensor, *, classes: int) -> Self:
        """Want any class but `labels`, (B,) int64, out of `classes`."""
        return cls(torch.arange(classes, device=labels.device) != labels[:, None])

    def __getitem__(self, rows: Tensor) -> AttackGoal:
        """Select the goals of some images, by index or mask."""
        return AttackGoal(self.wanted[rows.to(self.wanted.device)])

    def margin(self, logits: Tensor) -> Tensor:
        """Return the best wanted logit minus the best other one; positive means success.

        The loss f6 of Carlini & Wagner 2017 with the opposite sign. (B, K) to (B,).
        """
        wanted = self.wanted.to(logits.device)
        best = logits.masked_fill(~wanted, -torch.inf).amax(1)
        return best - logits.masked_fill(wanted, -torch.inf).amax(1)

    def objective(self, logits: Tensor) -> Tensor:
        """Return the log-odds of the wanted classes, which attacks maximize. (B, K) to (B,).

        Cross-entropy, log(1 + exp(-log-odds)), has the same direction, but its gradient vanishes in
        float32 once the network is certain (Carlini & Wagner 2017, section V).
        """
        wanted = self.wanted.to(logits.device)
        inside = logits.masked_fill(~wanted, -torch.inf).logsumexp(1)
        return inside - logits.masked_fill(wanted, -torch.inf).logsumexp(1)
