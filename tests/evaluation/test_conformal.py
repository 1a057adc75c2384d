"""Prediction sets against crepes, by direct counting, and over 200 splits of real features."""

from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
from crepes import WrapClassifier
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.stats import betabinom
from sklearn.datasets import load_digits

from headstart.errors import DataError
from headstart.evaluation.conformal import CalibrationSet, Coverage, check_coverage
from headstart.heads.candidates import candidates
from headstart.heads.families import head_family
from headstart.heads.selection import select
from headstart.heads.selection_problem import SelectionProblem
from headstart.types import Floats, Labels
from tests.properties import examples

SPLITS = 200


def made_up(images: int, classes: int, seed: int) -> tuple[Floats, Labels]:
    """Probabilities that half precision holds exactly, and labels that agree with them at times."""
    rng = np.random.default_rng(seed)
    p = np.round(rng.dirichlet(np.full(classes, 0.5), images) * 1024) / 1024
    return p.astype(np.float32), np.array([rng.choice(classes, p=row / row.sum()) for row in p])


seeds = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize("by_class", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_p_values_are_those_of_crepes(seed: int, by_class: bool):
    p, y = made_up(60, 4, seed)
    new, _ = made_up(25, 4, seed + 100)
    classifier = WrapClassifier(SimpleNamespace(predict_proba=lambda X: X, classes_=np.arange(4)))
    classifier.learner.fit = None  # what crepes looks for
    classifier.fitted_ = True
    classifier.calibrate(p.astype(float), y, class_cond=by_class)
    expected = classifier.predict_p(new.astype(float), smoothing=False)
    found = CalibrationSet.of(p, y).p_values(new, by_class=by_class)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@examples(60)
@given(seeds, st.integers(1, 60), st.integers(2, 6), st.booleans(), st.booleans())
def test_p_values_are_shares_of_calibration_images_counted_one_by_one(
    seed, images, classes, by_class, in_series
):
    p, y = made_up(images, classes, seed)
    new, _ = made_up(5, classes, seed + 1)
    series = np.random.default_rng(seed).integers(0, 3, images) if in_series else None
    found = CalibrationSet.of(p, y, series=series).p_values(new, by_class=by_class)
    for row, column in np.ndindex(found.shape):
        above, total = 1.0, 1.0
        for i in range(images):
            if by_class and y[i] != column:
                continue
            same = (y == y[i]) | (not by_class)
            weight = 1 if series is None else 1 / np.sum((series == series[i]) & same)
            total += weight
            above += weight * (1 - p[i, y[i]] >= 1 - new[row, column])
        assert found[row, column] == pytest.approx(above / total, rel=1e-3)


@examples(60)
@given(seeds, st.integers(1, 80), st.floats(0.01, 0.98), st.booleans())
@example(0, 9, 0.9, False)
def test_sets_grow_with_the_coverage_and_always_contain_the_prediction(
    seed, images, coverage, by_class
):
    p, y = made_up(images, 5, seed)
    new, _ = made_up(20, 5, seed + 1)
    calibration = CalibrationSet.of(p, y)
    small = calibration.sets(new, coverage, by_class=by_class)
    large = calibration.sets(new, (1 + coverage) / 2, by_class=by_class)
    assert (small <= large).all()
    assert small[np.arange(20), new.argmax(1)].all()
    full = coverage > calibration.highest_coverage(5, by_class=by_class) + 1e-9
    assert small[:, full].all()
    if not by_class and not full.any():  # the more probable classes come first
        assert (np.where(small, new, 2).min(1) >= np.where(small, -1, new).max(1)).all()


@examples(30)
@given(seeds, st.booleans())
def test_the_order_of_the_images_changes_nothing(seed, by_class):
    p, y = made_up(40, 3, seed)
    shuffled = np.random.default_rng(seed).permutation(40)
    one, other = CalibrationSet.of(p, y), CalibrationSet.of(p[shuffled], y[shuffled])
    for name, array in one.tensors().items():
        assert array.tobytes() == other.tensors()[name].tobytes()


@pytest.mark.parametrize(("images", "coverage"), [(9, 0.9), (19, 0.95), (8, 0.9), (18, 0.95)])
def test_n_images_exclude_a_class_up_to_a_coverage_of_n_of_n_plus_1(images, coverage):
    p = np.tile(np.float32([0.75, 0.25]), (images, 1))
    calibration = CalibrationSet.of(p, np.zeros(images, int))
    assert calibration.highest_coverage(2) == pytest.approx(images / (images + 1))
    sets = calibration.sets(np.float32([[1, 0]]), coverage)
    assert sets.tolist() == [[True, images + 1 < 1 / (1 - coverage) - 1e-9]]
    assert calibration.sets(np.float32([[1, 0]]), coverage, by_class=True).all()  # none of class 1


@cache
def predictions_for_digits() -> tuple[Floats, Labels]:
    """Nested cross-validated predictions, as `fit` makes them, for scanned digits."""
    X, y = load_digits(return_X_y=True)
    X, y = X[:1000].astype(np.float32) + np.random.default_rng(0).normal(0, 6, (1000, 64)), y[:1000]
    problem = SelectionProblem(
        {"pixels": X.astype(np.float32)},
        y,
        head_family("logistic"),
        classes=10,
        row_weights=np.ones(1000, np.float32),
        folds=np.arange(1000) % 3,
    )
    found = select(problem, candidates({"pixels": 64}))
    assert found.probabilities is not None
    return found.probabilities, y


def covered(members: np.ndarray, labels: Labels) -> np.ndarray:
    hits: np.ndarray = members[np.arange(len(labels)), labels]
    return hits


@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95])
def test_coverage_over_200_splits_is_within_its_theoretical_band(coverage):
    """Given the pool, the hits of a random split are beta-binomial (Vovk 2012, proposition 2a)."""
    p, y = predictions_for_digits()
    n, m = 400, 600
    excluded = int(np.floor((1 - coverage) * (n + 1) + 1e-9))
    law = betabinom(m, n + 1 - excluded, excluded)
    rng, hits, sizes = np.random.default_rng(0), [], []
    for _ in range(SPLITS):
        rows = rng.permutation(len(y))
        calibration = CalibrationSet.of(p[rows[:n]], y[rows[:n]])
        new, truth = p[rows[n:]], y[rows[n:]]
        admitted = calibration.p_values(new) > 1 - coverage + 1e-9
        hits.append(covered(admitted, truth).sum())
        sets = calibration.sets(new, coverage)
        assert covered(sets, truth).sum() >= hits[-1]
        sizes.append(sets.sum(1).mean())
    error = law.std() / np.sqrt(SPLITS)
    assert abs(np.mean(hits) - law.mean()) < 4 * error + 0.002 * m  # ties add a little
    low, high = law.ppf(0.025), law.ppf(0.975)
    assert np.mean((low <= hits) & (hits <= high)) > 0.9
    assert 1 <= np.mean(sizes) < 3


def test_coverage_by_class_over_200_splits_is_within_its_band_in_every_class():
    p, y = predictions_for_digits()
    rng, hits, counts = np.random.default_rng(1), np.zeros((SPLITS, 10)), np.zeros((SPLITS, 10, 2))
    pooled = np.zeros((SPLITS, 10))
    for split in range(SPLITS):
        rows = rng.permutation(len(y))
        calibration = CalibrationSet.of(p[rows[:500]], y[rows[:500]])
        new, truth = p[rows[500:]], y[rows[500:]]
        for k in range(10):
            of_class = new[truth == k]
            hits[split, k] = np.mean(calibration.p_values(of_class, by_class=True)[:, k] > 0.1)
            pooled[split, k] = np.mean(calibration.p_values(of_class)[:, k] > 0.1)
            counts[split, k] = np.sum(y[rows[:500]] == k), len(of_class)
    n, m = counts[..., 0], counts[..., 1]
    expected = 1 - np.floor(0.1 * (n + 1) + 1e-9) / (n + 1)
    error = np.sqrt(0.1 * (1 / n + 1 / m)).mean(0) / np.sqrt(SPLITS)
    assert (np.abs((hits - expected).mean(0)) < 4 * error + 0.002).all()
    assert (pooled.mean(0) < 0.87).any()  # without the option, hard classes are short-changed
    assert (hits.mean(0) > 0.895).all()


def test_series_weigh_as_one_image_each():
    """A long series of easy images does not hide that other scenes are hard."""
    rng, missed = np.random.default_rng(0), {True: [], False: []}
    for _ in range(SPLITS):
        # Scenes differ in difficulty; the longest are the easiest.
        sizes = rng.integers(1, 30, 40)
        hard = np.clip(rng.uniform(0, 1, 40) - sizes / 60, 0, 1)
        own = np.repeat(hard, sizes) * 0.9 + rng.uniform(0, 0.1, sizes.sum())
        p = np.stack([1 - own, own], axis=1).astype(np.float32)
        series = np.repeat(np.arange(40), sizes)
        chosen = int(rng.integers(40))
        rest = series != chosen
        for aware in missed:
            calibration = CalibrationSet.of(
                p[rest], np.zeros(rest.sum(), int), series=series[rest] if aware else None
            )
            missed[aware].append(np.mean(calibration.p_values(p[~rest])[:, 0] <= 0.2))
    assert np.mean(missed[True]) < 0.2 + 3 * 0.4 / np.sqrt(SPLITS)
    assert np.mean(missed[False]) > np.mean(missed[True])


def test_by_class_a_series_is_one_observation_of_each_of_its_classes():
    """50 patients, each with 20 images of every class."""
    labels = np.tile(np.repeat(np.arange(10), 20), 50)
    p = np.full((len(labels), 10), 0.1, np.float32)
    calibration = CalibrationSet.of(p, labels, series=np.repeat(np.arange(50), 200))
    by_class = calibration.highest_coverage(10, by_class=True)
    assert by_class == pytest.approx(50 / 51, rel=1e-4)
    assert calibration.highest_coverage(10) == pytest.approx(50 / 51, rel=1e-3)


def test_many_images_are_thinned_evenly():
    p, y = made_up(4_000, 4, 0)
    every, some = CalibrationSet.of(p, y), CalibrationSet.of(p, y, limit=1_000)
    assert len(some.labels) == 1_000
    assert (np.bincount(some.labels) - np.bincount(every.labels) / 4 < 1.5).all()
    new, _ = made_up(50, 4, 1)
    for by_class in (False, True):
        found = some.p_values(new, by_class=by_class)
        np.testing.assert_allclose(found, every.p_values(new, by_class=by_class), atol=0.01)
    shuffled = np.random.default_rng(0).permutation(4_000)
    again = CalibrationSet.of(p[shuffled], y[shuffled], limit=1_000)
    assert again.misfit.tobytes() == some.misfit.tobytes()


def test_coverage_counts_hits_and_sizes_of_all_and_of_each_class():
    sets = np.array([[True, False, True], [True, True, True], [False, True, False]])
    found = Coverage.of(sets, np.array([0, 0, 2]), 0.9, classes=("a", "b", "c"))
    assert (found.value, found.images, found.mean_set_size) == (2 / 3, 3, 2.0)
    assert found.interval.low < 2 / 3 < found.interval.high
    assert {name: (one.value, one.images) for name, one in found.by_class.items()} == {
        "a": (1.0, 2),
        "c": (0.0, 1),
    }
    assert Coverage.of(sets, np.array([0, 0, 2]), 0.9).by_class == {}


@pytest.mark.parametrize("coverage", [0, 1, -0.1, 90, float("nan")])
def test_an_impossible_coverage_is_refused(coverage):
    with pytest.raises(DataError, match="is impossible; give one between 0 and 1"):
        check_coverage(coverage)


class TestTensors:
    def test_are_small_and_come_back(self):
        p, y = made_up(50, 4, 0)
        calibration = CalibrationSet.of(p, y)
        tensors = calibration.tensors()
        assert sum(array.nbytes for array in tensors.values()) == 14 * 50
        loaded = CalibrationSet.load(tensors, classes=4)
        np.testing.assert_array_equal(loaded.p_values(p), calibration.p_values(p))
        assert CalibrationSet.load({}, classes=4) is None

    @pytest.mark.parametrize(
        "damage",
        [
            {"labels": np.zeros(3, np.uint16)},
            {"labels": np.arange(50, dtype=np.uint16)},
            {"labels": np.zeros(50, np.int64)},
            {"labels": np.r_[np.ones(1), np.zeros(49)].astype(np.uint16)},
            {"misfit": np.zeros(50)},
            {"misfit": np.full(50, np.nan, np.float16)},
            {"doubt": np.full(50, 2, np.float16)},
            {"doubt": np.full(50, np.nan, np.float16)},
            {"novelty": np.full(50, 2, np.float16)},
            {"predicted": np.full(50, 4, np.uint16)},
            {"predicted": np.zeros((50, 1), np.uint16)},
            {"weights": None},
            {"class_weights": None},
            {
                name: array[:0]
                for name, array in CalibrationSet.of(*made_up(5, 4, 0)).tensors().items()
            },
        ],
    )
    def test_that_are_damaged_are_refused(self, damage):
        tensors = {**CalibrationSet.of(*made_up(50, 4, 0)).tensors(), **damage}
        tensors = {name: array for name, array in tensors.items() if array is not None}
        with pytest.raises(ValueError, match="the calibration images "):
            CalibrationSet.load(tensors, classes=4)
