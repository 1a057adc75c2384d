"""Choose the stages and the setting of a head by cross-validation.

Cross-validation is nested: no choice is evaluated on images that influenced it; see
`headstart.heads.trials`.

Candidates are compared by each image's negative log-likelihood after temperature scaling. Those not
worse than the best by more than one standard error of the paired difference (Breiman et al. 1984;
another number of them if the family says so) are tied; among them the deepest stage is chosen, then
the fewest stages, then the strongest regularization. Measurements are in
docs/decisions/0003-stage-selection.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from headstart.heads.calibration import fit_temperatures, probabilities
from headstart.heads.candidates import Candidate, deepest
from headstart.heads.selection_problem import SelectionProblem
from headstart.heads.trials import Trial, paired_gap, try_candidates
from headstart.system.machine import one_blas_thread
from headstart.types import Floats, Labels, ProgressCallback, no_progress

MAX_FOLDS = 5
MIN_FOLDS = 3
_FOLD_BUDGET = 1_500
"""Maximum of images times classes for five folds; above it, three are used."""
_MIN_IMAGES = 30
"""With fewer images the choice of a stage would be left to chance, so the deepest is used."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The chosen stages and setting, and their accuracy on images not used for training.

    Attributes:
        candidate: the stages that the head uses.
        setting: setting of the head's family.
        temperature: temperature of the calibration.
        folds: number of folds; 0 where nothing could be held out.
        probabilities: (N, K) class probabilities, with head, choice and temperature independent of
            the image's fold; None if `folds` is 0. With two folds there is no choice, and the
            temperature is fitted on logits of a head that was trained on the image.
        correct_by_stage: (N,) bool for each single stage: whether a head on it predicts each image
            correctly, with its setting chosen in the same way.
        fold_by_image: (N,) fold in which each image was held out; None if `folds` is 0.
        head: name of the head's family.
    """

    candidate: Candidate
    setting: float
    temperature: float = 1.0
    folds: int = 0
    probabilities: Floats | None = None
    correct_by_stage: Mapping[str, np.ndarray] = field(default_factory=dict)
    fold_by_image: Labels | None = None
    head: str = "logistic"


def fold_count(y: Labels, *, classes: int, keys: Sequence[str] = ()) -> int:
    """Return the number of cross-validation folds for these labels.

    Args:
        y: (N,) labels in [0, classes).
        classes: number of classes.
        keys: N strings, equal for the images of a series; by default there are no series.

    Returns:
        0 if no class has two images (or two series); 2 if nested cross-validation is impossible;
        else 3 to 5.
    """
    sizes = np.bincount(y, minlength=classes)
    if len(set(keys)) < len(keys):
        labels = [label for label, _ in set(zip(y.tolist(), keys, strict=True))]
        sizes = np.bincount(labels, minlength=classes)
    if sizes.max(initial=0) < 2:
        return 0
    wanted = MAX_FOLDS if len(y) * classes <= _FOLD_BUDGET else MIN_FOLDS
    return max(2, min(wanted, int(np.median(sizes))))


def select(
    problem: SelectionProblem,
    choices: Sequence[Candidate],
    *,
    progress: ProgressCallback = no_progress,
) -> Selection:
    """Choose among one or more candidates, and estimate the accuracy of the choice.

    With too few images to choose, the deepest single stage among the candidates is used. `progress`
    is called with (done, total) candidates.
    """
    default = deepest(choices)
    if not problem.single:
        return Selection(default, problem.family.settings[problem.family.default])
    if len(problem.single) < MIN_FOLDS:
        return _without_choice(problem, default)
    with one_blas_thread():
        trials = {
            place: trial
            for place, trial in enumerate(try_candidates(problem, choices, progress=progress))
            if trial
        }
        return _choose_and_estimate(problem, trials, choices, default)


def _choose_and_estimate(
    problem: SelectionProblem,
    trials: Mapping[int, Trial],
    choices: Sequence[Candidate],
    default: Candidate,
) -> Selection:
    """Choose on all images, and again for each fold without it."""
    y, allowed = problem.y, trials
    if len(y) < _MIN_IMAGES:
        allowed = {choices.index(default): trials[choices.index(default)]}
    losses = [trial.losses for trial in allowed.values()]
    chosen, row = _choose(
        losses,
        list(allowed),
        choices,
        problem.row_weights,
        problem.clusters,
        caution=problem.family.caution,
    )

    @cache
    def out_of_fold(place: int) -> Floats:
        kept = trials[place].logits
        return problem.out_of_fold(choices[place], trials[place].settings) if kept is None else kept

    nested = np.empty((len(y), problem.classes), np.float32)
    for fold, (place, inner) in enumerate(_nested_choices(problem, allowed, choices)):
        rows = problem.single[fold]
        temperature = trials[place].temperatures[fold, inner]
        nested[rows] = probabilities(out_of_fold(place)[inner][:, rows].T, temperature)
    by_stage = {}
    for place, trial in trials.items():
        if len(choices[place].stages) == 1:
            own = _nested_choices(problem, {place: trial}, choices)
            inner_rows = np.array([inner for _, inner in own])
            correct = trial.correct[inner_rows[problem.folds], np.arange(len(y))]
            by_stage[choices[place].stages[0]] = correct
    return Selection(
        candidate=choices[chosen],
        setting=problem.family.settings[trials[chosen].settings[row]],
        temperature=problem.temperature(out_of_fold(chosen)[row]),
        folds=len(problem.single),
        probabilities=nested,
        correct_by_stage=by_stage,
    )


def _nested_choices(
    problem: SelectionProblem, trials: Mapping[int, Trial], choices: Sequence[Candidate]
) -> list[tuple[int, int]]:
    """Return, for each fold, the candidate and setting (row in its trial) chosen without it."""
    picks = []
    for outer, tested in enumerate(problem.single):
        active = {place: np.flatnonzero(trial.active[outer]) for place, trial in trials.items()}
        losses = [trials[place].inner[outer][rows][:, ~tested] for place, rows in active.items()]
        weighting = problem.row_weights[~tested], problem.clusters_at(~tested)
        caution = problem.family.caution
        place, row = _choose(losses, list(active), choices, *weighting, caution=caution)
        picks.append((place, int(active[place][row])))
    return picks


def _choose(
    losses: Sequence[Floats],
    allowed: Sequence[int],
    choices: Sequence[Candidate],
    weights: Floats,
    clusters: Labels | None = None,
    *,
    caution: float = 1.0,
) -> tuple[int, int]:
    """Return the candidate, and the row of its losses (G, n), that the module's rule chooses."""
    options = [
        (place, row)
        for place, rows in zip(allowed, losses, strict=True)
        for row in range(len(rows))
    ]
    gap, error = paired_gap(np.concatenate(losses), weights, clusters)
    tied = [option for option, tie in zip(options, gap <= caution * error, strict=True) if tie]
    return min(tied, key=lambda one: (-choices[one[0]].depth, len(choices[one[0]].stages), one[1]))


def _without_choice(problem: SelectionProblem, candidate: Candidate) -> Selection:
    """Estimate the accuracy of the default candidate on two folds, too few for a choice."""
    default = problem.family.default
    logits = problem.out_of_fold(candidate, np.array([default]))[0]
    nested = np.empty((len(problem.y), problem.classes), np.float32)
    for rows in problem.single:
        (temperature,) = fit_temperatures(
            logits[None, :, ~rows], problem.y[~rows], problem.row_weights[~rows]
        )
        nested[rows] = probabilities(logits[:, rows].T, temperature)
    return Selection(
        candidate=candidate,
        setting=problem.family.settings[default],
        temperature=problem.temperature(logits),
        folds=len(problem.single),
        probabilities=nested,
    )
