import subprocess
import sys

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid

from headstart.heads import knn
from headstart.heads.centroid import CentroidHead
from headstart.heads.families import FAMILIES
from headstart.heads.head import LabeledFeatures
from headstart.heads.knn import KnnHead, unit_length
from headstart.heads.logistic import LinearHead
from headstart.heads.standardization import Standardization
from tests.heads.samples import blobs

KINDS = list(FAMILIES)
ONES = np.ones(60, np.float32)


def trained(kind, *, classes=3, setting=None, apart=1.0):
    X, y = blobs(60, 7, classes, apart=apart)
    family = FAMILIES[kind]
    setting = family.settings[family.default] if setting is None else setting
    return family.fit(LabeledFeatures(X, y, classes), ONES, setting), X, y


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("classes", [2, 5])
def test_tensors_hold_all_there_is(kind, classes):
    head, X, _ = trained(kind, classes=classes)
    again = FAMILIES[kind].load(head.tensors())
    assert again.kind == head.kind == kind
    assert again.logits(X).tobytes() == head.logits(X).tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_tensor_is_a_key_error(kind):
    head, _, _ = trained(kind)
    for name in head.tensors():
        tensors = {other: array for other, array in head.tensors().items() if other != name}
        with pytest.raises(KeyError, match=name):
            FAMILIES[kind].load(tensors)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("classes", [2, 5])
def test_logits_are_finite_float32_and_their_softmax_sums_to_1(kind, classes):
    head, X, _ = trained(kind, classes=classes)
    logits = head.logits(X)
    assert logits.dtype == np.float32
    assert logits.shape == (60, classes)
    assert np.isfinite(logits).all()
    np.testing.assert_allclose(softmax(logits, axis=1).sum(1), 1, rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_no_images_give_no_logits(kind):
    head, X, _ = trained(kind)
    assert head.logits(X[:0]).shape == (0, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_each_image_is_judged_for_itself(kind):
    head, X, _ = trained(kind)
    alone = np.concatenate([head.logits(X[row : row + 1]) for row in range(60)])
    np.testing.assert_allclose(head.logits(X), alone, rtol=1e-4, atol=1e-4)


def test_standardized_features_have_mean_0_and_spread_1():
    X, _ = blobs(60, 7, 3)
    Z = Standardization.of(X, ONES)(X)
    np.testing.assert_allclose(Z.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(Z.std(0), 1, rtol=1e-4)


def test_a_weight_of_two_is_two_images():
    X, _ = blobs(60, 7, 3)
    weights = np.where(np.arange(60) < 20, 2, 1).astype(np.float32)
    weighted = Standardization.of(X, weights)
    repeated = Standardization.of(np.concatenate([X, X[:20]]), np.ones(80, np.float32))
    np.testing.assert_allclose(weighted.mean, repeated.mean, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(weighted.scale, repeated.scale, rtol=1e-5)


def test_a_constant_feature_does_not_become_noise():
    X = np.full((9, 2), 0.1, np.float32)
    np.testing.assert_allclose(Standardization.of(X, np.ones(9, np.float32))(X), 0, atol=1e-6)


def test_the_prior_draws_each_variance_to_the_mean_of_its_block():
    X, _ = blobs(60, 7, 3)
    plain = np.square(Standardization.of(X, ONES).scale)
    half = np.square(Standardization.of(X, ONES, blocks=[3, 4], prior=60).scale)
    np.testing.assert_allclose(half[:3], (plain[:3] + plain[:3].mean()) / 2, rtol=1e-4)
    np.testing.assert_allclose(half[3:], (plain[3:] + plain[3:].mean()) / 2, rtol=1e-4)


def test_the_prior_gives_a_feature_that_happens_not_to_vary_an_ordinary_scale():
    X, _ = blobs(6, 7, 3)
    X[:, 0] = 0
    scale = Standardization.of(X, np.ones(6, np.float32), prior=30).scale
    assert scale[0] > 0.5 * scale.mean()


def test_centroids_predict_as_scikit_learns_on_standardized_features():
    head, X, y = trained("centroid", classes=4, apart=0.5)
    assert isinstance(head, CentroidHead)
    Z = head.standardization(X)
    new = head.standardization(blobs(500, 7, 4, seed=1, apart=0.5)[0])
    reference = NearestCentroid().fit(Z, y)
    np.testing.assert_allclose(head.centroids, reference.centroids_, atol=1e-4)
    pixels = new * head.standardization.scale + head.standardization.mean
    assert (head.logits(pixels).argmax(1) == reference.predict(new)).mean() > 0.99


def test_centroid_logits_are_minus_half_the_squared_distance_by_the_root_of_the_width():
    head, X, _ = trained("centroid")
    Z = head.standardization(X)
    distance = np.square(Z[:, None] - head.centroids[None]).sum(2)
    expected = -distance / 2 / np.sqrt(7)
    logits = head.logits(X)
    # Equal but for what is the same for all classes.
    np.testing.assert_allclose(
        logits - logits.mean(1, keepdims=True),
        expected - expected.mean(1, keepdims=True),
        atol=1e-4,
    )


def test_the_nearest_neighbor_is_scikit_learns():
    head, X, y = trained("knn", classes=4, setting=1.0, apart=0.5)
    new = blobs(200, 7, 4, seed=1, apart=0.5)[0]
    reference = KNeighborsClassifier(1, metric="cosine").fit(head.standardization(X), y)
    assert (head.logits(new).argmax(1) == reference.predict(head.standardization(new))).all()


def test_nearer_neighbors_have_more_to_say():
    head, X, y = trained("knn", classes=4, setting=5.0, apart=0.5)
    assert isinstance(head, KnnHead)
    new = blobs(200, 7, 4, seed=1, apart=0.5)[0]
    reference = KNeighborsClassifier(
        5, metric="cosine", weights=lambda distance: np.exp(-distance / 0.07)
    ).fit(head.standardization(X), y)
    expected = reference.predict_proba(head.standardization(new))
    p = softmax(head.logits(new).astype(np.float64), axis=1)
    np.testing.assert_allclose(p, (expected + 1e-3 / 4) / (1 + 1e-3), atol=1e-3)


def test_one_search_answers_for_several_k():
    head, X, _ = trained("knn", apart=0.5)
    logits = head.logits_by_count(X, [25, 5, 1])
    for k, found in zip([25, 5, 1], logits, strict=True):
        alone = trained("knn", setting=k, apart=0.5)[0]
        np.testing.assert_allclose(found, alone.logits(X), rtol=1e-5, atol=1e-5)


def test_more_neighbors_than_examples_are_all_of_them():
    X, y = blobs(4, 7, 2)
    ones = np.ones(4, np.float32)
    many, four = (FAMILIES["knn"].fit(LabeledFeatures(X, y, 2), ones, k) for k in (25, 4))
    np.testing.assert_allclose(many.logits(X), four.logits(X), rtol=1e-6)


def test_searching_block_by_block_finds_the_same(monkeypatch):
    head, X, _ = trained("knn", setting=5)
    expected = head.logits(X)
    monkeypatch.setattr(knn, "_BLOCK", 1)
    np.testing.assert_allclose(head.logits(X), expected, rtol=1e-4, atol=1e-4)


def test_an_image_without_any_feature_has_no_direction_and_yet_an_answer():
    head, _, _ = trained("knn")
    p = softmax(head.logits(head.standardization.mean[None]), axis=1)
    assert np.isfinite(p).all()
    assert unit_length(np.zeros((1, 3), np.float32)).tolist() == [[0, 0, 0]]


def test_a_linear_head_is_its_formula():
    coefficients = np.array([[1, 2], [0, -1]], np.float32)
    head = LinearHead(coefficients, np.array([0.5, 0], np.float32))
    assert head.logits(np.array([[1, 1]], np.float32)).tolist() == [[3.5, -1]]


def test_no_module_of_heads_imports_torch():
    code = (
        "import importlib, pkgutil, sys; import headstart.heads as heads;"
        "names = [module.name for module in pkgutil.iter_modules(heads.__path__)];"
        "[importlib.import_module(f'headstart.heads.{name}') for name in names];"
        "print(len(names) > 9, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]
