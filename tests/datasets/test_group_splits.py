"""Series stay together in every split."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from headstart.datasets.splits import assign_folds, holdout_mask, stratified_sample
from headstart.system.digests import bytes_digest
from tests.properties import examples

sizes = st.lists(st.lists(st.integers(1, 8), min_size=1, max_size=12), min_size=1, max_size=4)
seeds = st.integers(0, 2**32)


def series_of(sizes_of_classes):
    """Keys and labels of series of these sizes, for each class."""
    keys, labels = [], []
    for label, counts in enumerate(sizes_of_classes):
        for number, count in enumerate(counts):
            keys += [bytes_digest(f"{label} {number}".encode())] * count
            labels += [label] * count
    return keys, np.array(labels, dtype=np.int64)


def parts_by_key(keys, assigned):
    parts = {}
    for key, part in zip(keys, assigned.tolist(), strict=True):
        parts.setdefault(key, set()).add(part)
    return parts


@examples(100)
@given(sizes, st.integers(2, 5), seeds)
def test_a_series_is_in_one_fold_and_a_class_in_as_many_as_it_has_series(counts, folds, seed):
    keys, labels = series_of(counts)
    assigned = assign_folds(keys, labels, folds=folds, seed=seed)
    assert all(len(parts) == 1 for parts in parts_by_key(keys, assigned).values())
    for label, of_class in enumerate(counts):
        assert len(set(assigned[labels == label])) == min(len(of_class), folds)


@examples(100)
@given(sizes, st.floats(0.05, 0.8), seeds)
def test_a_series_is_held_out_whole(counts, fraction, seed):
    keys, labels = series_of(counts)
    held = holdout_mask(keys, labels, fraction=fraction, seed=seed)
    assert all(len(parts) == 1 for parts in parts_by_key(keys, held).values())
    for label, of_class in enumerate(counts):
        assert not held[labels == label].all()
        assert held[labels == label].any() or len(of_class) < 3


@pytest.mark.parametrize("seed", range(5))
def test_single_images_make_up_for_series_of_their_class(seed):
    keys, labels = series_of([[30, *[1] * 70], [4] * 5, [9, 9]])
    held = holdout_mask(keys, labels, fraction=0.2, seed=seed)
    assert np.bincount(labels[held], minlength=3).tolist() == [20, 4, 0]


@examples(100)
@given(sizes, st.integers(1, 60), seeds)
def test_a_series_is_drawn_whole(counts, size, seed):
    keys, labels = series_of(counts)
    drawn = stratified_sample(keys, labels, size=size, seed=seed)
    assert all(len(parts) == 1 for parts in parts_by_key(keys, drawn).values())


@examples(50)
@given(sizes, st.integers(2, 5), seeds, st.randoms(use_true_random=False))
def test_series_of_several_classes_stay_together(counts, folds, seed, random):
    keys, labels = series_of(counts)
    labels = np.array([random.randrange(len(counts)) for _ in keys], dtype=np.int64)
    assigned = assign_folds(keys, labels, folds=folds, seed=seed)
    held = holdout_mask(keys, labels, fraction=0.3, seed=seed)
    for parts in (assigned, held):
        together = parts_by_key(keys, parts)
        assert all(len(together[key]) == 1 for key in together if keys.count(key) > 1)


@examples(50)
@given(sizes, seeds, st.randoms(use_true_random=False))
def test_order_does_not_matter(counts, seed, random):
    keys, labels = series_of(counts)
    order = list(range(len(keys)))
    random.shuffle(order)
    mixed = [keys[row] for row in order]
    folds = assign_folds(keys, labels, folds=3, seed=seed)
    held = holdout_mask(keys, labels, fraction=0.3, seed=seed)
    assert (assign_folds(mixed, labels[order], folds=3, seed=seed) == folds[order]).all()
    assert (holdout_mask(mixed, labels[order], fraction=0.3, seed=seed) == held[order]).all()


@pytest.mark.parametrize("seed", range(5))
def test_folds_are_about_as_even_as_those_of_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    keys, labels = series_of([rng.integers(2, 12, 20).tolist() for _ in range(4)])

    def unevenness(folds):
        counts = np.array([np.bincount(labels[folds == fold], minlength=4) for fold in range(5)])
        return counts.std(axis=0).mean()

    ours = assign_folds(keys, labels, folds=5, seed=seed)
    theirs = np.zeros(len(labels), np.int64)
    splitter = StratifiedGroupKFold(5)
    for fold, (_, tested) in enumerate(splitter.split(labels, labels, keys)):
        theirs[tested] = fold
    assert unevenness(ours) <= unevenness(theirs) + 1.0


@pytest.mark.parametrize("fraction", [0.1, 0.3, 0.5])
def test_about_the_share_asked_for_is_held_out(fraction):
    rng = np.random.default_rng(0)
    keys, labels = series_of([rng.integers(2, 9, 40).tolist() for _ in range(3)])
    held = holdout_mask(keys, labels, fraction=fraction, seed=3)
    for label in range(3):
        assert abs(held[labels == label].mean() - fraction) < 0.05


def test_a_sample_has_every_class_also_if_its_series_belong_to_others():
    keys = ["a"] * 5 + [f"{number}" for number in range(20)]
    labels = np.array([0, 0, 0, 0, 2, *[0] * 10, *[1] * 10])
    for seed in range(10):
        drawn = stratified_sample(keys, labels, size=4, seed=seed)
        assert set(labels[drawn].tolist()) == {0, 1, 2}
