import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from headstart.heads import rows
from headstart.heads.calibration import log_softmax
from headstart.heads.discriminant import DiscriminantFamily
from headstart.heads.head import LabeledFeatures
from headstart.heads.rows import Rows
from headstart.heads.standardization import PRIOR, Standardization
from tests.heads.samples import blobs

FAMILY = DiscriminantFamily()


def closed_form(Z, y, w, shrinkage):
    """The formula of Gaussian classes with one covariance, written out."""
    classes, images = y.max() + 1, w.sum() ** 2 / np.square(w).sum()
    means = np.stack([np.average(Z[y == k], axis=0, weights=w[y == k]) for k in range(classes)])
    residuals = Z - means[y]
    within = (w[:, None] * residuals).T @ residuals / w.sum() * images / (images - classes)
    within = (1 - shrinkage) * within + shrinkage * np.trace(within) / len(within) * np.eye(
        len(within)
    )
    precise = np.linalg.solve(within, means.T).T
    shares = np.bincount(y, w) / w.sum()
    return Z @ precise.T - (precise * means).sum(1) / 2 + np.log(shares)


# More images than features, and fewer.
@pytest.mark.parametrize(("n", "d"), [(80, 6), (30, 70)])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shrinkage", [0.95, 0.1])
def test_logits_are_those_of_normal_distributions(n, d, weighted, shrinkage):
    X, y = blobs(n, d, 3)
    w = (1 + y if weighted else np.ones(n)).astype(np.float32)
    Z = Standardization.of(X, w, prior=PRIOR)(X).astype(np.float64)
    expected = closed_form(Z, y, w.astype(np.float64), shrinkage)
    found = FAMILY.fit(LabeledFeatures(X, y, 3), w, shrinkage).logits(X)
    np.testing.assert_allclose(
        log_softmax(found.astype(np.float64), axis=1), log_softmax(expected, axis=1), atol=5e-3
    )


def test_agrees_with_scikit_learn():
    X, y = blobs(3000, 5, 3, apart=0.8)
    ones = np.ones(len(y), np.float32)
    Z = Standardization.of(X, ones, prior=PRIOR)(X).astype(np.float64)
    for shrinkage in FAMILY.settings:
        # scikit-learn divides the covariance by N where this divides it by N - K.
        reference = LinearDiscriminantAnalysis(solver="eigen", shrinkage=shrinkage).fit(Z, y)
        found = FAMILY.fit(LabeledFeatures(X, y, 3), ones, shrinkage).logits(X)
        gaps = log_softmax(found.astype(np.float64), axis=1) - reference.predict_log_proba(Z)
        assert np.abs(gaps).max() < 0.05


def test_shrunken_covariances_find_what_means_alone_do_not():
    rng = np.random.default_rng(0)
    y = np.arange(400) % 2
    shared = rng.normal(size=(400, 1)) * 3  # a nuisance that all features have in common
    X = (shared + rng.normal(size=(400, 20)) * 0.3).astype(np.float32)
    X[:, 0] += y * 0.8
    halves = np.arange(400) < 200
    head = FAMILY.fit(LabeledFeatures(X, y, 2), halves.astype(np.float32), 0.1)
    means = np.stack([X[halves & (y == k)].mean(0) for k in (0, 1)])
    nearest = np.square(X[:, None] - means).sum(2).argmin(1)
    found = head.logits(X).argmax(1)
    assert (found == y)[~halves].mean() > 0.8 > 0.65 > (nearest == y)[~halves].mean()


def test_rows_in_pieces_give_the_same(monkeypatch):
    for n, d in ((90, 8), (30, 40)):
        X, y = blobs(n, d, 3)
        w = (1 + y).astype(np.float32)
        w[::7] = 0
        expected = FAMILY.fit(LabeledFeatures(X, y, 3, [3, d - 3]), w, 0.4).logits(X)
        monkeypatch.setattr(rows, "PIECE", 7)
        parts = Rows((X[:, :3], X[:, 3:]), np.arange(n))
        found = FAMILY.fit_rows(parts, y, w, 0.4, classes=3).logits(X)
        np.testing.assert_allclose(found, expected, atol=1e-3)
