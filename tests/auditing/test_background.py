import numpy as np

from headstart.auditing.background import background_issues, score_surroundings
from tests.auditing.made_up import clusters

NAMES = ("a", "b", "c")


def test_surroundings_that_tell_everything_are_reported():
    X, y = clusters(240, width=20)
    noisy = y.copy()
    noisy[::20] = (y[::20] + 1) % 3
    found = score_surroundings(X, y, np.arange(240) // 3 % 3, noisy, classes=3)
    assert found.accuracy.value > 0.95 == found.network.value
    assert found.suffices
    (issue,) = background_issues(found, NAMES)
    assert (issue.path, issue.label) == ("", "")
    assert "the network 0.950 (" in issue.evidence


def test_surroundings_that_tell_nothing_are_not():
    rng = np.random.default_rng(0)
    y = np.arange(240) % 3
    X = rng.normal(size=(240, 20)).astype(np.float32)
    found = score_surroundings(X, y, np.arange(240) // 3 % 3, y, classes=3)
    assert found.accuracy.value < 0.5
    assert found.accuracy.interval.low < 1 / 3
    assert not found.suffices
    assert background_issues(found, NAMES) == []


def test_a_useless_network_is_not_a_shortcut():
    rng = np.random.default_rng(0)
    y = np.arange(240) % 3
    X = rng.normal(size=(240, 20)).astype(np.float32)
    found = score_surroundings(X, y, np.arange(240) // 3 % 3, rng.integers(0, 3, 240), classes=3)
    assert background_issues(found, NAMES) == []


def test_one_class_that_is_given_away():
    X, y = clusters(240, width=20)
    X[y != 0] = np.random.default_rng(0).normal(size=(160, 20))
    X[y == 0] += 5
    found = score_surroundings(X, y, np.arange(240) // 3 % 3, y, classes=3)
    assert not found.suffices
    assert [one.label for one in background_issues(found, NAMES)] == ["a"]
