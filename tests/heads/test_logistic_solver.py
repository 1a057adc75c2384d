"""The joint solver against scikit-learn, which solves one problem at a time in float64."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from headstart.heads.lbfgs import LogisticProblem
from headstart.heads.logistic_solver import solve
from tests.heads.samples import blobs, leave_out
from tests.properties import examples

pytestmark = pytest.mark.slow

STRENGTHS = np.array([1e-3, 1e-1, 1.0])


def scale_of(X, weights):
    """Weighted mean and spread in float64; sklearn's scaler has no weights of its own per fit."""
    return StandardScaler().fit(X.astype(np.float64), sample_weight=weights)


def sklearns(X, y, weights, strength):
    """Logits-free reference: the fitted classifier and the scaler of one problem."""
    used = weights > 0
    scaler = scale_of(X[used], weights[used])
    classifier = LogisticRegression(C=strength, tol=1e-6, max_iter=10_000)
    classifier.fit(scaler.transform(X[used].astype(np.float64)), y[used], weights[used])
    return classifier, scaler


def objective(X, y, weights, strength, coefficients, intercepts, classes):
    """The loss in the module's docstring, by weights on standardized features, in float64."""
    used = weights > 0
    Z = scale_of(X[used], weights[used]).transform(X[used].astype(np.float64))
    z = Z @ coefficients.T + intercepts
    if classes == 2:
        z = np.concatenate([-z / 2, z / 2], axis=1)
    each = -log_softmax(z, axis=1)[np.arange(used.sum()), y[used]]
    return weights[used] @ each + np.square(coefficients).sum() / (2 * strength)


def check_against_sklearn(X, y, weights, classes, strengths=STRENGTHS, tolerance=1e-8):
    maps = solve(X, y, weights, strengths, classes=classes, tolerance=tolerance)
    logits = maps.logits(X)
    assert logits.dtype == np.float32
    assert logits.shape == (len(weights) * len(strengths), classes, len(X))
    for problem in range(len(logits)):
        fold, strength = problem // len(strengths), strengths[problem % len(strengths)]
        classifier, scaler = sklearns(X, y, weights[fold], strength)
        # Undo what folds the standardization into the weights, to compare the penalty too.
        coefficients = maps.coefficients[problem].astype(np.float64) * scaler.scale_
        intercepts = maps.intercepts[problem] + maps.coefficients[problem] @ scaler.mean_
        arguments = X, y, weights[fold], strength
        mine = objective(*arguments, coefficients, intercepts, classes)
        best = objective(*arguments, classifier.coef_, classifier.intercept_, classes)
        assert mine == pytest.approx(best, rel=1e-3)
        expected = classifier.predict_proba(scaler.transform(X.astype(np.float64)))
        np.testing.assert_allclose(softmax(logits[problem], axis=0).T, expected, atol=0.02)


@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize(("images", "width"), [(120, 8), (40, 100)])
def test_several_folds_and_strengths_jointly_equal_scikit_learn(classes, images, width):
    X, y = blobs(images, width, classes, apart=0.5)
    check_against_sklearn(X, y, leave_out(images, 4), classes)


@pytest.mark.parametrize("classes", [2, 4])
def test_row_weights_count_as_sample_weights(classes):
    X, y = blobs(90, 6, classes, apart=0.5)
    weights = leave_out(90, 3) * np.random.default_rng(1).uniform(0.2, 4, 90).astype(np.float32)
    check_against_sklearn(X, y, weights, classes)


@pytest.mark.parametrize("classes", [2, 3])
def test_one_feature(classes):
    X, y = blobs(60, 1, classes)
    check_against_sklearn(X, y, leave_out(60, 3), classes)


@pytest.mark.parametrize("value", [0.0, 0.1, 1234.5])
def test_a_constant_feature_gets_no_weight(value):
    X, y = blobs(60, 5, 3)
    X[:, 2] = value
    check_against_sklearn(X, y, leave_out(60, 3), 3)
    maps = solve(X, y, leave_out(60, 3), STRENGTHS, classes=3)
    # Whatever weight rounding leaves there moves no logit.
    assert np.abs(maps.coefficients[:, :, 2] * value).max() < 1e-2
    changed = X.copy()
    changed[:, 2] += 1
    np.testing.assert_allclose(maps.logits(changed), maps.logits(X), atol=1e-2)


@pytest.mark.parametrize("spread", [1e-2, 1e-3, 1e-4])
def test_a_feature_that_varies_far_more_in_the_rows_left_out_keeps_its_precision(spread):
    # As the activation of a filter that hardly any image excites.
    X, y = blobs(60, 5, 3, apart=0.3)
    weights = leave_out(60, 3)[:1]
    noise = np.random.default_rng(0).normal(size=60)
    X[:, 2] = np.where(weights[0] > 0, spread * ((y == 1) + noise), 3)
    coefficients = solve(X, y, weights, np.array([1.0]), classes=3, tolerance=1e-8).coefficients[0]
    classifier, scaler = sklearns(X, y, weights[0], 1.0)
    expected = classifier.coef_ - classifier.coef_.mean(0)
    found = (coefficients - coefficients.mean(0)) * scaler.scale_
    np.testing.assert_allclose(found, expected, atol=0.01)


@pytest.mark.parametrize("classes", [2, 3])
def test_a_class_missing_in_a_fold_is_unlikely_there(classes):
    X, y = blobs(60, 5, classes)
    weights = np.stack([y != classes - 1, np.ones(60)]).astype(np.float32)
    logits = solve(X, y, weights, STRENGTHS, classes=classes).logits(X)
    p = softmax(logits, axis=1)[: len(STRENGTHS), -1, y != classes - 1]
    assert np.isfinite(logits).all()
    assert p.max() < 0.05


def test_a_single_row_is_solved():
    X, y = blobs(10, 4, 2)
    weights = np.eye(10, dtype=np.float32)[:1]
    p = softmax(solve(X, y, weights, STRENGTHS, classes=2).logits(X), axis=1)
    assert (p[:, y[0]] > 0.9).all()


@pytest.mark.parametrize("classes", [2, 3])
def test_extreme_features_overflow_nothing(classes):
    # Warnings are errors: an overflow in the sigmoid of a row far out would end this.
    X, y = blobs(30, 20, classes, apart=2)
    X[0] *= 1e5
    logits = solve(X, y, leave_out(30, 3), np.array([1e6]), classes=classes).logits(X)
    assert np.isfinite(logits).all()
    assert np.abs(logits[0, :, 0]).max() > 100
    assert (logits.argmax(1) == y)[:, 1:].mean() > 0.9


@pytest.mark.parametrize("classes", [2, 5])
def test_jointly_equals_one_by_one(classes):
    X, y = blobs(80, 12, classes, apart=0.5)
    weights = leave_out(80, 3)
    together = solve(X, y, weights, STRENGTHS, classes=classes, tolerance=1e-8).logits(X)
    alone = [
        solve(X, y, row[None], np.array([strength]), classes=classes, tolerance=1e-8).logits(X)[0]
        for row in weights
        for strength in STRENGTHS
    ]
    np.testing.assert_allclose(together, np.stack(alone), atol=0.02)


def test_weak_regularization_takes_fewer_steps_from_the_stronger():
    X, y = blobs(300, 100, 4, apart=0.1)
    strengths = 10.0 ** np.arange(-4, 3)
    path = solve(X, y, np.ones((1, 300), np.float32), strengths, classes=4, tolerance=1e-5)
    Z, ones = StandardScaler().fit_transform(X).astype(np.float32), np.ones(300, np.float32)
    alone = [LogisticProblem(Z, y, ones, 4).solve(1 / one, 1e-5, 300) for one in strengths]
    assert path.iterations.sum() < 0.85 * sum(alone)


def test_copies_of_rows_are_as_good_as_weights():
    # Fewer rows than features, and rows that say the same: their products are singular.
    X, y = blobs(20, 50, 3, apart=0.5)
    double = np.full((1, 20), 2, np.float32)
    expected = solve(X, y, double, STRENGTHS, classes=3).logits(X)
    both, ones = np.concatenate([X, X]), np.ones((1, 40), np.float32)
    found = solve(both, np.tile(y, 2), ones, STRENGTHS, classes=3).logits(X)
    np.testing.assert_allclose(found, expected, atol=0.02)


def test_the_same_call_gives_the_same_bits():
    X, y = blobs(80, 12, 5)
    first, second = (solve(X, y, leave_out(80, 3), STRENGTHS, classes=5) for _ in range(2))
    assert first.coefficients.tobytes() == second.coefficients.tobytes()
    assert first.intercepts.tobytes() == second.intercepts.tobytes()


@examples(25)
@given(st.randoms(use_true_random=False), st.integers(2, 4), st.integers(1, 30))
def test_the_order_of_rows_does_not_matter(random, classes, width):
    X, y = blobs(30, width, classes, apart=0.5)
    weights = leave_out(30, 3)
    order = list(range(30))
    random.shuffle(order)
    arguments = {"classes": classes, "tolerance": 1e-8}
    expected = solve(X, y, weights, STRENGTHS, **arguments).logits(X)
    shuffled = solve(X[order], y[order], weights[:, order], STRENGTHS, **arguments).logits(X)
    np.testing.assert_allclose(softmax(shuffled, 1), softmax(expected, 1), atol=0.01)


@examples(25)
@given(st.integers(0, 2**32), st.integers(2, 4), st.floats(-2, 2), st.floats(-100, 100))
def test_the_unit_of_the_features_does_not_matter(seed, classes, magnitude, shift):
    X, y = blobs(30, 6, classes, seed=seed, apart=0.5)
    X = (X - X.mean(0)) / X.std(0)
    moved = (X * np.float32(10**magnitude) + np.float32(shift * 10**magnitude)).astype(np.float32)
    arguments = {"classes": classes, "tolerance": 1e-8}
    expected = solve(X, y, leave_out(30, 3), STRENGTHS, **arguments).logits(X)
    logits = solve(moved, y, leave_out(30, 3), STRENGTHS, **arguments).logits(moved)
    np.testing.assert_allclose(softmax(logits, 1), softmax(expected, 1), atol=0.01)
