import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler, normalize

from headstart.series import neighbors
from headstart.series.neighbors import Space, class_spread, nearest, other_class_distances


def features(seed=0, count=50, width=20):
    return np.random.default_rng(seed).normal(3, 2, (count, width)).astype(np.float32)


def test_features_are_standardized_and_of_unit_length():
    X = features()
    expected = normalize(StandardScaler().fit_transform(X))
    assert np.allclose(Space.of([X]).X, expected, atol=1e-5)


def test_stages_have_the_same_weight():
    one, other = features(1, width=5), 100 * features(2, width=200)
    parts = [normalize(StandardScaler().fit_transform(part)) for part in (one, other)]
    expected = normalize(StandardScaler().fit_transform(np.concatenate(parts, axis=1)))
    assert np.allclose(Space.of([one, other]).X, expected, atol=1e-5)


@pytest.mark.parametrize("block", [7, 1_000])
def test_neighbors_are_those_of_scikit_learn(block, monkeypatch):
    monkeypatch.setattr(neighbors, "_BLOCK", block)
    space = Space.of([features()])
    found = nearest(space, count=4)
    distances, rows = NearestNeighbors(n_neighbors=5).fit(space.X).kneighbors(space.X)
    assert (found.rows == rows[:, 1:]).all()
    assert np.allclose(found.distances, distances[:, 1:], atol=1e-3)


@pytest.mark.parametrize("block", [7, 1_000])
def test_neighbors_and_others_by_class(block, monkeypatch):
    monkeypatch.setattr(neighbors, "_BLOCK", block)
    space, labels = Space.of([features()]), np.array([0] * 30 + [1] * 17 + [2] * 2 + [3])
    everything = np.linalg.norm(space.X[:, None] - space.X[None], axis=2)
    np.fill_diagonal(everything, np.inf)
    same = labels[:, None] == labels[None]
    inside = np.sort(np.where(same, everything, np.inf), axis=1)[:, :4]
    found = nearest(space, count=4, labels=labels)
    assert np.allclose(found.distances, inside, atol=1e-3)
    assert ((found.rows == -1) == np.isinf(inside)).all()
    known = found.rows >= 0
    assert (labels[found.rows] == labels[:, None])[known].all()
    others = other_class_distances(space, labels)
    assert np.allclose(others, np.where(same, np.inf, everything).min(1), atol=1e-3)
    assert len(other_class_distances(space, np.zeros(50, np.int64))) == 0


def test_features_of_many_images_are_reduced_and_keep_their_distances(monkeypatch):
    X = features(count=60, width=600)
    exact = Space.of([X])
    monkeypatch.setattr(neighbors, "_COMPARED", 50)
    reduced = Space.of([X])
    assert reduced.X.shape == (60, 192)
    left, right = np.triu_indices(60, 1)
    ratio = reduced.distances(left, right) / exact.distances(left, right)
    assert 0.8 < ratio.min() < 1 < ratio.max() < 1.2


def test_distances_of_pairs():
    space = Space.of([features()])
    left, right = np.array([0, 3]), np.array([9, 3])
    assert np.allclose(
        space.distances(left, right), np.linalg.norm(space.X[left] - space.X[right], axis=1)
    )


def test_the_spread_is_the_quantile_of_distances_in_the_class():
    space, labels = Space.of([features()]), np.array([0] * 30 + [1] * 19 + [2])
    inside = space.X[:30]
    pairs = np.linalg.norm(inside[:, None] - inside[None], axis=2)[np.triu_indices(30, 1)]
    spread = class_spread(space, labels)
    assert np.allclose(spread[:30], np.quantile(pairs, 0.9), atol=1e-4)
    assert spread[49] == np.inf
