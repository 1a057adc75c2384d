import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score

from headstart.auditing.confused_classes import confused_pairs, confusion_issues
from tests.properties import examples


def predictions(seed: int, count: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Classes 0 and 1 cannot be told apart, class 2 is always right."""
    rng = np.random.default_rng(seed)
    y = np.arange(count) % 3
    p = rng.dirichlet([5, 5, 0.2], count)
    p[y == 2] = [0.01, 0.01, 0.98]
    return p.astype(np.float32), y


def test_the_accuracy_is_the_balanced_one_between_two_classes():
    p, y = predictions(0)
    (pair,) = confused_pairs(p, y)
    both = y < 2
    expected = balanced_accuracy_score(y[both], p[both, 1] > p[both, 0])
    assert pair.classes == (0, 1)
    assert pair.images == 200
    assert pair.accuracy == pytest.approx(expected)
    assert pair.interval.low < 0.5 < pair.interval.high


def test_the_issue_names_both_classes():
    (issue,) = confusion_issues(*predictions(0), ("cat", "lynx", "dog"))
    assert (issue.path, issue.label, issue.suggested_label) == ("", "cat", "lynx")
    assert "0.5 is chance" in issue.evidence


@examples(20)
@given(st.integers(0, 10_000))
def test_perfect_predictions_confuse_nothing(seed: int):
    p, y = predictions(seed)
    assert confused_pairs(np.eye(3, dtype=np.float32)[y], y) == []
    assert [pair.classes for pair in confused_pairs(p, y)] == [(0, 1)]


def test_small_classes_are_not_compared():
    p, y = predictions(0, 27)
    assert confused_pairs(p, y) == []
