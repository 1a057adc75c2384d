import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.datasets.splits import assign_folds, holdout_mask, stratified_sample
from headstart.errors import DataError
from headstart.system.digests import bytes_digest
from tests.properties import examples


def digests_of(*counts, start=0):
    """Digests and labels of so many different images of each class."""
    digests = [
        bytes_digest(f"{label} {number}".encode())
        for label, count in enumerate(counts)
        for number in range(start, start + count)
    ]
    return digests, np.repeat(np.arange(len(counts)), counts)


class_counts = st.lists(st.integers(1, 40), min_size=1, max_size=5)
seeds = st.integers(0, 2**32)
folds_counts = st.integers(2, 10)


@examples(100)
@given(class_counts, folds_counts, seeds)
def test_folds_partition_and_cover_every_class(counts, folds, seed):
    digests, labels = digests_of(*counts)
    fold = assign_folds(digests, labels, folds=folds, seed=seed)
    assert fold.dtype == np.int64
    assert fold.shape == labels.shape
    assert fold.min() >= 0
    assert fold.max() < folds
    for label, count in enumerate(counts):
        assert len(set(fold[labels == label])) == min(count, folds)


@examples(100)
@given(class_counts, folds_counts, seeds, st.randoms(use_true_random=False))
def test_order_does_not_matter(counts, folds, seed, random):
    digests, labels = digests_of(*counts)
    order = list(range(len(digests)))
    random.shuffle(order)
    shuffled = [digests[row] for row in order]
    fold = assign_folds(digests, labels, folds=folds, seed=seed)
    held = holdout_mask(digests, labels, fraction=0.3, seed=seed)
    assert (assign_folds(shuffled, labels[order], folds=folds, seed=seed) == fold[order]).all()
    assert (holdout_mask(shuffled, labels[order], fraction=0.3, seed=seed) == held[order]).all()


@examples(100)
@given(st.integers(80, 150), st.integers(1, 100), seeds)
def test_additions_move_no_old_image_of_a_class_of_some_size(count, added, seed):
    digests, labels = digests_of(count, count)
    more, more_labels = digests_of(added, added, start=count)
    all_labels = np.concatenate([labels, more_labels])
    before = assign_folds(digests, labels, folds=5, seed=seed)
    after = assign_folds(digests + more, all_labels, folds=5, seed=seed)
    # All five folds are met by chance in a class of 80, but for 1 in 10 million.
    assert (before == after[: len(before)]).all()


@examples(100)
@given(st.integers(2, 30), seeds)
def test_one_more_image_moves_few_in_small_classes(count, seed):
    digests, labels = digests_of(count + 1)
    before = assign_folds(digests[:-1], labels[:-1], folds=5, seed=seed)
    after = assign_folds(digests, labels, folds=5, seed=seed)
    assert (before != after[:-1]).sum() <= 4


@examples(100)
@given(st.integers(1, 60), st.floats(0.05, 0.6), seeds)
def test_one_more_image_moves_at_most_one_between_train_and_held_out(count, fraction, seed):
    digests, labels = digests_of(count + 1)
    before = holdout_mask(digests[:-1], labels[:-1], fraction=fraction, seed=seed)
    after = holdout_mask(digests, labels, fraction=fraction, seed=seed)
    assert (before != after[:-1]).sum() <= 1


def test_many_more_images_move_few_between_train_and_held_out():
    digests, labels = digests_of(100)
    more, more_labels = digests_of(20, start=100)
    moved = [
        (
            holdout_mask(digests, labels, fraction=0.2, seed=seed)
            != holdout_mask(
                [*digests, *more], np.append(labels, more_labels), fraction=0.2, seed=seed
            )[:100]
        ).sum()
        for seed in range(30)
    ]
    assert np.mean(moved) < 2.5


@examples(100)
@given(class_counts, st.floats(0.01, 0.95), seeds)
def test_every_class_trains_and_is_tested_if_it_can_be(counts, fraction, seed):
    digests, labels = digests_of(*counts)
    held = holdout_mask(digests, labels, fraction=fraction, seed=seed)
    assert held.dtype == np.bool_
    for label, count in enumerate(counts):
        of_class = held[labels == label]
        if count < 3:
            assert of_class.sum() == int(count == 2 and fraction >= 0.5)
        else:
            nearest = min(max(fraction * count, 1), count - 1)
            assert abs(of_class.sum() - nearest) <= 0.5
        assert not of_class.all()


@pytest.mark.parametrize(
    ("images", "held"),
    [(1, 0), (2, 0), (3, 1), (4, 1), (5, 1), (7, 1), (8, 2), (40, 8), (42, 8), (43, 9)],
)
def test_a_fifth_is_as_near_as_counts_allow(images, held):
    digests, labels = digests_of(images, 30)
    assert holdout_mask(digests, labels, fraction=0.2, seed=4)[:images].sum() == held
    half = holdout_mask(digests, labels, fraction=0.5, seed=4)[:images].sum()
    assert half == images // 2 + (images % 2 and images > 1)


def test_holdout_grows_with_the_fraction():
    digests, labels = digests_of(200, 200)
    small = holdout_mask(digests, labels, fraction=0.1, seed=0)
    large = holdout_mask(digests, labels, fraction=0.3, seed=0)
    assert (large | ~small).all()
    assert not holdout_mask(digests, labels, fraction=0, seed=0).any()


@pytest.mark.parametrize("seed", range(5))
def test_shares_are_near_what_was_asked(seed):
    counts = (1000, 300)
    digests, labels = digests_of(*counts)
    fold = assign_folds(digests, labels, folds=5, seed=seed)
    held = holdout_mask(digests, labels, fraction=0.2, seed=seed)
    for label, count in enumerate(counts):
        tolerance = 4 * np.sqrt(count * 0.2 * 0.8)
        sizes = np.bincount(fold[labels == label], minlength=5)
        assert np.abs(sizes - count / 5).max() <= tolerance
        assert held[labels == label].sum() == count / 5


def test_seeds_differ_and_repeat():
    digests, labels = digests_of(50, 50)
    first = assign_folds(digests, labels, folds=5, seed=1)
    assert (first == assign_folds(digests, labels, folds=5, seed=1)).all()
    assert (first != assign_folds(digests, labels, folds=5, seed=2)).any()


def test_known_assignment():
    """A change of the assignment would silently reshuffle everybody's data."""
    digests, labels = digests_of(6, 6)
    folds = [2, 0, 1, 2, 0, 0, 0, 0, 2, 1, 0, 1]
    assert assign_folds(digests, labels, folds=3, seed=0).tolist() == folds
    held = np.flatnonzero(holdout_mask(digests, labels, fraction=0.3, seed=0))
    assert held.tolist() == [0, 2, 6, 10]


@pytest.mark.slow
@examples(100)
@given(class_counts, st.integers(1, 60), st.integers(0, 60), seeds)
def test_a_draw_keeps_proportions_and_larger_ones_hold_smaller_ones(counts, size, more, seed):
    digests, labels = digests_of(*counts)
    drawn = stratified_sample(digests, labels, size=size, seed=seed)
    for label, count in enumerate(counts):
        share = min(count, max(2, -(-size * count // len(digests))))
        assert drawn[labels == label].sum() == share
    assert (stratified_sample(digests, labels, size=size + more, seed=seed) >= drawn).all()
    assert stratified_sample(digests, labels, size=len(digests), seed=seed).all()
    assert (
        stratified_sample(digests[::-1], labels[::-1], size=size, seed=seed) == drawn[::-1]
    ).all()


def test_another_seed_draws_others():
    digests, labels = digests_of(50, 50)
    one, other = (stratified_sample(digests, labels, size=20, seed=seed) for seed in (0, 1))
    assert (one != other).any()


@examples(100)
@given(st.integers(1, 12), seeds)
def test_copies_stay_together(count, seed):
    digests, labels = digests_of(count)
    doubled, labels = digests * 2, np.concatenate([labels, labels])
    fold = assign_folds(doubled, labels, folds=4, seed=seed)
    held = holdout_mask(doubled, labels, fraction=0.4, seed=seed)
    assert (fold[:count] == fold[count:]).all()
    assert (held[:count] == held[count:]).all()


def test_nothing_to_split():
    labels = np.zeros(0, dtype=np.int64)
    assert assign_folds([], labels, folds=5, seed=0).shape == (0,)
    assert holdout_mask([], labels, fraction=0.5, seed=0).shape == (0,)


@pytest.mark.parametrize("fraction", [-0.1, 1.0, float("nan")])
def test_refuses_a_wrong_fraction(fraction):
    with pytest.raises(DataError, match="fraction"):
        holdout_mask(["a"], np.zeros(1, dtype=np.int64), fraction=fraction, seed=0)


def test_refuses_what_does_not_fit():
    with pytest.raises(DataError, match="1 folds"):
        assign_folds(["a"], np.zeros(1, dtype=np.int64), folds=1, seed=0)
    with pytest.raises(DataError, match="2 digests"):
        assign_folds(["a", "b"], np.zeros(1, dtype=np.int64), folds=2, seed=0)


def test_a_second_choice_for_another_purpose_finds_its_share_of_the_rest():
    digests = [f"{number:032x}" for number in range(400)]
    labels = np.zeros(400, np.int64)
    held = holdout_mask(digests, labels, fraction=0.3, seed=0)
    rest = [digest for digest, out in zip(digests, held, strict=True) if not out]
    again = holdout_mask(rest, labels[: len(rest)], fraction=0.2, seed=0, purpose="validation")
    assert again.sum() == 56
