"""Distances against scikit-learn's and SciPy's, and what is kept of the covariance."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from headstart.novelty.class_gaussians import RANK, ClassGaussians, unit_blocks
from tests.heads.samples import blobs
from tests.properties import examples


def reference(X, y, new, classes, weight):
    """Squared Mahalanobis distances with the whole covariance, by SciPy."""
    means = np.stack([X[y == label].mean(0) for label in range(classes)]).astype(float)
    within = X - means[y]
    covariance = within.T @ within / (len(X) - classes)
    width = X.shape[1]
    shrunk = (1 - weight) * covariance + weight * np.trace(covariance) / width * np.eye(width)
    return cdist(new, means, "mahalanobis", VI=np.linalg.inv(shrunk)) ** 2 / width


@given(
    images=st.integers(20, 60),
    width=st.integers(3, 40),
    classes=st.integers(2, 6),
    weight=st.floats(0.1, 1),
    seed=st.integers(0, 99),
)
@examples(25)
def test_distances_are_those_of_the_whole_covariance(images, width, classes, weight, seed):
    X, y = blobs(images, width, classes, seed=seed)
    X = unit_blocks([X])
    new = unit_blocks([blobs(10, width, classes, seed=seed + 1)[0]])
    gaussians = ClassGaussians.fit(X, y, classes=classes)
    (found,) = gaussians.squared_distances(new, [weight])
    np.testing.assert_allclose(found, reference(X, y, new, classes, weight), rtol=0.03, atol=0.02)


def test_a_basis_smaller_than_the_space_changes_little():
    rng = np.random.default_rng(0)
    scales = np.geomspace(1, 0.01, 400)
    y = np.arange(900) % 3
    X = (rng.normal(size=(900, 400)) * scales + rng.normal(size=(3, 400))[y] * scales).astype("f4")
    X = unit_blocks([X])
    gaussians = ClassGaussians.fit(X, y, classes=3)
    assert gaussians.basis.shape == (400, RANK + 2)
    (found,) = gaussians.squared_distances(X[:50], [0.6])
    np.testing.assert_allclose(found, reference(X, y, X[:50], 3, 0.6), rtol=0.03)
    identity = gaussians.basis.T.astype("f4") @ gaussians.basis
    np.testing.assert_allclose(identity, np.eye(RANK + 2), atol=3e-3)


def test_more_classes_than_directions_are_told_apart():
    X, y = blobs(1_500, 400, 300, apart=5)
    X = unit_blocks([X])
    gaussians = ClassGaussians.fit(X, y, classes=300)
    assert gaussians.basis.shape[1] <= 2 * RANK
    (found,) = gaussians.squared_distances(X, [0.9])
    assert (found.argmin(1) == y).mean() > 0.95


def test_distances_ignore_the_length_of_each_block():
    fine, _ = blobs(30, 5, 3)
    coarse, y = blobs(30, 8, 3, seed=1)
    gaussians = ClassGaussians.fit(unit_blocks([fine, coarse]), y, classes=3)
    one = gaussians.squared_distances(unit_blocks([fine, coarse]), [0.5])[0]
    other = gaussians.squared_distances(unit_blocks([3 * fine, 0.1 * coarse]), [0.5])[0]
    np.testing.assert_allclose(one, other, rtol=1e-3)


def test_zeros_and_equal_images_give_finite_distances():
    X = np.ones((20, 6), np.float32)
    gaussians = ClassGaussians.fit(unit_blocks([X]), np.arange(20) % 2, classes=2)
    for new in (X, 0 * X, -X):
        for found in gaussians.squared_distances(unit_blocks([new]), [0.6, 0.9]):
            assert np.isfinite(found).all()
            assert (found >= 0).all()


def test_loading_gives_the_same_and_refuses_what_does_not_fit():
    X, y = blobs(40, 8, 3)
    gaussians = ClassGaussians.fit(unit_blocks([X]), y, classes=3)
    again = ClassGaussians.load(gaussians.arrays())
    new = unit_blocks([X])
    np.testing.assert_array_equal(
        again.squared_distances(new, [0.6]), gaussians.squared_distances(new, [0.6])
    )
    assert (again.width, again.classes) == (8, 3)
    arrays = gaussians.arrays()
    for broken in (
        {"means": arrays["means"][:, 1:]},
        {"spread": arrays["spread"][:1]},
        {"spread": -arrays["spread"]},
        {"variances": arrays["variances"] - 10},
        {"center": np.full(8, np.nan, np.float32)},
        {"present": np.zeros(3, bool)},
    ):
        with pytest.raises(ValueError, match=r"shape|positive|NaN|present"):
            ClassGaussians.load({**arrays, **broken})
    with pytest.raises(KeyError):
        ClassGaussians.load({"center": arrays["center"]})


def test_a_class_without_an_image_has_no_gaussian():
    X, y = blobs(60, 8, 3)
    X, apart = unit_blocks([X]), np.array([1, 3, 4])
    some = ClassGaussians.fit(X, apart[y], classes=6)
    (found,) = some.squared_distances(X, [0.6])
    (expected,) = ClassGaussians.fit(X, y, classes=3).squared_distances(X, [0.6])
    np.testing.assert_allclose(found[:, apart], expected, rtol=1e-5)
    assert (found[:, [0, 2, 5]] > expected.max(1, keepdims=True)).all()
    again = ClassGaussians.load(some.arrays())
    np.testing.assert_array_equal(again.squared_distances(X, [0.6])[0], found)
