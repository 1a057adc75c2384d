from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from headstart.heads.blend import BlendedHead, blend, nested_weights, select_weights
from headstart.heads.calibration import probabilities
from headstart.heads.families import FAMILIES
from headstart.heads.head import LabeledFeatures
from tests.heads.samples import blobs


def predictions(*sharpness, n=400, classes=4, seed=0):
    """Calibrated log-probabilities of independent members, and labels: more is better."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    found = []
    for one in sharpness:
        logits = rng.normal(size=(n, classes))
        logits[np.arange(n), labels] += one
        found.append(np.log(probabilities((one * logits).astype(np.float32))).astype(np.float64))
    return np.stack(found), labels, np.ones(n, np.float32)


def loss(log_probabilities, labels):
    return -log_probabilities[np.arange(len(labels)), labels].mean()


@given(st.lists(st.floats(0, 3), min_size=1, max_size=5), st.integers(0, 9))
def test_weights_sum_to_one(sharpness, seed):
    weights = select_weights(*predictions(*sharpness, n=50, seed=seed))
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()


def test_independent_members_are_better_together():
    found, labels, ones = predictions(2.0, 2.0, 2.0)
    new, new_labels, _ = predictions(2.0, 2.0, 2.0, seed=1)
    weights = select_weights(found, labels, ones)
    assert (weights > 0.15).all()
    assert loss(blend(new, weights), new_labels) < min(loss(one, new_labels) for one in new) - 0.02


def test_harmful_members_are_left_out():
    found, labels, ones = predictions(2.5, 0.0, n=2000)
    wrong = np.log(np.full_like(found[1], 0.01))
    wrong[np.arange(len(labels)), (labels + 1) % 4] = np.log(0.97)
    weights = select_weights(np.stack([found[0], wrong]), labels, ones)
    assert weights.tolist() == [1.0, 0.0]


def test_weights_of_images_and_series_count():
    found, labels, ones = predictions(2.0, 0.3, n=300)
    swapped = np.concatenate([found, found[::-1]], axis=1)  # each member is good on one half
    both = np.concatenate([labels, labels])
    first = select_weights(swapped, both, np.concatenate([ones, 0.01 * ones]))
    last = select_weights(swapped, both, np.concatenate([0.01 * ones, ones]))
    assert first[0] > first[1]
    assert last[0] < last[1]


def test_series_leave_more_doubt():
    found, labels, _ = predictions(2.0, 0.5, n=12)
    copies = np.repeat(np.arange(12), 50)  # 12 scenes of 50 images each
    ones = np.ones(len(copies), np.float32)
    assert (select_weights(found[:, copies], labels[copies], ones) > 0).tolist() == [True, False]
    assert (select_weights(found[:, copies], labels[copies], ones, copies) > 0).all()


def test_no_fold_influences_its_own_weights():
    found, labels, ones = predictions(1.5, 1.0, n=90)
    folds = [np.arange(90) % 3 == fold for fold in range(3)]
    nested = nested_weights(found, labels, ones, folds)
    np.testing.assert_allclose(np.exp(nested).sum(1), 1)
    changed = np.where(folds[0], (labels + 1) % 4, labels)
    again = nested_weights(found, changed, ones, folds)
    np.testing.assert_array_equal(nested[folds[0]], again[folds[0]])


def blended(kind="logistic"):
    X, y = blobs(60, 8, 3)
    family = FAMILIES[kind]
    ones, setting = np.ones(60, np.float32), family.settings[family.default]
    parts = [X[:, :3], X[:, 3:]]
    heads = [family.fit(LabeledFeatures(part, y, 3), ones, setting) for part in parts]
    return BlendedHead.of(heads, [0.5, 2.0], [0.25, 0.75]), heads, X


@pytest.mark.parametrize("kind", FAMILIES)
def test_blended_logits(kind):
    head, (first, second), X = blended(kind)
    assert (head.kind, head.width) == (kind, 8)
    p, q = probabilities(first.logits(X[:, :3]), 0.5), probabilities(second.logits(X[:, 3:]), 2.0)
    geometric = np.maximum(p, 1e-9) ** 0.25 * np.maximum(q, 1e-9) ** 0.75
    expected = geometric / geometric.sum(1, keepdims=True)
    np.testing.assert_allclose(probabilities(head.logits(X)), expected, atol=1e-5)
    found = head.torch_logits(torch.from_numpy(X))
    np.testing.assert_allclose(found.softmax(1).numpy(), expected, atol=1e-4)


@pytest.mark.parametrize("kind", FAMILIES)
def test_saved_heads(kind):
    head, _, X = blended(kind)
    again = BlendedHead.load(head.tensors(), [FAMILIES[kind].load] * 2)
    np.testing.assert_array_equal(again.logits(X), head.logits(X))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("weights", [0.5]),
        ("weights", [0.5, -0.5]),
        ("temperatures", [1, float("nan")]),
        ("temperatures", [0, 1]),
    ],
)
def test_damaged_heads(name, value):
    tensors = {**blended()[0].tensors(), name: np.array(value, np.float32)}
    with pytest.raises(ValueError, match=f"{name} are not 2 positive numbers"):
        BlendedHead.load(tensors, [FAMILIES["logistic"].load] * 2)
    del tensors[name]
    with pytest.raises(KeyError):
        BlendedHead.load(tensors, [FAMILIES["logistic"].load] * 2)


def test_more_members_of_one_kind_do_not_get_worse():
    new, labels, _ = predictions(*[1.5] * 4, seed=1)
    old = predictions(*[1.5] * 4)
    losses = [
        loss(blend(new[:count], select_weights(old[0][:count], *old[1:])), labels)
        for count in range(1, 5)
    ]
    assert all(after < before for before, after in pairwise(losses))


def test_gradients_pass_the_floor_of_certain_members():
    head, _, X = blended("logistic")
    inputs = torch.from_numpy(1000 * X).requires_grad_()
    found = head.torch_logits(inputs)
    least = found.argmin(1)
    found.gather(1, least[:, None]).sum().backward()
    assert (inputs.grad != 0).any(1).all()
