"""Paired differences against direct counting, scipy and simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from headstart.errors import DataError
from headstart.evaluation.paired_tests import paired_difference
from tests.properties import examples


def results(both: int, first: int, second: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    one = [True] * (both + first) + [False] * (second + neither)
    other = [True] * both + [False] * first + [True] * second + [False] * neither
    return np.array(one), np.array(other)


counts = st.integers(0, 60)


@examples(100)
@given(counts, counts, counts, counts)
def test_swapping_turns_the_sign_and_nothing_else(both, first, second, neither):
    one, other = results(both, first, second, neither + 1)
    there, back = paired_difference(one, other), paired_difference(other, one)
    assert there.difference == pytest.approx(one.mean() - other.mean())
    assert (back.low, back.high) == pytest.approx((-there.high, -there.low))
    assert there.p_value == back.p_value
    assert -1 <= there.low <= there.difference <= there.high <= 1
    assert there.better == (there.low > 0)


def test_what_both_get_right_or_wrong_says_nothing_of_which_is_better():
    few, many = (paired_difference(*results(both, 12, 2, 10)) for both in (50, 5_000))
    assert few.p_value == many.p_value == pytest.approx(binomtest(2, 14).pvalue)
    assert few.better == many.better


def test_identical_results_leave_some_doubt():
    same = paired_difference(*results(45, 0, 0, 5))
    assert (same.difference, same.p_value, same.better) == (0, 1, False)
    assert -0.1 < same.low < 0 < same.high < 0.1


def test_overlapping_intervals_can_hide_a_certain_difference():
    one, other = results(850, 30, 5, 115)
    assert paired_difference(one, other).better
    assert not paired_difference(other, one).better
    assert not paired_difference(one, other, z=6).better


@pytest.mark.parametrize("shares", [(0.04, 0.02), (0.01, 0.01), (0.2, 0.1)])
def test_the_interval_covers_the_truth_as_often_as_it_says(shares: tuple[float, float]):
    rng = np.random.default_rng(0)
    ahead, behind = shares
    covered = []
    for _ in range(600):
        draw = rng.random(200)
        one, other = draw < ahead, (draw >= ahead) & (draw < ahead + behind)
        found = paired_difference(one, other)
        covered.append(found.low <= ahead - behind <= found.high)
    assert 0.93 <= np.mean(covered) <= 1


def test_what_does_not_fit_is_refused():
    with pytest.raises(DataError, match="give one truth value per image"):
        paired_difference(np.ones(3, dtype=bool), np.ones(4, dtype=bool))
    with pytest.raises(DataError, match="give one truth value per image"):
        paired_difference(np.ones(0, dtype=bool), np.ones(0, dtype=bool))


class TestSeries:
    """Images in series tell less than independent ones."""

    def test_copies_change_nothing(self) -> None:
        rng = np.random.default_rng(0)
        first, second = rng.random(300) < 0.85, rng.random(300) < 0.8
        alone = paired_difference(first, second)
        copies = paired_difference(
            np.repeat(first, 4), np.repeat(second, 4), clusters=np.repeat(np.arange(300), 4)
        )
        assert copies.difference == pytest.approx(alone.difference)
        assert copies.low == pytest.approx(alone.low, abs=2e-3)
        assert copies.high == pytest.approx(alone.high, abs=2e-3)
        assert copies.p_value == pytest.approx(alone.p_value, rel=0.05)
        flattered = paired_difference(np.repeat(first, 4), np.repeat(second, 4))
        assert flattered.high - flattered.low < 0.6 * (copies.high - copies.low)

    def test_independent_images_are_series_of_one(self) -> None:
        rng = np.random.default_rng(1)
        first, second = rng.random(200) < 0.9, rng.random(200) < 0.7
        found = paired_difference(first, second, clusters=rng.permutation(200))
        alone = paired_difference(first, second)
        assert (found.low, found.high) == pytest.approx((alone.low, alone.high), abs=1e-3)
