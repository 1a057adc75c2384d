import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from headstart.finetuning.examples import Batch, cutmix, mixup, shuffled
from tests.finetuning.networks import SIDE, small_examples, small_network
from tests.properties import examples


def batch(shape: tuple[int, ...] = (4, 6, 5), count: int = 8) -> Batch:
    rng = np.random.default_rng(0)
    return Batch(
        maps=torch.tensor(rng.normal(size=(count, *shape)).astype(np.float32)),
        features=(torch.tensor(rng.normal(size=(count, 3)).astype(np.float32)),),
        targets=torch.eye(count),  # so that the targets tell who was mixed with whom
    )


def partners(mixed: Batch) -> tuple[np.ndarray, float]:
    """Whom each was mixed with, and the share that is its own."""
    targets = mixed.targets.numpy()
    own = np.diag(targets)
    others = targets - np.diag(own)
    order = np.where(own > 0.999, np.arange(len(own)), others.argmax(1))
    return order, float(own[order != np.arange(len(own))].mean())


def test_mixup_against_numpy():
    plain = batch()
    mixed = mixup(plain, 0.8, np.random.default_rng(3))
    order, share = partners(mixed)
    assert sorted(order) == list(range(8))
    assert 0 < share < 1
    for ours, given_ in ((mixed.maps, plain.maps), (mixed.features[0], plain.features[0])):
        values = given_.numpy()
        np.testing.assert_allclose(
            ours.numpy(), share * values + (1 - share) * values[order], rtol=1e-5, atol=1e-6
        )


def test_cutmix_against_numpy():
    plain = batch()
    mixed = cutmix(plain, 1.0, np.random.default_rng(5))
    order, share = partners(mixed)
    values, found = plain.maps.numpy(), mixed.maps.numpy()
    moved = order != np.arange(8)
    foreign = (found != values)[moved]  # (M, C, H, W)
    box = foreign[0, 0]
    assert (foreign == box).all()  # the same rectangle in all
    rows, columns = np.nonzero(box.any(1))[0], np.nonzero(box.any(0))[0]
    assert box.sum() == len(rows) * len(columns)
    assert box[np.ix_(rows, columns)].all()
    np.testing.assert_array_equal(found[:, :, box], values[order][:, :, box])
    np.testing.assert_array_equal(found[:, :, ~box], values[:, :, ~box])
    assert share == pytest.approx(1 - box.mean())
    features = plain.features[0].numpy()
    np.testing.assert_allclose(
        mixed.features[0].numpy(), share * features + (1 - share) * features[order], rtol=1e-5
    )


def test_cutmix_of_vectors_and_tokens_is_mixup():
    for shape in ((7,), (9, 4)):
        one = cutmix(batch(shape), 0.5, np.random.default_rng(1))
        other = mixup(batch(shape), 0.5, np.random.default_rng(1))
        assert torch.equal(one.maps, other.maps)
        assert torch.equal(one.targets, other.targets)


@examples(100)
@given(seed=st.integers(0, 1000), alpha=st.floats(0.05, 5), cutting=st.booleans())
def test_targets_stay_probabilities(seed: int, alpha: float, cutting: bool):
    mix = cutmix if cutting else mixup
    mixed = mix(batch(), alpha, np.random.default_rng(seed))
    assert mixed.targets.min() >= 0
    np.testing.assert_allclose(mixed.targets.sum(1), 1, rtol=1e-5)
    assert mixed.maps.shape == batch().maps.shape


@examples(100)
@given(count=st.integers(1, 60), size=st.integers(2, 20), seed=st.integers(0, 99))
def test_shuffled_has_all_rows_once_and_no_batch_of_one(count: int, size: int, seed: int):
    rows = np.arange(100, 100 + count)
    parts = shuffled(rows, size, np.random.default_rng(seed))
    found = np.concatenate(parts)
    left_out = count % size == 1 and count > 1
    assert len(found) == count - left_out
    assert len(set(found.tolist())) == len(found)
    assert set(found.tolist()) <= set(rows.tolist())
    assert all(len(part) == size for part in parts[:-1])
    assert len(parts[-1]) > 1 or count == 1


def test_a_batch_is_the_views_asked_for():
    examples = small_examples()
    rows, views = np.array([3, 0, 5]), np.array([1, 0, 1])
    found = examples.batch(rows, views)
    assert found.maps.shape == (3, *examples.shape)
    expected = examples.activations.maps[rows, views].astype(np.float32)
    np.testing.assert_array_equal(found.maps.numpy().reshape(3, -1), expected)
    np.testing.assert_array_equal(
        found.features[0].numpy(), examples.activations.features[0][rows, views]
    )
    assert found.targets.argmax(1).tolist() == examples.labels[rows].tolist()
    assert found.targets.sum().item() == 3


def test_pixels_are_normalized_as_the_network_does():
    examples, network = small_examples(stage=""), small_network()
    rows = np.array([2, 7])
    found = examples.batch(rows, np.array([0, 0]))
    raw = examples.activations.maps[rows, 0].reshape(2, SIDE, SIDE, 3)
    x = torch.tensor(raw).permute(0, 3, 1, 2) / 255
    assert torch.allclose(found.maps, (x - network.mean) / network.std, atol=1e-6)


def test_plain_is_the_first_view_in_order():
    examples = small_examples()
    rows = np.array([5, 1, 4, 2, 9])
    parts = list(examples.plain(rows, 2))
    assert [len(part.maps) for part in parts] == [2, 2, 1]
    joined = torch.cat([part.maps for part in parts])
    assert torch.equal(joined, examples.batch(rows, np.zeros(5, int)).maps)
