"""Frontier and recommendation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.comparison.recommendation import frontier, recommend
from tests.comparison.made_up import compared, right
from tests.properties import examples

FOLDS = np.arange(1000) % 5


def test_the_cheapest_within_noise_of_the_best_is_taken():
    rows = [
        compared("a", right(900), 2),
        compared("b", right(903), 5),
        compared("c", right(850), 1),
    ]
    advice = recommend(rows, FOLDS)
    assert advice.backbone == "a"
    assert advice.sentence == (
        "Use a: accuracy 0.900 (0.880 to 0.917, 1,000 images), 2.0 core-ms per image (1,000 "
        "images/s); b with 0.903 is within noise of it (paired difference +0.003, 95% interval "
        "-0.001 to +0.007; the two accuracies' own intervals overlap) and costs 2.5 times as much"
    )
    assert set(advice.against) == {"b", "c"}
    assert advice.against["c"].difference == pytest.approx(-0.05)


def test_a_measurable_difference_is_worth_its_cost_even_where_intervals_overlap():
    rows = [compared("a", right(900), 2), compared("b", right(920), 5)]
    advice = recommend(rows, FOLDS)
    assert advice.backbone == "b"
    assert "a with 0.900 is significantly less accurate (paired difference -0.020" in (
        advice.sentence
    )
    assert "own intervals overlap) and costs 0.4 times as much" in advice.sentence


def test_the_dearer_rival_is_named_where_nothing_is_cheaper():
    rows = [compared("a", right(900), 2), compared("b", right(500), 5)]
    advice = recommend(rows, FOLDS)
    assert advice.backbone == "a"
    assert "b with 0.500 is significantly less accurate" in advice.sentence
    assert "do not overlap" in advice.sentence
    twin = [compared("a", right(900), 2), compared("b", right(900), 2.01)]
    assert "b with 0.900 is within noise of it" in recommend(twin, FOLDS).sentence
    assert recommend(twin, FOLDS).sentence.endswith("costs the same")


def test_what_left_early_takes_no_part():
    early = compared("b", right(200, 200), 1, complete=False)
    advice = recommend([early, compared("a", right(900), 2)], FOLDS)
    assert (advice.backbone, advice.against) == ("a", {})
    assert "on a sample of the images" in advice.sentence
    assert (
        "not compared with any other"
        in recommend([compared("a", right(9, 10), 2)], FOLDS[:10]).sentence
    )


def test_the_choice_is_scored_on_folds_that_did_not_make_it():
    # The dear one is perfect on fold 0 and like the cheap one elsewhere: whoever is not told of
    # fold 0 takes the cheap one, and gets it wrong there.
    cheap = FOLDS != 0
    advice = recommend([compared("a", cheap, 1), compared("b", cheap | True, 2)], FOLDS)
    assert advice.backbone == "b"
    np.testing.assert_array_equal(advice.choice[FOLDS == 0], False)
    np.testing.assert_array_equal(advice.choice[FOLDS != 0], True)


def test_choosing_among_equals_by_luck_is_not_rewarded():
    rng = np.random.default_rng(0)
    gains = []
    for _ in range(20):
        rows = [compared(f"{n}", rng.random(200) < 0.7, 9 - n) for n in range(8)]
        advice = recommend(rows, FOLDS[:200])
        gains.append(advice.choice.mean())
    assert np.mean(gains) == pytest.approx(0.7, abs=0.02)


points = st.lists(st.tuples(st.integers(0, 20), st.integers(1, 8)), min_size=1, max_size=8)


@examples(100)
@given(points)
def test_the_frontier_is_what_nothing_dominates(made: list[tuple[int, int]]):
    rows = [compared(str(i), right(k, 20), ms) for i, (k, ms) in enumerate(made)]
    edge = frontier(rows)
    assert edge
    for i, (k, ms) in enumerate(made):
        dominated = any((a >= k and c <= ms) and (a > k or c < ms) for a, c in made)
        assert (str(i) in edge) is not dominated
    assert frontier([compared("early", right(20, 20), 0.1, complete=False), *rows]) == edge
