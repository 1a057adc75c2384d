"""A head that averages others: a weighted mean of their calibrated log-probabilities.

Half of the weights is equal, and half is selected greedily with replacement by the log loss of
held-out images (Caruana et al. 2004, "Ensemble selection from libraries of models"): measured on
eight sets, either half alone is worse (docs/decisions/0021-members.md). A member is left out if the
equal average without it is better by more than two standard errors of the paired difference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from headstart.heads.calibration import log_softmax
from headstart.heads.head import Head
from headstart.types import Doubles, Floats, Labels

if TYPE_CHECKING:
    from torch import Tensor

STEPS = 20
"""Steps of the selection, of which each adds one part of the weights."""
_HARM = 2.0
"""A member is left out if the average is better without it by more than so many standard errors."""
FLOOR = 1e-9
"""Least probability of a member: a class that it excludes may still be right."""
_WEIGHTS, _TEMPERATURES = "weights", "temperatures"


@dataclass(frozen=True, slots=True, eq=False)
class BlendedHead:
    """M heads on features side by side, each on its own part of them.

    Attributes:
        members: M heads, of any families.
        temperatures: (M,) temperatures that their logits are divided by.
        weights: (M,) weights of their log-probabilities, which sum to 1.
    """

    members: tuple[Head, ...]
    temperatures: Floats
    weights: Floats

    @classmethod
    def of(
        cls, members: Sequence[Head], temperatures: Sequence[float], weights: Sequence[float]
    ) -> Self:
        """Combine heads with their temperatures and weights."""
        return cls(
            tuple(members), np.array(temperatures, np.float32), np.array(weights, np.float32)
        )

    @property
    def kind(self) -> str:
        """Name of the first member's family."""
        return self.members[0].kind

    @property
    def width(self) -> int:
        """Number of features D of all members."""
        return sum(member.width for member in self.members)

    def logits(self, X: Floats) -> Floats:
        """Map features (N, D) to unnormalized log-probabilities (N, K)."""
        weighted: list[Doubles] = []
        for part, member, temperature, weight in self._parts():
            scaled = member.logits(X[:, part]).astype(np.float64) / temperature
            weighted.append(weight * floored(log_softmax(scaled, axis=1)))
        found: Floats = np.sum(weighted, axis=0).astype(np.float32)
        return found

    def torch_logits(self, X: Tensor) -> Tensor:
        """Map features (B, D) to the same (B, K), differentiably.

        The gradients are those without the floor: an attack must be able to leave it.
        """
        weighted = []
        for part, member, temperature, weight in self._parts():
            found = (member.torch_logits(X[:, part]) / temperature).log_softmax(1)
            lifted = found.clamp(min=float(np.log(FLOOR))) - found
            weighted.append(weight * (found + lifted.detach()))
        return sum(weighted, start=X.new_zeros(1))

    def tensors(self) -> dict[str, np.ndarray]:
        """Return weights, temperatures, and every member's tensors after its number."""
        found = {_WEIGHTS: self.weights, _TEMPERATURES: self.temperatures}
        for number, member in enumerate(self.members):
            found |= {f"{number}.{name}": array for name, array in member.tensors().items()}
        return found

    @classmethod
    def load(
        cls,
        tensors: Mapping[str, np.ndarray],
        loads: Sequence[Callable[[Mapping[str, np.ndarray]], Head]],
    ) -> BlendedHead:
        """Rebuild a head from what `tensors` returned; `loads` rebuild its M members.

        Raises:
            KeyError: A tensor is missing.
            ValueError: The tensors do not fit one another.
        """
        weights, temperatures = tensors[_WEIGHTS], tensors[_TEMPERATURES]
        for name, array in ((_WEIGHTS, weights), (_TEMPERATURES, temperatures)):
            if array.shape != (len(loads),) or not (np.isfinite(array) & (array > 0)).all():
                raise ValueError(f"{name} are not {len(loads)} positive numbers")
        heads = []
        for number, load in enumerate(loads):
            prefix = f"{number}."
            heads.append(
                load(
                    {
                        name.removeprefix(prefix): array
                        for name, array in tensors.items()
                        if name.startswith(prefix)
                    }
                )
            )
        return cls(tuple(heads), temperatures, weights)

    def _parts(self) -> list[tuple[slice, Head, float, float]]:
        ends = np.cumsum([member.width for member in self.members]).tolist()
        parts = [
            slice(end - member.width, end) for end, member in zip(ends, self.members, strict=True)
        ]
        return list(
            zip(
                parts,
                self.members,
                self.temperatures.tolist(),
                self.weights.tolist(),
                strict=True,
            )
        )


def floored(log_probabilities: Doubles) -> Doubles:
    """Return log-probabilities of at least the floor of a member."""
    return np.maximum(log_probabilities, np.log(FLOOR))


def blend(log_probabilities: Doubles, weights: Doubles) -> Doubles:
    """Average log-probabilities (M, N, K) with weights (M,), and normalize: (N, K)."""
    return log_softmax(np.tensordot(weights, log_probabilities, 1), axis=-1)


def select_weights(
    log_probabilities: Doubles,
    labels: Labels,
    row_weights: Floats,
    clusters: Labels | None = None,
) -> Doubles:
    """Choose the weights of members: (M,), which sum to 1; 0 for those that do harm.

    Args:
        log_probabilities: (M, N, K) of images that did not train the member that gave them.
        labels: (N,) labels in [0, K).
        row_weights: (N,) weight of each image.
        clusters: (N,) the series of each image; None if all are independent.
    """
    from headstart.heads.trials import paired_gap  # a blend that predicts does not wait for it

    share = row_weights / row_weights.sum()

    def losses(weights: Doubles) -> Floats:
        found = blend(log_probabilities, weights / weights.sum())
        loss: Floats = -found[np.arange(len(labels)), labels].astype(np.float32)
        return loss

    def best(options: Mapping[int, Floats]) -> int:
        return min(options, key=lambda member: float(options[member] @ share))

    single = np.eye(len(log_probabilities))
    equal = np.ones(len(single))
    while equal.sum() > 1:
        without = {
            member: losses(equal - single[member]) for member in np.flatnonzero(equal).tolist()
        }
        worst = best(without)
        gap, error = paired_gap(np.stack([without[worst], losses(equal)]), row_weights, clusters)
        if gap[1] <= _HARM * error[1]:
            break
        equal -= single[worst]
    kept = np.flatnonzero(equal).tolist()
    counts, current = np.zeros(len(single)), None
    for _ in range(STEPS):
        options = {member: losses(counts + single[member]) for member in kept}
        member = best(options)
        if current is not None and options[member] @ share >= current @ share:
            break
        counts, current = counts + single[member], options[member]
    weights: Doubles = (counts / counts.sum() + equal / equal.sum()) / 2
    return weights


def select_affordable(
    log_probabilities: Doubles,
    labels: Labels,
    row_weights: Floats,
    clusters: Labels | None = None,
    *,
    sets: Sequence[Sequence[int]],
) -> Doubles:
    """Choose the weights of members as `select_weights` does, within the best of several sets.

    `sets` are those of members that may be used together; the others get the weight 0.
    """
    share = row_weights / row_weights.sum()
    best, least = np.zeros(len(log_probabilities)), np.inf
    for members in map(list, sets):
        some = log_probabilities[members]
        weights = select_weights(some, labels, row_weights, clusters)
        loss = -float(blend(some, weights)[np.arange(len(labels)), labels] @ share)
        if loss < least:
            best, least = np.zeros(len(log_probabilities)), loss
            best[members] = weights
    return best


def nested_weights(
    log_probabilities: Doubles,
    labels: Labels,
    row_weights: Floats,
    folds: Sequence[np.ndarray],
    clusters: Labels | None = None,
    select: Callable[[Doubles, Labels, Floats, Labels | None], Doubles] = select_weights,
) -> Doubles:
    """Blend each fold with weights chosen on the other folds: log-probabilities (N, K).

    `folds` are masks (N,), and `select` chooses the weights; otherwise see `select_weights`.
    """
    found = np.empty(log_probabilities.shape[1:])
    for tested in folds:
        weights = select(
            log_probabilities[:, ~tested],
            labels[~tested],
            row_weights[~tested],
            None if clusters is None else clusters[~tested],
        )
        found[tested] = blend(log_probabilities[:, tested], weights)
    return found
