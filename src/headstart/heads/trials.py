"""Cross-validate every candidate with every setting, eliminating the clearly worse ones early.

Cross-validation is nested: no choice is evaluated on images that influenced it. For the reported
accuracy, the choice is made again for each outer fold, from models that were neither trained nor
tested on its images. With K folds, a model trained without folds j and k is an inner model of outer
fold j, tested on k, and of outer fold k, tested on j: K (K - 1) / 2 more fits per candidate instead
of K (K - 1).

With large folds, candidates are eliminated first (Hoeffding races, Maron & Moore 1994): the first
inner models of an outer fold show which settings and combinations of stages are worse by many
standard errors, and only the others are cross-validated completely. The elimination for a fold
does not use its images either, so its accuracy is not biased.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from headstart.heads.calibration import calibrate
from headstart.heads.candidates import Candidate
from headstart.heads.lbfgs import HISTORY
from headstart.heads.selection_problem import Pair, SelectionProblem
from headstart.system.machine import cores, one_blas_thread
from headstart.types import Doubles, Floats, Labels, ProgressCallback, no_progress

_ELIMINATED = 4.0
"""A candidate is eliminated if it is worse than the best by this many standard errors of the paired
difference. The final choice tolerates one."""
_LOGITS_MEMORY = 128 * 2**20
"""Maximum size in bytes of the out-of-fold logits of all candidates. If they are larger, they are
not kept, and those of the chosen candidates are computed again."""
_MEMORY = 4 * 2**30
"""Maximum memory in bytes for the candidates tried at the same time."""
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Trial:
    """One candidate with the G settings that were cross-validated completely.

    Attributes:
        settings: (G,) indices among the family's settings.
        active: (folds, G) bool, whether the setting was not eliminated for this outer fold.
        losses: (G, N) calibrated out-of-fold losses.
        correct: (G, N) bool, whether the out-of-fold prediction is correct.
        inner: for each outer fold (G, N) losses of models trained without the fold and without the
            image; 0 for the images of the fold itself.
        temperatures: (folds, G) temperatures fitted on the inner logits.
        logits: (G, K, N) out-of-fold logits; None if those of all candidates would be too large.
    """

    settings: Labels
    active: np.ndarray
    losses: Floats
    correct: np.ndarray
    inner: list[Floats]
    temperatures: Doubles
    logits: Floats | None


@dataclass(frozen=True, slots=True)
class _FirstRound:
    """The results of one candidate on the first pairs of folds."""

    scores: Mapping[Pair, Floats]  # logits (G, K, n) of each pair; empty if they are not kept
    losses: list[tuple[np.ndarray, Floats]]  # per outer fold: mask (N,) and losses (G, n)


def paired_gap(
    losses: Floats, weights: Floats, clusters: Labels | None = None
) -> tuple[Doubles, Doubles]:
    """Compare each row of losses (A, n) of n images with weights (n,) to the best row.

    `clusters` (n,) are the series of the images, which are not independent: standard errors are
    then those of the sums over series (Liang & Zeger 1986).

    Returns:
        (A,) differences of the mean losses, and (A,) standard errors of the paired differences.
    """
    share = weights.astype(np.float64) / weights.sum()
    difference = losses - losses[(losses @ share).argmin()]
    gap: Doubles = difference @ share
    if clusters is None:
        error: Doubles = np.sqrt(np.square(difference - gap[:, None]) @ np.square(share))
        return gap, error
    order = np.argsort(clusters, kind="stable")
    starts = np.flatnonzero(np.diff(clusters[order], prepend=-1))
    sums = np.add.reduceat(((difference - gap[:, None]) * share)[:, order], starts, axis=1)
    return gap, np.sqrt(np.square(sums).sum(1))


def try_candidates(
    problem: SelectionProblem,
    choices: Sequence[Candidate],
    *,
    progress: ProgressCallback = no_progress,
) -> list[Trial | None]:
    """Cross-validate all candidates, several at a time.

    With elimination, a candidate counts twice for `progress`.

    Returns:
        One trial per candidate; None for a combination of stages that was eliminated.
    """
    every = np.arange(len(problem.family.settings))
    size = 4 * len(choices) * len(every) * problem.classes * len(problem.y)
    keep = size <= _LOGITS_MEMORY
    folds = range(len(problem.single))
    active = [np.ones((len(folds), len(every)), bool) for _ in choices]
    known: list[Mapping[Pair, Floats]] = [{} for _ in choices]

    def first_round(place: int) -> _FirstRound:
        out = [problem.without(pair) for pair in problem.first_pairs]
        solved = problem.held_out(choices[place], out, every)
        scores = dict(zip(problem.first_pairs, solved, strict=True))
        losses = [problem.inner_losses(scores, outer)[:2] for outer in folds]
        return _FirstRound(scores if keep else {}, losses)

    def complete(place: int) -> Trial | None:
        return _complete(problem, choices[place], known[place], active[place], keep=keep)

    total = len(choices) * (2 if problem.first_pairs else 1)
    if problem.first_pairs:
        rounds = _in_parallel(first_round, problem, choices, 0, total, progress)
        active = _eliminate(problem, rounds, choices)
        known = [one.scores for one in rounds]
    return _in_parallel(complete, problem, choices, total - len(choices), total, progress)


def _eliminate(
    problem: SelectionProblem, rounds: Sequence[_FirstRound], choices: Sequence[Candidate]
) -> list[np.ndarray]:
    """Return, for each candidate, (folds, G) bool: whether a setting remains for a fold.

    The accuracy of every single stage is reported, so its settings are compared only with each
    other. Combinations of stages are compared with all candidates.
    """
    active = []
    for outer in range(len(problem.single)):
        rows, _ = rounds[0].losses[outer]
        weighting = problem.row_weights[rows], problem.clusters_at(rows)
        losses = [one.losses[outer][1] for one in rounds]
        among_all = _may_win(np.concatenate(losses), *weighting).reshape(len(choices), -1)
        active.append(
            [
                _may_win(own, *weighting) if len(choice.stages) == 1 else of_all
                for choice, own, of_all in zip(choices, losses, among_all, strict=True)
            ]
        )
    return list(np.stack(active, axis=1))


def _may_win(losses: Floats, weights: Floats, clusters: Labels | None) -> np.ndarray:
    """Return (A,) bool: which rows of losses (A, n) are not eliminated."""
    gap, error = paired_gap(losses, weights, clusters)
    return gap <= _ELIMINATED * error


def _complete(
    problem: SelectionProblem,
    candidate: Candidate,
    known: Mapping[Pair, Floats],
    active: np.ndarray,
    *,
    keep: bool,
) -> Trial | None:
    """Fit all folds and pairs of a candidate, with the settings that remain for any fold."""
    settings = np.flatnonzero(active.any(0))
    if not len(settings):
        return None
    missing = [pair for pair in problem.pairs if pair not in known]
    out = [*problem.single, *map(problem.without, missing)]
    scores = problem.held_out(candidate, out, settings)
    count = len(problem.single)
    logits = problem.join(list(zip(problem.single, scores[:count], strict=True)))
    by_pair = {pair: score[settings] for pair, score in known.items()}
    by_pair.update(zip(missing, scores[count:], strict=True))
    inner, temperatures = [], []
    for outer in range(count):
        rows, losses, fitted = problem.inner_losses(by_pair, outer)
        inner.append(np.zeros((len(settings), len(problem.y)), np.float32))
        inner[-1][:, rows] = losses
        temperatures.append(fitted)
    return Trial(
        settings=settings,
        active=active[:, settings],
        losses=calibrate(logits, problem.y, problem.row_weights)[0],
        correct=logits.argmax(1) == problem.y,
        inner=inner,
        temperatures=np.stack(temperatures),
        logits=logits if keep else None,
    )


def _workers(problem: SelectionProblem, choices: Sequence[Candidate]) -> int:
    """Return the number of candidates to try at a time: up to one per core, within `_MEMORY`."""
    widest = max(map(problem.width, choices))
    # Measured peaks: five copies of the features, eight of the logits of all settings.
    values: int = len(problem.y) * (5 * widest + 8 * len(problem.family.settings) * problem.classes)
    history = 3 * HISTORY * problem.classes * widest
    return max(1, min(cores(), _MEMORY // (4 * (values + history))))


def _in_parallel(
    attempt: Callable[[int], _Result],
    problem: SelectionProblem,
    choices: Sequence[Candidate],
    done: int,
    total: int,
    progress: ProgressCallback,
) -> list[_Result]:
    """Run `attempt` on the index of each candidate, widest first, each on a core of its own.

    The matrices are small: several threads per product would mostly wait for each other, and on a
    busy machine for the scheduler (measured: 5 times slower).
    """
    with one_blas_thread(), ThreadPoolExecutor(_workers(problem, choices)) as pool:
        order = sorted(range(len(choices)), key=lambda place: -problem.width(choices[place]))
        futures = {place: pool.submit(attempt, place) for place in order}
        try:
            for finished, _ in enumerate(as_completed(futures.values()), start=done + 1):
                progress(finished, total)
            return [futures[place].result() for place in range(len(choices))]
        except BaseException:  # also on Ctrl-C: start no further candidates
            pool.shutdown(wait=False, cancel_futures=True)
            raise
