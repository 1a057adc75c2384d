import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler, normalize

from headstart.series import neighbors
from headstart.series.neighbors import Neighbors, Space, class_spread


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
    space, labels = Space.of([features()]), np.arange(50) % 3
    found = Neighbors.of(space, labels, count=4)
    distances, rows = NearestNeighbors(n_neighbors=5).fit(space.X).kneighbors(space.X)
    assert (found.rows == rows[:, 1:]).all()
    assert np.allclose(found.distances, distances[:, 1:], atol=1e-3)
    all_distances = np.linalg.norm(space.X[:, None] - space.X[None], axis=2)
    other = np.where(labels[:, None] == labels[None], np.inf, all_distances).min(1)
    assert np.allclose(found.other_class, other, atol=1e-3)


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
