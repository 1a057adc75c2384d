"""The area under the ROC curve against scikit-learn's."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import roc_auc_score

from headstart.novelty.calibration import ScoreDistribution
from headstart.novelty.estimate import Detection
from tests.properties import examples

# Few different values, so that there are ties.
scores = arrays(np.float32, st.integers(1, 40), elements=st.integers(0, 9).map(float))


@given(scores, scores)
@examples(100)
def test_auroc_is_that_of_scikit_learn(known, unknown):
    found = Detection.of(ScoreDistribution.of(known), unknown, rate=0.05)
    truth = np.repeat([0, 1], [len(known), len(unknown)])
    expected = roc_auc_score(truth, np.concatenate([known, unknown]))
    np.testing.assert_allclose(found.auroc, expected, rtol=1e-9)
    assert found.images == len(unknown)


def test_caught_is_what_a_rate_calls_unknown():
    known = ScoreDistribution.of(np.arange(99, dtype=np.float32))
    unknown = np.array([94.5, 93.5, 200, 0], np.float32)
    assert Detection.of(known, unknown, rate=0.05).caught == 0.5  # 94.5: (1 + 4) / 100


def test_the_mean_gives_each_kind_the_same_weight():
    kinds = [
        Detection(auroc=0.9, caught=0.2, images=10),
        Detection(auroc=0.7, caught=0.6, images=90),
    ]
    assert Detection.mean(kinds) == Detection(auroc=0.8, caught=0.4, images=100)
