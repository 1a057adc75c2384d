"""Drift against scipy's Mann-Whitney test and by simulation; accuracy estimates by simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu, norm

from headstart.evaluation.conformal import CalibrationSet
from headstart.evaluation.drift import drift_test, estimate_accuracy
from headstart.types import Floats, Labels
from tests.properties import examples


def confident(doubts: np.ndarray, classes: np.ndarray) -> Floats:
    """Probabilities of three classes with such doubts, exact in half precision."""
    p = np.full((len(doubts), 3), doubts[:, None] / 2)
    p[np.arange(len(doubts)), classes] = 1 - doubts
    return p.astype(np.float32)


def calibration_set(
    doubts: np.ndarray, classes: np.ndarray, novelty: np.ndarray | None = None
) -> CalibrationSet:
    return CalibrationSet.of(confident(doubts, classes), classes, novelty=novelty)


def rounded(values: np.ndarray) -> np.ndarray:
    """Values in (0, 0.6) that half precision holds exactly."""
    return (1 + np.floor(values * 1200)) / 2048


def test_of_one_class_is_mann_whitneys_test_beyond_the_margin():
    rng = np.random.default_rng(0)
    known, batch = rounded(rng.beta(1, 4, 300)), rounded(rng.beta(2, 4, 40))
    calibration = calibration_set(known, np.zeros(300, int))
    found = drift_test(calibration, confident(batch, np.zeros(40, int)), None)
    auroc = np.mean(batch[:, None] > known)
    assert found.shift == pytest.approx(auroc)
    # scipy tests an AUROC of 0.5, and gives half a point for ties.
    peer = mannwhitneyu(batch, known, alternative="greater", use_continuity=False)
    ties = np.mean(batch[:, None] == known) / 2
    assert peer.statistic / (300 * 40) == pytest.approx(auroc + ties)
    deviation = np.sqrt((300 + 40 + 1) / (12 * 300 * 40))
    assert peer.pvalue == pytest.approx(norm.sf((auroc + ties - 0.5) / deviation), rel=1e-2)
    assert found.p_value == pytest.approx(norm.sf((auroc - 0.55) / deviation), rel=1e-6)
    assert found.significant


@examples(40)
@given(st.integers(0, 2**32 - 1), st.integers(20, 60), st.integers(1, 90))
def test_classes_are_compared_with_themselves_and_missing_ones_with_all(seed, images, known):
    rng = np.random.default_rng(seed)
    classes, doubts = rng.integers(0, 3, known), rounded(rng.random(known))
    new, own = rounded(rng.random(images)), rng.integers(0, 3, images)
    found = drift_test(calibration_set(doubts, classes), confident(new, own), None)
    sizes = np.bincount(classes, minlength=3)
    auroc, variance = 0.0, 0.0
    stratum = np.where(sizes[own] == 0, -1, own)
    for one in set(stratum):
        these = doubts[classes == one] if one >= 0 else doubts
        mine = new[stratum == one]
        n, m = len(these), len(mine)
        auroc += np.sum(mine[:, None] > these) / n / images
        variance += (m / images) ** 2 * (n + m + 1) / (12 * n * m)
    assert found.shift == pytest.approx(auroc)
    assert found.p_value == pytest.approx(norm.sf((auroc - 0.55) / np.sqrt(variance)), rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("images", [20, 50, 200, 2000])
@pytest.mark.parametrize("known", [15, 100, 1000])
@pytest.mark.parametrize("levels", [None, 5])
@pytest.mark.parametrize("one_class", [False, True])
def test_level_under_the_null(images, known, levels, one_class):
    """Also with few calibration images, scores of five values only, and a batch of one class."""
    rng = np.random.default_rng(images)
    alarms, runs = 0, 200
    for _ in range(runs):
        classes = rng.integers(0, 3, known + images)
        if one_class:
            classes[known:] = 2
        # Images of the last class are more novel and more doubtful than others.
        scores = rng.random((2, known + images)) * (1 + classes) / 3
        if levels:
            scores = np.floor(scores * levels) / levels
        doubts, novelty = rounded(scores[0]), 1 - scores[1] * 0.99
        calibration = calibration_set(doubts[:known], classes[:known], novelty[:known])
        p = confident(doubts[known:], classes[known:])
        alarms += drift_test(calibration, p, novelty[known:]).significant
    assert alarms <= 0.01 * runs + 3 * np.sqrt(0.01 * runs)


@pytest.mark.parametrize("several_classes", [False, True])
def test_level_for_bursts_of_ten(several_classes):
    """Photos of a burst are alike, also where they are predicted to be of several classes."""
    rng = np.random.default_rng(0)
    alarms, blind, runs, groups = 0, 0, 300, np.repeat(np.arange(12), 10)
    for _ in range(runs):
        classes = rng.integers(0, 3, 300)
        calibration = calibration_set(rounded(rng.random(300)), classes)
        own = rng.integers(0, 3, 120) if several_classes else rng.integers(0, 3, 12)[groups]
        p = confident(rounded(rng.random(12)[groups]), own)
        alarms += drift_test(calibration, p, None, groups=groups).significant
        blind += drift_test(calibration, p, None).significant
    assert alarms <= 0.01 * runs + 3 * np.sqrt(0.01 * runs)
    assert blind > 0.05 * runs
    beyond = confident(np.full(120, 0.65), own)
    assert drift_test(calibration, beyond, None, groups=groups).significant


def test_images_each_on_their_own_are_as_without_groups():
    rng = np.random.default_rng(0)
    calibration = calibration_set(rounded(rng.random(100)), rng.integers(0, 3, 100))
    p = confident(rounded(rng.random(30)), rng.integers(0, 3, 30))
    grouped = drift_test(calibration, p, None, groups=np.arange(30))
    assert grouped == drift_test(calibration, p, None)


@examples(50)
@given(st.integers(0, 2**32 - 1), st.integers(20, 60), st.integers(5, 60))
def test_images_beyond_all_others_are_drift_and_those_below_are_not(seed, images, known):
    rng = np.random.default_rng(seed)
    low, high = rounded(rng.random(known) / 4), rounded(0.5 + rng.random(images) / 4)
    usual, zeros = np.linspace(0.01, 1, known), np.zeros(known, int)
    same = np.zeros(images, int)
    by_doubt = drift_test(calibration_set(low, zeros), confident(high, same), None)
    by_novelty = drift_test(
        calibration_set(low, zeros, usual), confident(rng.choice(low, images), same), high * 0.001
    )
    assert by_doubt.shift == by_novelty.shift == pytest.approx(1)
    assert by_doubt.significant or known < 10
    assert by_novelty.significant or known < 10
    below = drift_test(calibration_set(high, same), confident(low, zeros), None)
    assert below.shift == pytest.approx(0)
    assert below.p_value > 0.99


def test_novelty_that_is_known_of_some_calibration_images_is_compared_with_those():
    rng = np.random.default_rng(0)
    novelty = np.where(np.arange(200) < 100, rng.random(200), np.nan)
    calibration = calibration_set(rounded(rng.random(200)), np.zeros(200, int), novelty)
    p = confident(rounded(rng.random(30)), np.zeros(30, int))
    found = drift_test(calibration, p, np.full(30, 1e-4))
    assert found.significant
    assert found.shift == pytest.approx(1)
    unknown = calibration_set(rounded(rng.random(200)), np.zeros(200, int))
    assert not drift_test(unknown, p, np.full(30, 1e-4)).significant


def predictions(rng: np.random.Generator, images: int, sharpness: float) -> tuple[Floats, Labels]:
    """Calibrated predictions among three classes."""
    logits = sharpness * rng.normal(size=(images, 3))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (rng.random(images)[:, None] > p.cumsum(1)[:, :-1]).sum(1)
    return p.astype(np.float32), labels


class TestEstimatedAccuracy:
    @pytest.mark.parametrize("images", [20, 200])
    @pytest.mark.parametrize("sharpness", [1, 3, 10])
    def test_interval_contains_the_accuracy_of_new_batches(self, images, sharpness):
        rng = np.random.default_rng(0)
        held, errors = [], []
        for _ in range(200):
            calibration = CalibrationSet.of(*predictions(rng, 300, sharpness))
            p, labels = predictions(rng, images, sharpness)
            found = estimate_accuracy(calibration, p, rng.random(images))
            truth = np.mean(p.argmax(1) == labels)
            held.append(found.interval.low - 1e-9 <= truth <= found.interval.high + 1e-9)
            errors.append(found.value - truth)
            assert found.interval.low <= found.value <= found.interval.high
        assert np.mean(held) >= 0.93
        assert abs(np.mean(errors)) < 0.02

    def test_follows_a_loss_of_confidence(self):
        rng = np.random.default_rng(1)
        calibration = CalibrationSet.of(*predictions(rng, 1000, 5))
        p, labels = predictions(rng, 1000, 3)
        found = estimate_accuracy(calibration, p, None)
        assert calibration.correct.mean() > 0.8
        assert abs(found.value - np.mean(p.argmax(1) == labels)) < 0.1
        assert found.value < calibration.correct.mean() - 0.05

    def test_threshold_is_where_as_many_are_less_sure_as_are_wrong(self):
        p = np.float32([[0.95, 0.05], [0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]])
        calibration = CalibrationSet.of(p, np.array([0, 1, 0, 0, 1]))
        assert calibration.correct.tolist() == [True, True, True, False, False]
        found = estimate_accuracy(calibration, p, None)
        assert (found.value, found.images) == (0.6, 5)

    @pytest.mark.parametrize(("truth", "value"), [(0, 1.0), (1, 0.0)])
    def test_of_a_model_that_was_always_right_or_wrong(self, truth, value):
        p = np.tile(np.float32([0.9, 0.1]), (30, 1))
        calibration = CalibrationSet.of(p, np.full(30, truth))
        found = estimate_accuracy(calibration, p, None)
        assert found.value == value

    def test_novel_images_may_all_be_wrong(self):
        rng = np.random.default_rng(2)
        calibration = CalibrationSet.of(*predictions(rng, 300, 5))
        p, _ = predictions(rng, 100, 5)
        novelty = [np.r_[np.full(k, 0.01), np.linspace(0.01, 1, 100 - k)] for k in (0, 50, 100)]
        known, half, all_novel = (estimate_accuracy(calibration, p, one) for one in novelty)
        assert known.value == half.value == all_novel.value
        assert all_novel.interval.low == 0 < half.interval.low < known.interval.low
        assert known.interval.high == all_novel.interval.high
