"""Recommend a backbone, and estimate how accurate the recommended choice is.

The rule: the cheapest backbone whose accuracy is not significantly below the best, compared image
by image (`headstart.evaluation.paired_tests`). Only backbones measured on all images are
considered.
"""

from collections.abc import Sequence

import numpy as np

from headstart.comparison.result import BackboneResult, Recommendation
from headstart.evaluation.paired_tests import PairedTest, Right, paired_difference
from headstart.types import Labels

_SAME_COST = 0.05
"""Relative difference below which two costs count as equal."""


def frontier(results: Sequence[BackboneResult]) -> frozenset[str]:
    """Return the names of the Pareto-optimal backbones among those measured on all images."""
    complete = [one for one in results if one.complete]
    return frozenset(
        one.name
        for one in complete
        if not any(
            other.accuracy.value >= one.accuracy.value
            and other.milliseconds <= one.milliseconds
            and (other.accuracy.value, other.milliseconds) != (one.accuracy.value, one.milliseconds)
            for other in complete
        )
    )


def recommend(results: Sequence[BackboneResult], folds: Labels) -> Recommendation:
    """Choose a backbone, and estimate the accuracy of the choice by nested cross-validation.

    At least one backbone must be measured on all N images; `folds` (N,) are their folds.
    """
    clusters = next(one.clusters for one in results if one.complete)
    complete = sorted(
        (one for one in results if one.complete), key=lambda one: (one.milliseconds, one.name)
    )
    correct = [one.right for one in complete]
    place = _choose(correct, clusters)
    chosen = complete[place]
    nested = np.empty(len(folds), dtype=bool)
    for fold in np.unique(folds):
        tested = folds == fold
        others = None if clusters is None else clusters[~tested]
        nested[tested] = correct[_choose([one[~tested] for one in correct], others)][tested]
    against = {one.name: one.minus(chosen) for one in complete if one is not chosen}
    return Recommendation(
        backbone=chosen.name,
        sentence=_sentence(complete, place, against, eliminated=len(results) - len(complete)),
        against=against,
        choice=nested,
        clusters=clusters,
    )


def _choose(correct: Sequence[Right], clusters: Labels | None) -> int:
    """Return the index of the first result not significantly below the best, cheapest first."""
    best = max(correct, key=lambda one: int(one.sum()))
    return next(
        place
        for place, one in enumerate(correct)
        if not paired_difference(best, one, clusters=clusters).better
    )


def _sentence(
    results: Sequence[BackboneResult],
    place: int,
    against: dict[str, PairedTest],
    *,
    eliminated: int,
) -> str:
    chosen = results[place]
    start = (
        f"Use {chosen.name}: accuracy {chosen.accuracy}, {chosen.milliseconds:.1f} core-ms per "
        f"image ({chosen.cost.images_per_second:,.0f} images/s)"
    )
    if against:
        rival = _strongest_alternative(results, place)
        return f"{start}; {_evidence(rival, chosen, against[rival.name])}"
    if eliminated:
        return (
            f"{start}; the others were significantly less accurate on a sample of the images, and "
            "were not cheaper"
        )
    return f"{start}; it was not compared with any other backbone"


def _strongest_alternative(results: Sequence[BackboneResult], place: int) -> BackboneResult:
    """Return the most accurate one or, if it is the choice, the most accurate that costs less."""
    best = max(results, key=lambda one: one.accuracy.value)
    if best.accuracy.value > results[place].accuracy.value:
        return best
    return max(results[:place] or results[place + 1 :], key=lambda one: one.accuracy.value)


def _evidence(rival: BackboneResult, chosen: BackboneResult, gap: PairedTest) -> str:
    own, other = chosen.accuracy.interval, rival.accuracy.interval
    overlap = other.low <= own.high and own.low <= other.high
    noise = gap.low <= 0 <= gap.high
    ratio = rival.milliseconds / chosen.milliseconds
    same = abs(ratio - 1) < _SAME_COST
    return (
        f"{rival.name} with {rival.accuracy.value:.3f} is "
        f"{'within noise of it' if noise else 'significantly less accurate'} (paired difference "
        f"{gap.difference:+.3f}, 95% interval {gap.low:+.3f} to {gap.high:+.3f}; the two "
        f"accuracies' own intervals {'overlap' if overlap else 'do not overlap'}) and costs "
        f"{'the same' if same else f'{ratio:.2g} times as much'}"
    )
