import numpy as np
from sklearn.neighbors import NearestNeighbors

from headstart.auditing import outliers
from headstart.auditing.outliers import class_distances, outlier_issues
from headstart.heads.rows import Rows
from tests.auditing.made_up import clusters, images


def rows(X: np.ndarray) -> Rows:
    return Rows((X,), np.arange(len(X)))


def test_distances_are_those_of_scikit_learn():
    X, y = clusters(120)
    found = class_distances(rows(X), y)
    Z = (X - X.mean(0)) / X.std(0)
    expected, spreads = {}, []
    for label in range(3):
        own = Z[y == label]
        nearest = NearestNeighbors(n_neighbors=6, metric="cosine").fit(own).kneighbors(own)[0]
        means = nearest[:, 1:].mean(1)
        middle = np.median(means)
        expected[label] = means - middle
        spreads.append(1.4826 * np.median(np.abs(means - middle)))
    for label in range(3):
        theirs = expected[label] / max(spreads[label], np.median(spreads))
        np.testing.assert_allclose(found[y == label], theirs, rtol=1e-2, atol=1e-3)


def test_blocks_make_no_difference(monkeypatch):
    X, y = clusters(120)
    whole = class_distances(rows(X), y)
    monkeypatch.setattr(outliers, "_MEMORY", 300)
    np.testing.assert_allclose(class_distances(rows(X), y), whole, rtol=1e-3, atol=1e-3)


def test_a_strange_image_is_found():
    X, y = clusters(240, width=30)
    X[5] = -2 * X[y == y[5]].mean(0)
    issues = outlier_issues(images(y), rows(X))
    assert issues[0].path == "0005.jpg"
    assert len(issues) <= 8
    assert 0.5 <= issues[0].score <= 1


def test_small_classes_are_left_out():
    X, y = clusters(27)
    assert np.isneginf(class_distances(rows(X), y)).all()
    assert outlier_issues(images(y), rows(X)) == []
