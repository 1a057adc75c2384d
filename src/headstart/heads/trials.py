"""Every candidate under every setting, cross-validated; the clearly beaten do not run to the end.

Nothing is scored on what selected it. For the accuracy that is reported, the choice is made anew
for each outer fold from inner folds that never contain its images. With K folds, the models
trained without folds j and k serve both as the inner models of outer fold j, tested on k, and the
other way round: K (K - 1) / 2 extra fits a candidate instead of K (K - 1).

Where folds are large, the choice of each outer fold begins as a race (Maron & Moore 1994). The
first of the models trained without it show which settings and combinations of stages lose by many
standard errors; the others are run on. The race of a fold never looks at its images, so its
accuracy stays that of a choice which has not seen them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import TypeAlias, TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

from headstart.heads import softmax
from headstart.heads.calibration import calibrate, fit_temperatures
from headstart.heads.candidates import Candidate
from headstart.heads.head import HeadFamily, LabeledFeatures
from headstart.system.machine import cores
from headstart.types import Doubles, Floats, Labels, ProgressCallback

_RACED = 150
"""Images of the smallest fold from which on there is a race: standard errors of fewer say little,
and all runs are short."""
_BEATEN = 4.0
"""Standard errors of the paired difference behind the best from which on nobody can win: the choice
takes what is behind by one at most."""
_KEPT = 128 * 2**20
"""Bytes of out-of-fold logits up to which they are kept for later, and for as long as the race
needs them those of the pairs it began with; where there are more, those needed are solved again."""
_MEMORY = 4 * 2**30
"""Bytes that the candidates may take that are tried at the same time."""

Pair: TypeAlias = tuple[int, int]
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class SelectionProblem:
    """What all candidates have in common.

    Attributes:
        values: features of each stage, (N, width).
        y: (N,) labels.
        family: of the head.
        classes: K.
        row_weights: (N,) weight of each image in training.
        folds: (N,) fold of each image.
    """

    values: Mapping[str, Floats]
    y: Labels
    family: HeadFamily
    classes: int
    row_weights: Floats
    folds: Labels

    @cached_property
    def single(self) -> list[np.ndarray]:
        """(N,) mask of each fold."""
        return [self.folds == fold for fold in range(int(self.folds.max()) + 1)]

    @cached_property
    def pairs(self) -> list[Pair]:
        """Of folds."""
        return list(combinations(range(len(self.single)), 2))

    @cached_property
    def openings(self) -> list[Pair]:
        """The pairs that the race begins with, every fold in one; none if there is no race."""
        large = min(mask.sum() for mask in self.single) >= _RACED
        # Sets worth a race have three folds, see `fold_count`.
        return [(0, 1), (0, 2)] if large and len(self.single) == 3 else []

    def width(self, candidate: Candidate) -> int:
        """Features of a candidate."""
        return sum(self.values[stage].shape[1] for stage in candidate.stages)

    def held_out(
        self, candidate: Candidate, out: Sequence[np.ndarray], settings: Labels
    ) -> list[Floats]:
        """Logits (G, K, n) for the rows at each mask (N,), by heads trained on the others."""
        widths = [self.values[stage].shape[1] for stage in candidate.stages]
        return self.family.held_out(
            LabeledFeatures(candidate.gather(self.values), self.y, self.classes, widths),
            np.stack([self.row_weights * ~rows for rows in out]),
            [self.family.settings[setting] for setting in settings],
        )

    def without(self, pair: Pair) -> np.ndarray:
        """The mask of both folds."""
        both: np.ndarray = self.single[pair[0]] | self.single[pair[1]]
        return both

    def temperature(self, logits: Floats) -> float:
        """Of logits (K, N) out of fold."""
        return float(fit_temperatures(logits[None], self.y, self.row_weights)[0])

    def joined(self, parts: Sequence[tuple[np.ndarray, Floats]]) -> Floats:
        """(G, K, N) of logits that are known for the rows at some masks."""
        logits = np.zeros((len(parts[0][1]), self.classes, len(self.y)), np.float32)
        for rows, score in parts:
            logits[:, :, rows] = score
        return logits

    def out_of_fold(self, candidate: Candidate, settings: Labels) -> Floats:
        """(G, K, N), each row by heads that have not seen its fold."""
        scores = self.held_out(candidate, self.single, settings)
        return self.joined(list(zip(self.single, scores, strict=True)))

    def inner(
        self, scores: Mapping[Pair, Floats], outer: int
    ) -> tuple[np.ndarray, Floats, Doubles]:
        """How models without fold `outer` do on the images that neither they nor it contain.

        Args:
            scores: logits (G, K, n) for the rows of pairs of folds, by models without both.
            outer: a fold.

        Returns:
            The mask (N,) of these images, their calibrated losses (G, n), the temperatures (G,).
        """
        parts = []
        for pair, score in scores.items():
            if outer in pair:
                tested = self.single[sum(pair) - outer]
                parts.append((tested, score[:, :, tested[self.without(pair)]]))
        rows = np.any([tested for tested, _ in parts], axis=0)
        logits = self.joined(parts)[:, :, rows]
        return rows, *calibrate(logits, self.y[rows], self.row_weights[rows])


@dataclass(frozen=True, slots=True)
class Trial:
    """One candidate under the settings that were run to the end, G of them.

    Attributes:
        settings: (G,) indices among the family's.
        standing: (folds, G), whether it is in the choice that this outer fold tests.
        losses: (G, N) calibrated out-of-fold losses.
        correct: (G, N) whether the out-of-fold prediction is right.
        inner: for each outer fold (G, N), losses of models that saw neither the image nor the fold;
            in the columns of the fold itself there is no such loss and the number is 0.
        temperatures: (folds, G) fitted on those.
        logits: (G, K, N) out of fold, unless all together would be too large.
    """

    settings: Labels
    standing: np.ndarray
    losses: Floats
    correct: np.ndarray
    inner: list[Floats]
    temperatures: Doubles
    logits: Floats | None


@dataclass(frozen=True, slots=True)
class _FirstRound:
    """One candidate in the first of the pairs.

    Attributes:
        scores: logits (G, K, n), if they are kept.
        losses: of each outer fold the mask (N,) of the images that were tested, and (G, n).
    """

    scores: Mapping[Pair, Floats]
    losses: list[tuple[np.ndarray, Floats]]


def behind(table: Floats, weights: Floats) -> tuple[Doubles, Doubles]:
    """How far each row of losses (A, n) is behind the best, and the standard error of that: (A,).

    The error is that of the paired difference, over images that weigh `weights` (n,).
    """
    share = weights.astype(np.float64) / weights.sum()
    difference = table - table[(table @ share).argmin()]
    gap: Doubles = difference @ share
    error: Doubles = np.sqrt(np.square(difference - gap[:, None]) @ np.square(share))
    return gap, error


def try_all(
    task: SelectionProblem,
    choices: Sequence[Candidate],
    *,
    progress: ProgressCallback | None = None,
) -> list[Trial | None]:
    """Cross-validate all candidates, several at a time.

    Args:
        task: what they have in common.
        choices: the candidates.
        progress: called with (done, total); a candidate counts twice where there is a race.

    Returns:
        A trial of each; None for a combination of stages that lost the race.
    """
    every = np.arange(len(task.family.settings))
    keep = 4 * len(choices) * len(every) * task.classes * len(task.y) <= _KEPT
    standing = [np.ones((len(task.single), len(every)), bool) for _ in choices]
    openings = [_FirstRound({}, []) for _ in choices]
    total = len(choices) * (2 if task.openings else 1)

    def opened(place: int) -> _FirstRound:
        out = [task.without(pair) for pair in task.openings]
        solved = task.held_out(choices[place], out, every)
        scores = dict(zip(task.openings, solved, strict=True))
        losses = [task.inner(scores, outer)[:2] for outer in range(len(task.single))]
        return _FirstRound(scores if keep else {}, losses)

    def finished(place: int) -> Trial | None:
        known = openings[place].scores
        return _finish(task, choices[place], known, standing[place], keep=keep)

    if task.openings:
        openings = _side_by_side(opened, task, choices, _from(0, total, progress))
        standing = _race(task, openings, choices)
    begun = total - len(choices)
    return _side_by_side(finished, task, choices, _from(begun, total, progress))


def _from(begun: int, total: int, progress: ProgressCallback | None) -> Callable[[int], None]:
    """Told how many are done now, tells `progress` how many are in all."""

    def update(done: int) -> None:
        if progress:
            progress(begun + done, total)

    return update


def _race(
    task: SelectionProblem, openings: Sequence[_FirstRound], choices: Sequence[Candidate]
) -> list[np.ndarray]:
    """(folds, G) for each candidate: which of its settings stay in the choice of which fold.

    A stage alone is reported with its best setting, so it only races against itself; combinations
    race against all.
    """
    standing = []
    for outer in range(len(task.single)):
        rows, _ = openings[0].losses[outer]
        weights = task.row_weights[rows]
        losses = [opening.losses[outer][1] for opening in openings]
        together = _in_reach(np.concatenate(losses), weights).reshape(len(choices), -1)
        standing.append(
            [
                _in_reach(own, weights) if len(choice.stages) == 1 else among_all
                for choice, own, among_all in zip(choices, losses, together, strict=True)
            ]
        )
    return list(np.stack(standing, axis=1))


def _in_reach(losses: Floats, weights: Floats) -> np.ndarray:
    """(A,) which rows of losses (A, n) may still win."""
    gap, error = behind(losses, weights)
    near: np.ndarray = gap <= _BEATEN * error
    return near


def _finish(
    task: SelectionProblem,
    candidate: Candidate,
    known: Mapping[Pair, Floats],
    standing: np.ndarray,
    *,
    keep: bool,
) -> Trial | None:
    """All folds and pairs of a candidate, under what stands for any fold."""
    settings = np.flatnonzero(standing.any(0))
    if not len(settings):
        return None
    missing = [pair for pair in task.pairs if pair not in known]
    out = [*task.single, *map(task.without, missing)]
    scores = task.held_out(candidate, out, settings)
    count = len(task.single)
    logits = task.joined(list(zip(task.single, scores[:count], strict=True)))
    by_pair = {pair: score[settings] for pair, score in known.items()}
    by_pair.update(zip(missing, scores[count:], strict=True))
    inner, temperatures = [], []
    for outer in range(count):
        rows, losses, fitted = task.inner(by_pair, outer)
        inner.append(np.zeros((len(settings), len(task.y)), np.float32))
        inner[-1][:, rows] = losses
        temperatures.append(fitted)
    return Trial(
        settings=settings,
        standing=standing[:, settings],
        losses=calibrate(logits, task.y, task.row_weights)[0],
        correct=logits.argmax(1) == task.y,
        inner=inner,
        temperatures=np.stack(temperatures),
        logits=logits if keep else None,
    )


def _workers(task: SelectionProblem, choices: Sequence[Candidate]) -> int:
    """How many candidates to try at a time: one a core, as long as they fit into `_MEMORY`."""
    widest = max(map(task.width, choices))
    # Measured peaks: five copies of the features, eight of the logits of all settings.
    numbers: int = len(task.y) * (5 * widest + 8 * len(task.family.settings) * task.classes)
    return max(1, min(cores(), _MEMORY // (4 * numbers + softmax.MEMORY)))


def _side_by_side(
    attempt: Callable[[int], _Result],
    task: SelectionProblem,
    choices: Sequence[Candidate],
    progress: Callable[[int], None],
) -> list[_Result]:
    """Several candidates at a time, by their places, the widest first, each on its share of cores.

    The matrices are small: threads inside each product would mostly wait for each other, and on a
    busy machine for the scheduler (measured: 5 times slower).
    """
    workers = _workers(task, choices)
    threads = max(1, cores() // workers)
    with threadpool_limits(threads, user_api="blas"), ThreadPoolExecutor(workers) as pool:
        first = sorted(range(len(choices)), key=lambda place: -task.width(choices[place]))
        waiting = {place: pool.submit(attempt, place) for place in first}
        try:
            for done, _ in enumerate(as_completed(waiting.values()), start=1):
                progress(done)
            return [waiting[place].result() for place in range(len(choices))]
        except BaseException:  # Ctrl-C too: nobody waits for what is not begun
            pool.shutdown(wait=False, cancel_futures=True)
            raise
