"""p-values hold their level, and order what is beyond all held-out scores."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from headstart.novelty.calibration import ScoreDistribution
from tests.properties import examples

scores = arrays(np.float32, st.integers(1, 60), elements=st.floats(-100, 100, width=32))


@given(scores, scores)
@examples(100)
def test_p_values_count_the_scores_at_least_as_high(held_out, new):
    p = ScoreDistribution.of(held_out).p_values(new)
    expected = [(1 + (held_out >= score).sum()) / (len(held_out) + 1) for score in new]
    np.testing.assert_allclose(p, expected, rtol=1e-6)


@given(scores, st.sampled_from([0.01, 0.05, 0.1, 0.3]))
@examples(100)
def test_leave_one_out_holds_the_level_for_any_scores(pool, rate):
    """The guarantee of conformal prediction, exact over all ways to hold one out."""
    if len(pool) < 2:
        return
    p = [
        ScoreDistribution.of(np.delete(pool, i)).p_values(pool[i : i + 1])[0]
        for i in range(len(pool))
    ]
    assert np.mean(np.array(p) <= rate) <= rate + 1e-12


@given(scores, scores)
@examples(100)
def test_surprise_never_falls_with_the_score_and_is_finite(held_out, new):
    found = ScoreDistribution.of(held_out).surprise(np.sort(new))
    assert np.isfinite(found).all()
    assert (np.diff(found) >= -1e-5 * np.abs(found[1:])).all()
    assert (found >= -1e-6).all()


def test_surprise_is_minus_the_logarithm_of_the_share():
    rng = np.random.default_rng(0)
    held_out = ScoreDistribution.of(rng.exponential(size=20_000).astype("f4"))
    new = np.array([0.1, 1, 2, 5, 9], np.float32)
    np.testing.assert_allclose(held_out.surprise(new), new, rtol=0.1)  # P(X > x) = exp(-x)
