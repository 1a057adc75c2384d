"""The best of some plain classifiers, chosen and tested on different images."""

import numpy as np
import pytest
from sklearn.svm import SVC

from headstart.datasets.splits import assign_folds
from headstart.transfer import plain_classifiers
from headstart.transfer.plain_classifiers import best_plain_classifier
from tests.heads.samples import blobs


def folds_for(y: np.ndarray, count: int = 3) -> np.ndarray:
    return assign_folds([f"{row:032x}" for row in range(len(y))], y, folds=count, seed=0)


def test_it_learns_what_can_be_learned():
    X, y = blobs(120, 6, 3, apart=3.0)
    _, correct = best_plain_classifier(X / X.std(axis=0), y, folds_for(y), classes=3)
    assert correct.mean() > 0.9
    assert correct.shape == (120,)


def test_a_ring_needs_support_vectors_or_neighbors():
    rng = np.random.default_rng(0)
    y = np.arange(200) % 2
    radius, angle = 1 + 1.5 * y + 0.1 * rng.normal(size=200), rng.uniform(0, 2 * np.pi, 200)
    X = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).astype(np.float32)
    classifier, correct = best_plain_classifier(X, y, folds_for(y), classes=2)
    assert correct.mean() > 0.95
    assert "logistic" not in classifier


def test_labels_by_chance_are_guessed_by_chance():
    """Whatever is chosen on the tested fold itself would look better than chance here."""
    rng = np.random.default_rng(0)
    shares = []
    for seed in range(6):
        X = rng.normal(size=(90, 20)).astype(np.float32)
        y = np.random.default_rng(seed).permutation(np.arange(90) % 2)
        shares.append(best_plain_classifier(X, y, folds_for(y), classes=2)[1].mean())
    assert abs(np.mean(shares) - 0.5) < 3 * 0.5 / np.sqrt(6 * 90)


def test_support_vectors_are_scikit_learns():
    X, y = blobs(60, 4, 3)
    out = folds_for(y) == 0
    squared = plain_classifiers._distances(X, X)
    gamma = 1 / np.median(squared)
    kernel = np.exp(-gamma * squared)
    expected = SVC(C=10, gamma=gamma).fit(X[~out], y[~out]).predict(X[out])
    np.testing.assert_array_equal(plain_classifiers._predict_by_svm(kernel, y, out, 10), expected)


def test_a_shifted_picture_is_the_same_picture():
    rng = np.random.default_rng(0)
    pictures = np.zeros((6, 12, 12, 3), np.float32)
    pictures[:3, 3:8, 3:8] = rng.random((3, 5, 5, 3))
    for row in range(3):
        pictures[3 + row] = np.roll(pictures[row], (2, -1), axis=(0, 1))
    X = pictures.reshape(6, -1)
    found = plain_classifiers._shifted_distances(X, (12, 12, 3))
    np.testing.assert_allclose(found, found.T)
    np.testing.assert_allclose(np.diag(found[:3, 3:]), 0, atol=1e-4)
    assert (found <= plain_classifiers._distances(X, X) + 1e-4).all()
    assert found[0, 1] > 1


def test_shifts_count_where_pixels_are_given():
    """Each class is one small pattern anywhere within two pixels."""
    rng = np.random.default_rng(0)
    patterns = (rng.random((2, 4, 4, 1)) > 0.5) * np.ones(3)
    y = np.arange(60) % 2
    pictures = np.zeros((60, 12, 12, 3), np.float32)
    for row, label in enumerate(y):
        top, left = rng.integers(3, 6, 2)
        pictures[row, top : top + 4, left : left + 4] = patterns[label]
    pictures += 0.3 * rng.random(pictures.shape).astype(np.float32)
    X = pictures.reshape(60, -1)
    folds = folds_for(y)
    shifted = best_plain_classifier(X, y, folds, classes=2, shape=(12, 12, 3))[1].mean()
    assert shifted >= best_plain_classifier(X, y, folds, classes=2)[1].mean()
    assert shifted > 0.95


def test_the_only_image_of_a_class_may_be_held_out():
    X, y = blobs(30, 4, 2)
    y[:] = 0
    y[0] = 1
    calls: list[tuple[int, int]] = []
    _, correct = best_plain_classifier(
        X, y, folds_for(y), classes=2, progress=lambda done, total: calls.append((done, total))
    )
    assert correct[1:].mean() > 0.9
    assert calls[-1] == (4, 4)


@pytest.mark.parametrize("value", [0.0, 0.5])
def test_pictures_that_are_all_the_same_are_no_trouble(value: float):
    y = np.arange(30) % 2
    _, correct = best_plain_classifier(
        np.full((30, 8), value, np.float32), y, folds_for(y), classes=2
    )
    assert 0 <= correct.mean() <= 1
