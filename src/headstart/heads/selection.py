"""Where the head grows and how strongly it is held back, chosen by cross-validation.

Nothing is scored on what selected it. For the accuracy that is reported, the choice is made anew
for each outer fold from inner folds that never contain its images. With K folds, the models
trained without folds j and k serve both as the inner models of outer fold j, tested on k, and the
other way round: K (K - 1) / 2 extra fits a candidate instead of K (K - 1).

The rule (docs/decisions/0003-graft-point.md has the measurements): the score is each image's
negative log-likelihood after temperature scaling. All candidates that are not worse than the best
by more than one standard error of the paired difference (Breiman et al. 1984) are tied; of those
the deepest stage wins, then the fewest stages, then the strongest regularisation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations

import numpy as np
from threadpoolctl import threadpool_limits

from headstart.heads import softmax
from headstart.heads.calibration import calibrate, fit_temperatures, probabilities
from headstart.heads.families import HeadFamily
from headstart.machine import cores
from headstart.types import Doubles, Floats, Labels, Progress

MAX_FOLDS = 5
MIN_FOLDS = 3
_FOLD_BUDGET = 1_500
"""Images times classes up to which five folds are worth their time; above, three."""
_ENOUGH = 30
"""Images below which chance would choose the stage: the deepest is taken."""
_WINDOW_LENGTH = 5
_WINDOW_WIDTH = 1_536
"""A combination of stages is no wider than this or than the widest stage: wider ones cost most and
won on none of the six sets."""
_KEPT = 128 * 2**20
"""Bytes of logits that are kept for the end; where there are more, those needed are solved again.
"""
_MEMORY = 4 * 2**30
"""Bytes that the candidates may take that are tried at the same time."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """Stages whose features a head may see side by side.

    Attributes:
        stages: names, shallow to deep.
        depth: index of the deepest one in the backbone.
    """

    stages: tuple[str, ...]
    depth: int

    def gather(self, values: Mapping[str, Floats]) -> Floats:
        """The features of these stages: (N, sum of widths)."""
        parts = [values[stage] for stage in self.stages]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


@dataclass(frozen=True, slots=True)
class Selection:
    """What was chosen, and how well it does on images that it was not trained on.

    Attributes:
        candidate: the stages.
        setting: of the head's family.
        temperature: of the calibration.
        folds: how many; 0 where nothing could be held out.
        probabilities: (N, K) of each image, by a head, a choice and a temperature that have not
            seen its fold; None where `folds` is 0.
        correct_by_stage: (N,) bool, whether a head on each single stage alone is right, its
            setting chosen in the same way.
    """

    candidate: Candidate
    setting: float
    temperature: float
    folds: int
    probabilities: Floats | None
    correct_by_stage: Mapping[str, np.ndarray]


def candidates(widths: Mapping[str, int]) -> tuple[Candidate, ...]:
    """Every stage alone, and runs of neighbours that end at one of the two deepest.

    Args:
        widths: features of each stage, shallow to deep.
    """
    names = list(widths)
    single = [Candidate((name,), depth) for depth, name in enumerate(names)]
    limit = max(_WINDOW_WIDTH, *widths.values())
    runs = [
        Candidate(tuple(names[start : end + 1]), end)
        for end in range(max(1, len(names) - 2), len(names))
        for start in range(max(0, end + 1 - _WINDOW_LENGTH), end)
        if sum(widths[name] for name in names[start : end + 1]) <= limit
    ]
    return (*single, *runs)


def fold_count(y: Labels, *, classes: int) -> int:
    """How many folds this many images can fill and are worth.

    Returns:
        0 if no class has two images; 2 if they can be held out, but not twice over; else 3 to 5.
    """
    sizes = np.bincount(y, minlength=classes)
    if sizes.max(initial=0) < 2:
        return 0
    wanted = MAX_FOLDS if len(y) * classes <= _FOLD_BUDGET else MIN_FOLDS
    return max(2, min(wanted, int(np.median(sizes))))


def select(
    values: Mapping[str, Floats],
    y: Labels,
    folds: Labels | None,
    *,
    family: HeadFamily,
    choices: Sequence[Candidate],
    classes: int,
    row_weights: Floats,
    progress: Progress | None = None,
) -> Selection:
    """Choose among candidates, and estimate what the choice is worth.

    Args:
        values: features of each stage, (N, width).
        y: (N,) labels.
        folds: (N,) fold of each image, 0 to K - 1, or None if nothing can be held out.
        family: of the head.
        choices: one or more candidates; the last single stage among them is the default where
            there is too little to choose by.
        classes: how many.
        row_weights: (N,) weight of each image in training.
        progress: called with (done, total) candidates.
    """
    task = _Task(values, y, family, classes, row_weights)
    count = 0 if folds is None else int(folds.max()) + 1
    default = max(choices, key=lambda choice: (choice.depth, -len(choice.stages)))
    if folds is None or count < MIN_FOLDS:
        return _unchosen(task, folds, default)

    size = 4 * len(choices) * len(family.settings) * classes * len(y)

    def attempt(candidate: Candidate) -> _Trial:
        return _try(task, candidate, folds, count, keep=size <= _KEPT)

    trials = _side_by_side(attempt, choices, task.width, _workers(task, choices), progress)
    allowed = range(len(choices))
    if len(y) < _ENOUGH:
        allowed = range(choices.index(default), choices.index(default) + 1)
    losses = [trials[index].losses for index in allowed]
    chosen, setting = _choose(losses, allowed, choices, row_weights)
    nested = np.empty((len(y), classes), np.float32)

    @cache
    def out_of_fold(place: int) -> Floats:
        kept = trials[place].logits
        return task.out_of_fold(choices[place], folds, count) if kept is None else kept

    for fold, (place, inner) in enumerate(_nested(task, trials, allowed, choices, folds, count)):
        rows = folds == fold
        temperature = trials[place].temperatures[fold, inner]
        nested[rows] = probabilities(out_of_fold(place)[inner][:, rows].T, temperature)
    by_stage = {}
    for index, candidate in enumerate(choices):
        if len(candidate.stages) == 1:
            picks = _nested(task, trials, [index], choices, folds, count)
            settings = np.array([pick for _, pick in picks])[folds]
            by_stage[candidate.stages[0]] = trials[index].correct[settings, np.arange(len(y))]
    return Selection(
        candidate=choices[chosen],
        setting=family.settings[setting],
        temperature=task.temperature(out_of_fold(chosen)[setting]),
        folds=count,
        probabilities=nested,
        correct_by_stage=by_stage,
    )


def _workers(task: _Task, choices: Sequence[Candidate]) -> int:
    """How many candidates to try at a time: one a core, as long as they fit into `_MEMORY`."""
    widest = max(map(task.width, choices))
    # Measured peaks: five copies of the features, eight of the logits of all settings.
    numbers: int = len(task.y) * (5 * widest + 8 * len(task.family.settings) * task.classes)
    return max(1, min(cores(), _MEMORY // (4 * numbers + softmax.MEMORY)))


def _side_by_side(
    attempt: Callable[[Candidate], _Trial],
    choices: Sequence[Candidate],
    width: Callable[[Candidate], int],
    workers: int,
    progress: Progress | None,
) -> list[_Trial]:
    """Several candidates at a time, the widest first, each on its share of the cores.

    The matrices are small: threads inside each product would mostly wait for each other, and on a
    busy machine for the scheduler (measured: 5 times slower).
    """
    threads = max(1, cores() // workers)
    with threadpool_limits(threads, user_api="blas"), ThreadPoolExecutor(workers) as pool:
        first = sorted(choices, key=width, reverse=True)
        waiting = {candidate: pool.submit(attempt, candidate) for candidate in first}
        try:
            for done, _ in enumerate(as_completed(waiting.values())):
                if progress:
                    progress(done + 1, len(choices))
            return [waiting[candidate].result() for candidate in choices]
        except BaseException:  # Ctrl-C too: nobody waits for what is not begun
            pool.shutdown(wait=False, cancel_futures=True)
            raise


@dataclass(frozen=True, slots=True)
class _Task:
    """What all candidates have in common; see `select`."""

    values: Mapping[str, Floats]
    y: Labels
    family: HeadFamily
    classes: int
    row_weights: Floats

    def width(self, candidate: Candidate) -> int:
        """Features of a candidate."""
        return sum(self.values[stage].shape[1] for stage in candidate.stages)

    def held_out(self, candidate: Candidate, out: Sequence[np.ndarray]) -> list[Floats]:
        """Logits (G, K, n) for the rows at each mask (N,), by heads trained on the others."""
        return self.family.held_out(
            candidate.gather(self.values),
            self.y,
            np.stack([self.row_weights * ~rows for rows in out]),
            classes=self.classes,
            blocks=[self.values[stage].shape[1] for stage in candidate.stages],
        )

    def temperature(self, logits: Floats) -> float:
        """Of logits (K, N) out of fold."""
        return float(fit_temperatures(logits[None], self.y, self.row_weights)[0])

    def joined(self, parts: Sequence[tuple[np.ndarray, Floats]]) -> Floats:
        """(G, K, N) of logits that are known for the rows at some masks."""
        logits = np.zeros((len(self.family.settings), self.classes, len(self.y)), np.float32)
        for rows, score in parts:
            logits[:, :, rows] = score
        return logits

    def out_of_fold(self, candidate: Candidate, folds: Labels, count: int) -> Floats:
        """(G, K, N), each row by heads that have not seen its fold."""
        out = [folds == fold for fold in range(count)]
        return self.joined(list(zip(out, self.held_out(candidate, out), strict=True)))


@dataclass(frozen=True, slots=True)
class _Trial:
    """One candidate under all settings.

    Attributes:
        losses: (G, N) calibrated out-of-fold losses.
        correct: (G, N) whether the out-of-fold prediction is right.
        inner: K arrays (G, N), losses of models that saw neither the image nor outer fold k; in
            the columns of fold k itself there is no such loss and the number is 0.
        temperatures: (K, G) fitted on those.
        logits: (G, K, N) out of fold, unless all together would be too large.
    """

    losses: Floats
    correct: np.ndarray
    inner: list[Floats]
    temperatures: Doubles
    logits: Floats | None


def _try(task: _Task, candidate: Candidate, folds: Labels, count: int, *, keep: bool) -> _Trial:
    single = [folds == fold for fold in range(count)]
    pairs = list(combinations(range(count), 2))
    scores = task.held_out(candidate, [*single, *(single[j] | single[k] for j, k in pairs)])
    logits = task.joined(list(zip(single, scores[:count], strict=True)))
    inner, temperatures = [], []
    for outer in range(count):
        parts = []
        for (j, k), score in zip(pairs, scores[count:], strict=True):
            if outer in (j, k):
                tested = single[k if j == outer else j]
                parts.append((tested, score[:, :, tested[single[j] | single[k]]]))
        rest = ~single[outer]
        losses = np.zeros((len(logits), len(folds)), np.float32)
        seen = task.joined(parts)[:, :, rest]
        losses[:, rest], fitted = calibrate(seen, task.y[rest], task.row_weights[rest])
        inner.append(losses)
        temperatures.append(fitted)
    losses, _ = calibrate(logits, task.y, task.row_weights)
    correct = logits.argmax(1) == task.y
    return _Trial(losses, correct, inner, np.stack(temperatures), logits if keep else None)


def _nested(
    task: _Task,
    trials: Sequence[_Trial],
    allowed: Sequence[int],
    choices: Sequence[Candidate],
    folds: Labels,
    count: int,
) -> list[tuple[int, int]]:
    """For each fold the candidate and the setting, chosen without it."""
    picks = []
    for outer in range(count):
        rest = folds != outer
        losses = [trials[index].inner[outer][:, rest] for index in allowed]
        picks.append(_choose(losses, allowed, choices, task.row_weights[rest]))
    return picks


def _choose(
    losses: Sequence[Floats],
    allowed: Sequence[int],
    choices: Sequence[Candidate],
    weights: Floats,
) -> tuple[int, int]:
    """The rule of the module's docstring: index of the candidate, index of the setting."""
    table = np.stack(losses)  # (C, G, n)
    share = weights.astype(np.float64) / weights.sum()
    means = table @ share
    best = np.unravel_index(means.argmin(), means.shape)
    difference = table - table[best]
    gap = difference @ share
    error = np.sqrt(np.square(difference - gap[..., None]) @ np.square(share))
    tied = np.argwhere(gap <= error)
    place, setting = min(
        tied.tolist(),
        key=lambda tie: (
            -choices[allowed[tie[0]]].depth,
            len(choices[allowed[tie[0]]].stages),
            tie[1],
        ),
    )
    return allowed[place], setting


def _unchosen(task: _Task, folds: Labels | None, candidate: Candidate) -> Selection:
    """Too few images to choose by: the default, estimated where even two folds can be had."""
    chosen = Selection(
        candidate=candidate,
        setting=task.family.settings[task.family.default],
        temperature=1.0,
        folds=0,
        probabilities=None,
        correct_by_stage={},
    )
    if folds is None:
        return chosen
    count = int(folds.max()) + 1
    logits = task.out_of_fold(candidate, folds, count)[task.family.default]
    nested = np.empty((len(folds), task.classes), np.float32)
    for fold in range(count):
        rows = folds == fold
        (temperature,) = fit_temperatures(
            logits[None, :, ~rows], task.y[~rows], task.row_weights[~rows]
        )
        nested[rows] = probabilities(logits[:, rows].T, temperature)
    return replace(chosen, temperature=task.temperature(logits), folds=count, probabilities=nested)
