"""What an attack wants the network to say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class AttackGoal:
    """Classes of which one must win, for every picture.

    Both kinds of attack are this one: a targeted attack wants a class, or any of a group; an
    untargeted one wants any class but the true one.

    Attributes:
        wanted: (B, K) bool, at least one of each row is set and one is not.
    """

    wanted: Tensor

    @classmethod
    def into(cls, targets: Sequence[int], *, classes: int, pictures: int = 1) -> Self:
        """One of `targets`, for `pictures` of them, of `classes` in all."""
        wanted = torch.zeros(pictures, classes, dtype=torch.bool)
        wanted[:, list(targets)] = True
        return cls(wanted)

    @classmethod
    def away(cls, labels: Tensor, *, classes: int) -> Self:
        """Anything but `labels`, (B,) int64."""
        return cls(torch.arange(classes, device=labels.device) != labels[:, None])

    def __getitem__(self, rows: Tensor) -> AttackGoal:
        """The goal of some of the pictures: indices or a mask."""
        return AttackGoal(self.wanted[rows.to(self.wanted.device)])

    def margin(self, logits: Tensor) -> Tensor:
        """(B, K) to (B,): the best wanted logit less the best other one; positive is reached.

        The loss of Carlini & Wagner 2017 (their f6), with the sign turned.
        """
        wanted = self.wanted.to(logits.device)
        best = logits.masked_fill(~wanted, -torch.inf).amax(1)
        return best - logits.masked_fill(wanted, -torch.inf).amax(1)

    def gain(self, logits: Tensor) -> Tensor:
        """(B, K) to (B,): the log-odds of the wanted classes, which an attack raises.

        Cross-entropy is log(1 + exp(-gain)): it has the same direction, and unlike this no
        gradient left in float32 once the network is certain (Carlini & Wagner 2017, section V).
        """
        wanted = self.wanted.to(logits.device)
        inside = logits.masked_fill(~wanted, -torch.inf).logsumexp(1)
        return inside - logits.masked_fill(wanted, -torch.inf).logsumexp(1)
