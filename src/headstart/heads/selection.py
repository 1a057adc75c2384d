"""Where the head grows and how strongly it is held back, chosen by cross-validation.

Nothing is scored on what selected it: see `headstart.heads.trials`.

The rule (docs/decisions/0003-graft-point.md has the measurements): the score is each image's
negative log-likelihood after temperature scaling. All candidates that are not worse than the best
by more than one standard error of the paired difference (Breiman et al. 1984) are tied; of those
the deepest stage wins, then the fewest stages, then the strongest regularization.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from headstart.heads.calibration import fit_temperatures, probabilities
from headstart.heads.candidates import Candidate
from headstart.heads.head import HeadFamily
from headstart.heads.trials import SelectionProblem, Trial, behind, try_all
from headstart.types import Floats, Labels, ProgressCallback

MAX_FOLDS = 5
MIN_FOLDS = 3
_FOLD_BUDGET = 1_500
"""Images times classes up to which five folds are worth their time; above, three."""
_ENOUGH = 30
"""Images below which chance would choose the stage: the deepest is taken."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What was chosen, and how well it does on images that it was not trained on.

    Attributes:
        candidate: the stages.
        setting: of the head's family.
        temperature: of the calibration.
        folds: how many; 0 where nothing could be held out.
        probabilities: (N, K) of each image, by a head, a choice and a temperature that have not
            seen its fold; None where `folds` is 0. With two folds there is no choice, and the
            logits that the temperature is fitted on come from a head that has seen it.
        correct_by_stage: (N,) bool, whether a head on each single stage alone is right, its
            setting chosen in the same way.
    """

    candidate: Candidate
    setting: float
    temperature: float
    folds: int
    probabilities: Floats | None
    correct_by_stage: Mapping[str, np.ndarray]


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
    progress: ProgressCallback | None = None,
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
    default = max(choices, key=lambda choice: (choice.depth, -len(choice.stages)))
    if folds is None:
        return Selection(
            candidate=default,
            setting=family.settings[family.default],
            temperature=1.0,
            folds=0,
            probabilities=None,
            correct_by_stage={},
        )
    task = SelectionProblem(values, y, family, classes, row_weights, folds)
    count = len(task.single)
    if count < MIN_FOLDS:
        return _unchosen(task, default)

    trials = try_all(task, choices, progress=progress)
    run = {place: trial for place, trial in enumerate(trials) if trial}
    allowed = run if len(y) >= _ENOUGH else {choices.index(default): run[choices.index(default)]}
    losses = [trial.losses for trial in allowed.values()]
    chosen, row = _choose(losses, list(allowed), choices, row_weights)
    nested = np.empty((len(y), classes), np.float32)

    @cache
    def out_of_fold(place: int) -> Floats:
        kept = run[place].logits
        return task.out_of_fold(choices[place], run[place].settings) if kept is None else kept

    for fold, (place, inner) in enumerate(_nested(task, allowed, choices)):
        rows = task.single[fold]
        temperature = run[place].temperatures[fold, inner]
        nested[rows] = probabilities(out_of_fold(place)[inner][:, rows].T, temperature)
    by_stage = {}
    for place, trial in run.items():
        if len(choices[place].stages) == 1:
            picks = np.array([pick for _, pick in _nested(task, {place: trial}, choices)])
            by_stage[choices[place].stages[0]] = trial.correct[picks[folds], np.arange(len(y))]
    return Selection(
        candidate=choices[chosen],
        setting=family.settings[run[chosen].settings[row]],
        temperature=task.temperature(out_of_fold(chosen)[row]),
        folds=count,
        probabilities=nested,
        correct_by_stage=by_stage,
    )


def _nested(
    task: SelectionProblem, trials: Mapping[int, Trial], choices: Sequence[Candidate]
) -> list[tuple[int, int]]:
    """For each fold the candidate and its row in the trial, chosen without the fold."""
    picks = []
    for outer, tested in enumerate(task.single):
        standing = {place: np.flatnonzero(trial.standing[outer]) for place, trial in trials.items()}
        losses = [trials[place].inner[outer][rows][:, ~tested] for place, rows in standing.items()]
        place, row = _choose(losses, list(standing), choices, task.row_weights[~tested])
        picks.append((place, int(standing[place][row])))
    return picks


def _choose(
    losses: Sequence[Floats],
    allowed: Sequence[int],
    choices: Sequence[Candidate],
    weights: Floats,
) -> tuple[int, int]:
    """The rule of the module's docstring, on losses (G, n) of each candidate that is allowed.

    Returns:
        Index of the candidate, and the row among its losses.
    """
    arms = [
        (place, row)
        for place, rows in zip(allowed, losses, strict=True)
        for row in range(len(rows))
    ]
    gap, error = behind(np.concatenate(losses), weights)
    tied = [arm for arm, tie in zip(arms, gap <= error, strict=True) if tie]
    return min(tied, key=lambda arm: (-choices[arm[0]].depth, len(choices[arm[0]].stages), arm[1]))


def _unchosen(task: SelectionProblem, candidate: Candidate) -> Selection:
    """Too few images to choose by: the default, estimated on the two folds that can be had."""
    default = task.family.default
    logits = task.out_of_fold(candidate, np.array([default]))[0]
    nested = np.empty((len(task.y), task.classes), np.float32)
    for rows in task.single:
        (temperature,) = fit_temperatures(
            logits[None, :, ~rows], task.y[~rows], task.row_weights[~rows]
        )
        nested[rows] = probabilities(logits[:, rows].T, temperature)
    return Selection(
        candidate=candidate,
        setting=task.family.settings[default],
        temperature=task.temperature(logits),
        folds=len(task.single),
        probabilities=nested,
        correct_by_stage={},
    )
