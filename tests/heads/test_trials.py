"""The race among candidates: it saves time and changes nothing."""

from dataclasses import replace

import numpy as np
import pytest

from headstart.heads import trials
from headstart.heads.candidates import Candidate, candidates
from headstart.heads.families import FAMILIES
from headstart.heads.selection import select
from headstart.heads.selection_problem import SelectionProblem
from headstart.heads.trials import paired_gap, try_candidates
from tests.heads.samples import blobs, noise

LOGISTIC = FAMILIES["logistic"]
KINDS = list(FAMILIES)


def task_of(values, y, count=3, kind="logistic"):
    ones = np.ones(len(y), np.float32)
    return SelectionProblem(
        values, y, FAMILIES[kind], int(y.max()) + 1, ones, np.arange(len(y)) % count
    )


def two_good_stages(images=600, width=8, apart=1.0):
    """Noise, a stage that tells much, a deeper one that tells a little, and what goes with both."""
    X, y = blobs(images, width, 3, apart=apart)
    rng = np.random.default_rng(1)
    weak = X + rng.normal(size=X.shape).astype(np.float32) * 3 * X.std(0)
    values = {**noise(1, images), "good": X, "weak": weak}
    return values, y, candidates(dict.fromkeys(values, 8))


def test_every_fold_is_in_one_of_the_first_pairs():
    task = task_of(noise(1, 450), np.arange(450) % 2)
    assert {fold for pair in task.first_pairs for fold in pair} == {0, 1, 2}
    assert set(task.first_pairs) < set(task.pairs)


@pytest.mark.parametrize(("images", "count"), [(447, 3), (300, 2), (750, 5)])
def test_small_folds_and_other_numbers_of_folds_do_not_race(images, count):
    assert task_of(noise(1, images), np.arange(images) % 2, count).first_pairs == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kept", [0, 2**30])
def test_the_race_changes_nothing_but_the_time(kind, kept, monkeypatch):
    values, y, choices = two_good_stages()
    found = {}
    monkeypatch.setattr(trials, "_LOGITS_MEMORY", kept)
    for beaten in (4.0, 1e9):
        monkeypatch.setattr(trials, "_ELIMINATED", beaten)
        found[beaten] = select(task_of(values, y, kind=kind), choices)
    raced, full = found.values()
    assert (raced.candidate, raced.setting) == (full.candidate, full.setting)
    np.testing.assert_allclose(raced.temperature, full.temperature, rtol=2e-2)
    np.testing.assert_allclose(raced.probabilities, full.probabilities, atol=1e-2)
    for stage, correct in full.correct_by_stage.items():
        assert (correct == raced.correct_by_stage[stage]).mean() > 0.99


def test_what_is_clearly_beaten_is_not_run_to_the_end():
    values, y, choices = two_good_stages(width=80, apart=0.2)
    asked = []

    class Counted(type(LOGISTIC)):  # type: ignore[misc]
        def held_out(self, data, weights, settings=None):
            asked.append((data.X.shape[1], len(weights), len(settings)))
            return super().held_out(data, weights, settings)

    task = replace(task_of(values, y), family=Counted())
    tried = try_candidates(task, choices)
    every = len(LOGISTIC.settings)
    opened = [entry for entry in asked if entry[1:] == (2, every)]
    assert len(opened) == len(choices)
    finished = [entry for entry in asked if entry[1] == 4]  # three folds and the third pair
    assert len(finished) + len(opened) == len(asked)
    assert sum(entry[2] for entry in finished) < len(choices) * every
    # A stage alone is reported, however bad it is: its best setting always stands.
    for candidate, trial in zip(choices, tried, strict=True):
        assert trial is not None or len(candidate.stages) > 1
        if trial:
            assert trial.active.any(0).all()
            assert trial.losses.shape == (len(trial.settings), len(y))


def test_a_combination_that_is_beaten_has_no_trial():
    X, y = blobs(600, 8, 2, apart=1.0)
    values = {**noise(2, 600), "good": X}
    choices = [Candidate(("s0", "s1"), 1), Candidate(("good",), 2), Candidate(("s0",), 0)]
    tried = try_candidates(task_of(values, y), choices)
    assert [trial is None for trial in tried] == [True, False, False]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_labels_of_a_fold_do_not_move_the_race_for_it(kind):
    values, y, choices = two_good_stages(images=510)
    task = task_of(values, y, kind=kind)
    before = try_candidates(task, choices)
    moved = False
    for fold in range(3):
        other = np.where(task.folds == fold, (y + 1) % 3, y)
        for old, new in zip(before, try_candidates(replace(task, y=other), choices), strict=True):
            stood = [set(), set()]
            for names, trial in zip(stood, (old, new), strict=True):
                if trial:
                    names.update(trial.settings[trial.active[fold]].tolist())
                    moved |= trial is new and not np.array_equal(old and old.active, new.active)
            assert stood[0] == stood[1]
            if old and new:
                rows = [np.flatnonzero(np.isin(one.settings, list(stood[0]))) for one in (old, new)]
                np.testing.assert_allclose(
                    new.inner[fold][rows[1]], old.inner[fold][rows[0]], rtol=2e-2, atol=2e-2
                )
    if kind != "centroid":  # it has one setting
        assert moved  # the races of the other folds did see the change


def test_progress_counts_the_race_too():
    values, y, choices = two_good_stages()
    seen = []
    try_candidates(task_of(values, y), choices, progress=lambda *at: seen.append(at))
    assert seen == [(done, 12) for done in range(1, 13)]


def test_the_standard_error_is_that_of_the_paired_difference():
    rng = np.random.default_rng(0)
    table = rng.normal(size=(3, 50)).astype(np.float32)
    gap, error = paired_gap(table, np.ones(50, np.float32))
    best = table.mean(1).argmin()
    difference = table - table[best]
    np.testing.assert_allclose(gap, difference.mean(1), rtol=1e-5)
    np.testing.assert_allclose(error, difference.std(1) / np.sqrt(50), rtol=1e-5)
    assert gap[best] == error[best] == 0
    # Weights count as so many copies of an image.
    weights = rng.integers(1, 4, 50).astype(np.float32)
    again, _ = paired_gap(
        np.repeat(table, weights.astype(int), axis=1), np.ones(int(weights.sum()))
    )
    np.testing.assert_allclose(paired_gap(table, weights)[0], again, rtol=1e-5)


@pytest.mark.parametrize(
    ("images", "width", "classes", "workers"),
    [(500, 1280, 10, 64), (20_000, 1280, 37, 6), (1_000_000, 1280, 37, 1)],
)
def test_as_many_candidates_at_a_time_as_memory_allows(
    images, width, classes, workers, monkeypatch
):
    monkeypatch.setattr(trials, "cores", lambda: 64)
    values = {"a": np.broadcast_to(np.float32(0), (images, width))}
    y = np.broadcast_to(0, images)
    task = SelectionProblem(values, y, LOGISTIC, classes, y, y)
    assert trials._workers(task, [Candidate(("a",), 0)]) == workers


def test_errors_of_series_are_those_of_their_sums():
    rng = np.random.default_rng(3)
    losses = rng.random((4, 60)).astype(np.float32)
    ones = np.ones(60, np.float32)
    gap, error = paired_gap(losses, ones)
    alone = paired_gap(losses, ones, rng.permutation(60))
    assert np.allclose(alone[0], gap)
    assert np.allclose(alone[1], error, rtol=1e-5)
    # Five copies of each image: no more is known than from one, with its weight.
    copies = paired_gap(np.tile(losses, 5), np.tile(ones, 5), np.tile(np.arange(60), 5))
    assert np.allclose(copies[1], error, rtol=1e-4)
    assert np.all(paired_gap(np.tile(losses, 5), np.tile(ones, 5))[1][1:] <= error[1:] / 2 + 1e-9)
