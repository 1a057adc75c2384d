"""The interface of all attacks, their goal, and the state of a running gradient attack."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from headstart.inspection.attacks.threat import Threat

Logits = Callable[[Tensor], Tensor]
"""(B, 3, H, W) float in [0, 1] to (B, K)."""


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


@dataclass(frozen=True, slots=True)
class AttackResult:
    """The outcome of an attack on a batch of images.

    Attributes:
        pixels: (B, 3, H, W), the best image found for each, within the threat and quantized.
        margins: (B,) margin of the goal in logits; positive where the attack succeeded.
        steps: (B,) int64, gradients computed for each image.
    """

    pixels: Tensor
    margins: Tensor
    steps: Tensor


class Attack(ABC):
    """A search for images within a threat that reach a goal."""

    __slots__ = ()

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
        """Attack a batch of images, each independently of the others.

        Args:
            logits: the network; an image's logits must not depend on the rest of the batch.
            pixels: (B, 3, H, W) in [0, 1], quantized to `threat.levels`.
            goal: the wanted classes of these B images.
            threat: which changes are allowed.
            start: (B, 3, H, W), images to start from; `pixels` by default.
            confidence: margin in logits at which the search for an image stops.
            seed: random seed of the random starts.
        """
        return self.search(AttackState(logits, pixels, goal, threat, start, confidence, seed))

    @abstractmethod
    def search(self, state: AttackState) -> AttackResult:
        """Run the algorithm, usually up to `state.result()`."""


class AttackState:
    """The images of one attack: the originals, the best found so far, and the active ones.

    An image is active until it reaches the goal. Methods take and return only the A active images.

    Attributes:
        threat: which changes are allowed.
        confidence: margin in logits at which an image is finished.
        active: (A,) int64, rows of the active images in the batch.
        originals: (A, 3, H, W), the unchanged active images.
    """

    def __init__(
        self,
        logits: Logits,
        pixels: Tensor,
        goal: AttackGoal,
        threat: Threat,
        start: Tensor | None,
        confidence: float,
        seed: int,
    ) -> None:
        self.threat, self.confidence = threat, confidence
        self.active = torch.arange(len(pixels), device=pixels.device)
        self.originals = pixels
        self._logits, self._pixels, self._goal = logits, pixels, goal
        self._start = pixels if start is None else threat.project(start, pixels)
        self._generator = torch.Generator().manual_seed(seed)
        self._best = pixels.clone()
        self._margins = torch.full((len(pixels),), -torch.inf, device=pixels.device)
        self._steps = torch.zeros(len(pixels), dtype=torch.int64, device=pixels.device)

    def starts(self, count: int) -> Iterator[Tensor]:
        """Yield (A, 3, H, W) for each of `count` starts, all random but the first, while A > 0."""
        for restart in range(count):
            if not len(self.active):
                return
            x = self.threat.sample(self._pixels, self._generator) if restart else self._start
            yield x[self.active]

    def gradients(self, candidates: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Quantize candidates as they would be saved, and differentiate the objective there.

        The gradient passes the rounding unchanged (straight-through, Bengio et al. 2013).

        Args:
            candidates: (A, 3, H, W), within the threat.

        Returns:
            (A, 3, H, W) quantized images, and of these the (A,) margins, the (A,) values of the
            objective and their (A, 3, H, W) gradients.
        """
        images = self.threat.quantize(candidates, self.originals).detach().requires_grad_()
        with torch.enable_grad():
            logits = self._logits(images)
            values = self._goal.objective(logits)
            (gradients,) = torch.autograd.grad(values.sum(), images)
        return images.detach(), self._goal.margin(logits.detach()), values.detach(), gradients

    def evaluate(self, candidates: Tensor) -> tuple[Tensor, Tensor]:
        """Record candidates, (A, 3, H, W), that are better than all previous ones.

        Returns:
            (A,) values of the objective and (A, 3, H, W) gradients.
        """
        images, margins, values, gradients = self.gradients(candidates)
        better = margins > self._margins[self.active]
        rows = self.active[better]
        self._margins[rows] = margins[better]
        if len(rows) == len(self._best):
            self._best = images.clone()  # a copy, not the caller's tensor
        else:
            self._best[rows] = images[better]
        self._steps[self.active] += 1
        return values, gradients

    def drop_finished(self) -> Tensor | slice:
        """Deactivate the images that have reached the goal.

        Returns:
            The rows that stay active: (A,) bool, or if all do, the full slice, which copies
            nothing when it indexes the caller's tensors.
        """
        margins = self._margins[self.active]
        # A margin of exactly 0 is a tie, not a success.
        keep = margins < self.confidence if self.confidence else margins <= 0
        if keep.all():
            return slice(None)
        self.active, self.originals = self.active[keep], self.originals[keep]
        self._goal = self._goal[keep]
        return keep

    def result(self) -> AttackResult:
        """Return the best images found so far, for the whole batch."""
        return AttackResult(self._best, self._margins, self._steps)
