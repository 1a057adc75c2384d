"""The common curvature against NumPy's inverse, and what it is for: fewer steps."""

import numpy as np
import pytest

from headstart.heads import curvature
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


def hessian(Z: np.ndarray, bend: float, decay: float) -> np.ndarray:
    """The Hessian by the weights if all images are bent equally, in float64."""
    Z = Z.astype(float)
    return bend * Z.T @ Z / len(Z) + decay * np.eye(Z.shape[1])


def test_divides_by_the_hessian_of_equally_bent_images():
    rng = np.random.default_rng(1)
    Z = rng.normal(size=(50, 6)).astype(np.float32)
    gradient = rng.normal(size=(3, 7)).astype(np.float32)
    bend = rng.uniform(1, 9, (3, 1)).astype(np.float32)
    found = Curvature.of(Z).solve(gradient, bend, np.float32(0.5))
    for one, b, g in zip(found, bend[:, 0], gradient, strict=True):
        expected = np.linalg.solve(hessian(Z, b, 0.5), g[:6])
        np.testing.assert_allclose(one[:6], expected, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(found[:, 6], gradient[:, 6] / bend[:, 0], rtol=1e-5)


def test_few_directions_explain_the_features_of_a_network(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(curvature, "_DIRECTIONS", 8)
    Z, _ = correlated(300, 60, 2)
    found = Curvature.of(Z)
    exact = np.linalg.eigvalsh(hessian(Z, 1, 0))[::-1]
    np.testing.assert_allclose(np.sort(found.values)[:2:-1], exact[:5], rtol=0.05)
    assert found.rest == pytest.approx(exact[8:].mean(), rel=0.2)
    np.testing.assert_allclose(found.vectors.T @ found.vectors, np.eye(8), atol=1e-4)


def test_nothing_is_divided_by_zero():
    flat = Curvature.of(np.zeros((5, 2), np.float32))
    bend = np.full((1, 1), 1e-3, np.float32)
    found = flat.solve(np.ones((1, 3), np.float32), bend, np.float32(1e-4))
    assert np.isfinite(found).all()


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize(("images", "width"), [(200, 10), (90, 120)])
def test_with_it_the_solution_is_scikit_learns(classes: int, images: int, width: int):
    X, y = correlated(images, width, classes)
    check_against_sklearn(X, y, leave_out(images, 3), classes)


def test_with_it_fewer_steps_lead_there(monkeypatch: pytest.MonkeyPatch):
    X, y = correlated(900, 60, 3)
    weights, strengths = leave_out(900, 3), np.array([1e-3, 1e-2])
    with_it = solve(X, y, weights, strengths, classes=3).iterations.sum()
    monkeypatch.setattr(Curvature, "solve", lambda self, gradient, *_: gradient.copy())
    without = solve(X, y, weights, strengths, classes=3).iterations.sum()
    assert with_it < 0.6 * without
