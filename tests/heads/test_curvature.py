"""The common curvature against NumPy's inverse, and what it is for: fewer steps."""

import numpy as np
import pytest
from scipy.special import softmax as softmax_of

from headstart.heads import logistic_solver
from headstart.heads.curvature import Curvature
from headstart.heads.logistic_solver import solve
from tests.heads.samples import leave_out
from tests.heads.test_logistic_solver import check_against_sklearn


def correlated(images: int, width: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Features that a few directions dominate, as a network's are."""
    rng = np.random.default_rng(0)
    y = np.arange(images) % classes
    X = 0.3 * rng.normal(size=(classes, width))[y] + 2 * rng.normal(size=(images, width))
    X = X @ (rng.normal(size=(width, width)) / (1 + np.arange(width))[:, None])
    return X.astype(np.float32), y


def test_divides_by_the_hessian_of_equally_bent_images():
    rng = np.random.default_rng(1)
    Z = rng.normal(size=(50, 6)).astype(np.float32)
    gradient = rng.normal(size=(2, 3, 7)).astype(np.float32)
    bend = rng.uniform(1, 9, (2, 3)).astype(np.float32)
    decay = np.array([0.5, 20], np.float32)
    found = Curvature.of(Z).solve(gradient, bend, decay)
    for problem in range(2):
        for output in range(3):
            hessian = bend[problem, output] * Z.T @ Z / 50 + decay[problem] * np.eye(6)
            expected = np.linalg.solve(hessian.astype(float), gradient[problem, output, :6])
            np.testing.assert_allclose(found[problem, output, :6], expected, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(found[:, :, 6], gradient[:, :, 6] / bend, rtol=1e-5)


def test_nothing_is_divided_by_zero():
    flat = Curvature.of(np.zeros((5, 2), np.float32))
    zeros = np.zeros((1, 1), np.float32)
    found = flat.solve(np.ones((1, 1, 3), np.float32), zeros, np.array([1e-4], np.float32))
    assert np.isfinite(found).all()


@pytest.mark.parametrize("classes", [2, 4])
def test_with_it_the_solution_is_scikit_learns(classes: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Curvature, "pays", staticmethod(lambda *_: True))
    X, y = correlated(200, 10, classes)
    check_against_sklearn(X, y, leave_out(200, 3), classes)


def test_with_it_fewer_steps_lead_there(monkeypatch: pytest.MonkeyPatch):
    X, y = correlated(900, 60, 3)
    weights, strengths = leave_out(900, 3), np.array([1e-3, 1e-2])
    assert Curvature.pays(900, 60, 18)
    monkeypatch.setattr(logistic_solver, "_PRECONDITIONED_TOLERANCE", 1.0)
    with_it = solve(X, y, weights, strengths, classes=3, tolerance=1e-5)
    monkeypatch.setattr(Curvature, "pays", staticmethod(lambda *_: False))
    without = solve(X, y, weights, strengths, classes=3, tolerance=1e-5)
    assert with_it.iterations.sum() < 0.6 * without.iterations.sum()
    mine, its = (softmax_of(maps.logits(X), axis=1) for maps in (with_it, without))
    np.testing.assert_allclose(mine, its, atol=0.01)


def test_few_images_are_left_to_themselves():
    assert not Curvature.pays(1_000, 1_280, 90)
    assert not Curvature.pays(5_000, 1_280, 1)
    assert Curvature.pays(25_000, 1_280, 15 * 37)
