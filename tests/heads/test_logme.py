"""LogME against the evidence itself, evaluated slowly and maximized by a general optimizer."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from headstart.errors import DataError
from headstart.heads.logme import logme
from tests.heads.samples import blobs


def slow(X, y, classes: int) -> float:
    """Of each column, the density under N(0, X X^T / alpha + I / beta), at its highest."""
    scores = []
    for label in range(classes):
        column = (y == label).astype(float)

        def loss(logs, column=column):
            alpha, beta = np.exp(logs)
            covariance = X @ X.T / alpha + np.eye(len(X)) / beta
            return -multivariate_normal.logpdf(column, cov=covariance) / len(X)

        found = min(
            (
                minimize(loss, start, method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-10})
                for start in ([0, 0], [3, 3])
            ),
            key=lambda one: one.fun,
        )
        scores.append(-found.fun)
    return float(np.mean(scores))


@pytest.mark.parametrize(
    ("images", "width", "classes"), [(40, 5, 3), (30, 12, 2), (20, 20, 3), (15, 40, 2)]
)
def test_is_the_highest_evidence(images: int, width: int, classes: int):
    X, y = blobs(images, width, classes, seed=images, apart=0.5)
    X = X / np.abs(X).max()
    assert logme(X, y, classes=classes) == pytest.approx(
        slow(X.astype(float), y, classes), abs=1e-4
    )


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), scale=st.floats(0.01, 100))
def test_does_not_depend_on_rotation_scale_or_order(seed: int, scale: float):
    X, y = blobs(30, 6, 3, seed=seed)
    rng = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(rng.normal(size=(6, 6)))
    order = rng.permutation(30)
    moved = (scale * X @ turn)[order].astype(np.float32)
    assert logme(moved, y[order], classes=3) == pytest.approx(logme(X, y, classes=3), abs=1e-3)


def test_prefers_features_that_tell_the_classes_apart():
    y = blobs(60, 8, 3, apart=0)[1]
    scores = []
    for apart in (0, 1, 3):
        X, labels = blobs(60, 8, 3, apart=apart)
        np.testing.assert_array_equal(labels, y)
        scores.append(logme(X, y, classes=3))
    assert scores == sorted(scores)


def test_extremes_are_finite():
    y = np.array([0, 0, 1, 1])
    perfect = np.eye(2, dtype=np.float32)[y]
    for X in (perfect, np.zeros((4, 3), np.float32), np.ones((4, 1), np.float32), np.eye(4)):
        assert np.isfinite(logme(X, y, classes=2))
    assert logme(perfect, y, classes=2) > logme(np.ones((4, 1), np.float32), y, classes=2)


def test_a_class_without_images_changes_nothing():
    X, y = blobs(30, 6, 2)
    assert logme(X, y, classes=5) == logme(X, y, classes=2)


def test_what_does_not_fit_is_refused():
    with pytest.raises(DataError, match=r"give \(N, D\) and \(N,\)"):
        logme(np.zeros((3, 2), np.float32), np.zeros(2, np.int64), classes=2)
    with pytest.raises(DataError, match="at least one image"):
        logme(np.zeros((0, 2), np.float32), np.zeros(0, np.int64), classes=2)
