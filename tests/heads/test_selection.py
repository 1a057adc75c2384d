"""The choice of stage and setting, and that its estimate is honest."""

from dataclasses import dataclass

import numpy as np
import pytest

from headstart.heads import selection, trials
from headstart.heads.candidates import Candidate, candidates
from headstart.heads.centroid import CentroidFamily
from headstart.heads.families import FAMILIES
from headstart.heads.head import LabeledFeatures
from headstart.heads.logistic import LinearHead, LogisticFamily
from headstart.heads.selection import fold_count, select
from headstart.heads.selection_problem import SelectionProblem
from tests.heads.samples import blobs, noise

KINDS = list(FAMILIES)
LOGISTIC = FAMILIES["logistic"]
CENTROID = FAMILIES["centroid"]


def chosen_from(values, y, folds, *, family=LOGISTIC, choices=None, **more):
    """`select` among every stage alone."""
    if choices is None:
        choices = [Candidate((name,), depth) for depth, name in enumerate(values)]
    classes = int(y.max()) + 1
    ones = np.ones(len(y), np.float32)
    return select(SelectionProblem(values, y, family, classes, ones, folds), choices, **more)


@pytest.mark.parametrize(
    ("sizes", "folds"),
    [
        ([1, 1], 0),
        ([1, 1, 1, 1], 0),
        ([2, 1], 2),
        ([1, 1, 1, 9], 2),
        ([2, 2], 2),
        ([3, 3], 3),
        ([3, 4, 2], 3),
        ([4, 4], 4),
        ([5, 5], 5),
        ([9, 9, 9], 5),
        ([375, 375], 5),
        ([376, 375], 3),
        ([15] * 10, 5),
        ([16] * 10, 3),
        ([20] * 37, 3),
        ([2] * 1000, 2),
    ],
)
def test_fold_count(sizes, folds):
    y = np.repeat(np.arange(len(sizes)), sizes)
    assert fold_count(y, classes=len(sizes)) == folds


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_informative_stage_is_chosen_over_noise(kind, place):
    X, y = blobs(90, 8, 3, apart=1.5)
    values = noise(3, 90)
    values[f"s{place}"] = X
    selection = chosen_from(values, y, np.arange(90) % 3, family=FAMILIES[kind])
    assert selection.candidate == Candidate((f"s{place}",), place)
    assert selection.setting in FAMILIES[kind].settings
    assert selection.folds == 3
    assert right(selection, y).mean() > 0.9
    assert selection.correct_by_stage[f"s{place}"].mean() > 0.9
    assert all(
        correct.mean() < 0.6
        for stage, correct in selection.correct_by_stage.items()
        if stage != f"s{place}"
    )


def test_ties_go_to_the_deepest_stage_and_then_to_the_fewest_stages():
    X, y = blobs(60, 8, 3)
    values = {"a": X, "b": X, "c": X}
    choices = candidates({"a": 8, "b": 8, "c": 8})
    chosen = chosen_from(values, y, np.arange(60) % 3, choices=choices)
    assert chosen.candidate == Candidate(("c",), 2)
    chosen = chosen_from(values, y, np.arange(60) % 3, choices=choices[::-1])
    assert chosen.candidate == Candidate(("c",), 2)


def test_ties_between_settings_go_to_the_most_cautious():
    losses = np.ones((1, 4, 9), np.float32)
    assert selection._choose([losses[0]], [0], [Candidate(("a",), 0)], np.ones(9)) == (0, 0)


def test_a_difference_within_one_standard_error_is_a_tie():
    rng = np.random.default_rng(0)
    losses = rng.normal(size=(2, 1, 100)).astype(np.float32)
    deep, shallow = Candidate(("deep",), 1), Candidate(("shallow",), 0)
    gap = losses[1, 0] - losses[0, 0]
    error = gap.std() / 10
    for errors, expected in [(0.9, 1), (1.1, 0)]:
        # The deep one is second by so many standard errors.
        moved = losses.copy()
        moved[1] += errors * error - gap.mean()
        assert selection._choose(list(moved), [0, 1], [shallow, deep], np.ones(100))[0] == expected


def test_choices_of_noise_among_noise_are_estimated_at_chance():
    """The best of many looks good on what chose it; nested, it does not."""
    naive, nested = [], []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        values = noise(40, 60, width=2, seed=seed)
        y = rng.permutation(np.arange(60) % 2)
        found = chosen_from(values, y, np.arange(60) % 3, family=CENTROID)
        nested.append(right(found, y).mean())
        naive.append(max(correct.mean() for correct in found.correct_by_stage.values()))
    # 480 images: a standard deviation is 0.023.
    assert 0.5 - 0.1 < np.mean(nested) < 0.5 + 0.06
    assert np.mean(naive) > 0.6


def right(found, y):
    """Whether each image is predicted right by the nested cross-validation."""
    return found.probabilities.argmax(1) == y


def trials_of(values, y, folds, family, monkeypatch):
    """What `select` learns of its candidates, by spying on the choice it makes for each fold."""
    seen = []
    choose = selection._choose

    def spy(losses, *further, **options):
        seen.append((np.stack(losses), choose(losses, *further, **options)))
        return seen[-1][1]

    monkeypatch.setattr(selection, "_choose", spy)
    chosen_from(values, y, folds, family=family)
    monkeypatch.setattr(selection, "_choose", choose)
    count = int(folds.max()) + 1
    # The first choice is on all folds, the next one for each outer fold.
    return seen[1 : 1 + count]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [3, 4])
def test_labels_of_a_fold_do_not_move_the_choice_that_it_tests(kind, count, monkeypatch):
    rng = np.random.default_rng(0)
    folds = np.arange(48) % count
    y = rng.permutation(np.arange(48) % 3)
    values = {**noise(2, 48), "real": blobs(48, 8, 3, seed=1)[0]}
    before = trials_of(values, y, folds, FAMILIES[kind], monkeypatch)
    for fold in range(count):
        other = np.where(folds == fold, (y + 1) % 3, y)
        after = trials_of(values, other, folds, FAMILIES[kind], monkeypatch)
        (losses, choice), (losses_after, choice_after) = before[fold], after[fold]
        assert losses.shape == (3, len(FAMILIES[kind].settings), (folds != fold).sum())
        assert choice_after == choice
        # Not by luck: the numbers it was made of are the same, but for the order of summation.
        np.testing.assert_allclose(losses_after, losses, rtol=1e-3, atol=1e-3)
        # And the other folds' choices did see the change.
        assert any(
            np.abs(after[k][0] - before[k][0]).max() > 0.1 for k in range(count) if k != fold
        )


@dataclass(frozen=True)
class Recorder(CentroidFamily):
    """Notes which rows each head was trained on and tested with."""

    asked: list = None

    def held_out(self, data, weights, settings=None):
        self.asked.append(weights > 0)
        return super().held_out(data, weights, settings)


def test_each_candidate_takes_one_fit_a_fold_and_one_a_pair(monkeypatch):
    monkeypatch.setattr(trials, "_LOGITS_MEMORY", 0)
    X, y = blobs(40, 4, 2)
    recorder = Recorder(asked=[])
    folds = np.arange(40) % 4
    chosen_from({"a": X, "b": X}, y, folds, family=recorder)
    *tried, last = recorder.asked
    assert [len(rows) for rows in tried] == [4 + 6] * 2
    assert [set(folds[~row]) for row in tried[0]] == [
        {0}, {1}, {2}, {3}, {0, 1}, {0, 2}, {0, 3}, {1, 2}, {1, 3}, {2, 3},
    ]  # fmt: skip
    assert [set(folds[~row]) for row in last] == [{0}, {1}, {2}, {3}]


def test_logits_that_are_too_many_to_keep_are_solved_again_and_are_the_same(monkeypatch):
    X, y = blobs(60, 8, 3, apart=0.5)
    values, folds = {"a": X[:, :4], "b": X}, np.arange(60) % 3
    recorder = Recorder(asked=[])
    chosen_from(values, y, folds, family=recorder)
    assert len(recorder.asked) == 2  # each candidate once, and nothing at the end
    kept = chosen_from(values, y, folds)
    monkeypatch.setattr(trials, "_LOGITS_MEMORY", 0)
    again = chosen_from(values, y, folds)
    assert (again.candidate, again.setting) == (kept.candidate, kept.setting)
    assert again.temperature == pytest.approx(kept.temperature, rel=1e-2)
    np.testing.assert_allclose(again.probabilities, kept.probabilities, atol=5e-3)


def test_out_of_fold_logits_are_those_of_heads_that_never_saw_the_image():
    X, y = blobs(60, 8, 3, apart=0.5)
    folds = np.arange(60) % 3
    family = LogisticFamily(settings=(0.1,), default=0)
    found = chosen_from({"a": X}, y, folds, family=family)
    for fold in range(3):
        kept = (folds != fold).astype(np.float32)
        head = family.fit(LabeledFeatures(X, y, 3, [8]), kept, found.setting)
        assert isinstance(head, LinearHead)
        rest = folds == fold
        # The temperature is of the inner folds: the order of the classes is the head's.
        agree = found.probabilities[rest].argmax(1) == head.logits(X[rest]).argmax(1)
        assert agree.all()
    assert found.probabilities.shape == (60, 3)
    np.testing.assert_allclose(found.probabilities.sum(1), 1, rtol=1e-5)


def test_without_folds_the_default_is_taken_and_nothing_is_claimed():
    X, y = blobs(3, 8, 3)
    found = chosen_from({"a": X, "b": X}, y, None, choices=candidates({"a": 8, "b": 8}))
    assert found.candidate == Candidate(("b",), 1)
    assert found.setting == LOGISTIC.settings[LOGISTIC.default]
    assert (found.temperature, found.folds) == (1.0, 0)
    assert found.probabilities is None
    assert found.correct_by_stage == {}


@pytest.mark.parametrize("kind", KINDS)
def test_two_images_a_class_are_estimated_and_not_chosen_by(kind):
    X, y = blobs(6, 30, 3, apart=3)
    y = np.sort(y)
    X = blobs(6, 30, 3, apart=3)[0][np.argsort(blobs(6, 30, 3, apart=3)[1], kind="stable")]
    family = FAMILIES[kind]
    found = chosen_from({"a": X, "b": X}, y, np.arange(6) % 2, family=family)
    assert found.candidate == Candidate(("b",), 1)
    assert found.setting == family.settings[family.default]
    assert found.folds == 2
    assert found.probabilities.shape == (6, 3)
    assert right(found, y).mean() > 0.6
    assert 1 / 50 <= found.temperature <= 50


@pytest.mark.parametrize("kind", KINDS)
def test_classes_of_very_different_sizes_work(kind):
    X, y = blobs(60, 8, 2)
    y = np.where(np.arange(60) < 3, 1, 0)
    y[3] = 2  # a single image: wherever it is tested, its class is unknown
    found = chosen_from({"a": X, "b": X}, y, np.arange(60) % 3, family=FAMILIES[kind])
    assert not right(found, y)[3]
    assert np.isfinite(found.probabilities).all()


def test_what_lost_the_race_for_a_fold_is_not_chosen_for_it():
    y, ones = np.arange(6) % 2, np.ones(6, np.float32)
    task = SelectionProblem(noise(1, 6), y, LOGISTIC, 2, ones, np.arange(6) % 3)
    losses = np.repeat(np.float32([[1], [0]]), 6, axis=1)
    trial = trials.Trial(
        settings=np.arange(2),
        active=np.array([[1, 0], [1, 1], [1, 1]], bool),
        losses=losses,
        correct=losses == 0,
        inner=[losses] * 3,
        temperatures=np.ones((3, 2)),
        logits=None,
    )
    picks = selection._nested_choices(task, {0: trial}, [Candidate(("s0",), 0)])
    assert picks == [(0, 0), (0, 1), (0, 1)]


def test_progress_counts_the_candidates():
    X, y = blobs(30, 4, 2)
    seen = []
    values = dict.fromkeys("abcd", X)
    chosen_from(values, y, np.arange(30) % 3, progress=lambda *at: seen.append(at))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_call_gives_the_same_bits(kind):
    X, y = blobs(60, 8, 3, apart=0.3)
    values = {**noise(3, 60), "x": X}
    first, second = (
        chosen_from(values, y, np.arange(60) % 3, family=FAMILIES[kind]) for _ in range(2)
    )
    assert first.candidate == second.candidate
    assert (first.setting, first.temperature) == (second.setting, second.temperature)
    assert first.probabilities.tobytes() == second.probabilities.tobytes()


def test_an_error_in_one_candidate_is_raised():
    X, y = blobs(30, 4, 2)
    broken = [Candidate(("a",), 0), Candidate(("a", "missing"), 1)]
    with pytest.raises(KeyError, match="missing"):
        chosen_from({"a": X}, y, np.arange(30) % 3, choices=broken)


def test_weights_say_what_each_image_counts_for_in_the_choice():
    choices = [Candidate(("a",), 0), Candidate(("b",), 0)]
    many_better, few_better = np.full(100, 0.5), np.full(100, 0.6)
    many_better[90:], few_better[90:] = 3.0, 0.1  # the last ten are a class of their own
    losses = [many_better[None].astype(np.float32), few_better[None].astype(np.float32)]
    alike = np.where(np.arange(100) < 90, 1, 0.01)
    equal = np.where(np.arange(100) < 90, 100 / 180, 5.0)
    assert selection._choose(losses, [0, 1], choices, alike)[0] == 0
    assert selection._choose(losses, [0, 1], choices, equal)[0] == 1
