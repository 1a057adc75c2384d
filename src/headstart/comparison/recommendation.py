"""Which backbone to take, and what that choice is worth.

The rule: the cheapest whose accuracy is not measurably below the best, image by image
(`headstart.evaluation.paired_tests`). Only backbones that were measured on the same images take
part.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headstart.comparison.result import BackboneResult, Recommendation
from headstart.evaluation.paired_tests import PairedTest, Right, paired
from headstart.types import Labels

_SAME_COST = 0.05
"""Relative difference of two costs that is not worth a word."""


def frontier(rows: Sequence[BackboneResult]) -> frozenset[str]:
    """Names of those that no other is at least as good as in accuracy and cost, and better in one.

    Args:
        rows: backbones; those that left early are never on the frontier.
    """
    complete = [row for row in rows if row.complete]
    return frozenset(
        row.name
        for row in complete
        if not any(
            other.accuracy >= row.accuracy
            and other.milliseconds <= row.milliseconds
            and (other.accuracy, other.milliseconds) != (row.accuracy, row.milliseconds)
            for other in complete
        )
    )


def recommend(rows: Sequence[BackboneResult], folds: Labels) -> Recommendation:
    """Choose, and estimate what the choice is worth.

    Args:
        rows: one or more backbones, at least one of them complete.
        folds: (N,) fold of each of all images.
    """
    complete = sorted(
        (row for row in rows if row.complete), key=lambda row: (row.milliseconds, row.name)
    )
    right = [row.right for row in complete]
    chosen = _pick(right)
    choice = np.empty(len(folds), dtype=bool)
    for fold in np.unique(folds):
        inside = folds == fold
        choice[inside] = right[_pick([one[~inside] for one in right])][inside]
    against = {
        row.name: paired(row.right, complete[chosen].right)
        for row in complete
        if row is not complete[chosen]
    }
    return Recommendation(
        backbone=complete[chosen].name,
        sentence=_sentence(complete, chosen, against, early=len(rows) - len(complete)),
        against=against,
        choice=choice,
    )


def _pick(right: Sequence[Right]) -> int:
    """Of (n,) results, the cheapest first: the first that is not measurably below the best."""
    best = max(right, key=lambda one: int(one.sum()))
    return next(place for place, one in enumerate(right) if not paired(best, one).better)


def _sentence(
    rows: Sequence[BackboneResult], chosen: int, against: dict[str, PairedTest], *, early: int
) -> str:
    taken = rows[chosen]
    span = taken.interval
    start = (
        f"Take {taken.name}: {taken.accuracy:.3f} ({span.low:.3f} to {span.high:.3f}, "
        f"{taken.images:,} images), {taken.milliseconds:.1f} core-ms an image "
        f"({taken.cost.images_per_second:,.0f} images/s)"
    )
    if not against:
        if early:
            return f"{start}; the others were measurably below it on fewer images, and no cheaper"
        return f"{start}; nothing was compared with it"
    rival = _rival(rows, chosen)
    return f"{start}; {_evidence(rival, taken, against[rival.name])}"


def _rival(rows: Sequence[BackboneResult], chosen: int) -> BackboneResult:
    """The one that speaks most against the choice: the best, or the best that costs less."""
    best = max(rows, key=lambda row: row.accuracy)
    if best.accuracy > rows[chosen].accuracy:
        return best
    return max(rows[:chosen] or rows[chosen + 1 :], key=lambda row: row.accuracy)


def _evidence(rival: BackboneResult, taken: BackboneResult, gap: PairedTest) -> str:
    overlap = (
        rival.interval.low <= taken.interval.high and taken.interval.low <= rival.interval.high
    )
    noise = gap.low <= 0 <= gap.high
    ratio = rival.milliseconds / taken.milliseconds
    cost = "costs as much" if abs(ratio - 1) < _SAME_COST else f"costs {ratio:.2g} times as much"
    return (
        f"{rival.name}'s {rival.accuracy:.3f} is "
        f"{'within noise of' if noise else 'measurably below'} it (paired difference "
        f"{gap.difference:+.3f}, 95% interval {gap.low:+.3f} to {gap.high:+.3f}; the two "
        f"accuracies' own intervals {'overlap' if overlap else 'do not overlap'}) and {cost}"
    )
