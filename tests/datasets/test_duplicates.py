from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from headstart.datasets.dataset import ImageDataset
from headstart.datasets.duplicates import deduplicate
from headstart.types import Conflict
from tests.properties import examples

CLASSES = ("ant", "bee")


def curated(*rows, last=None):
    """`deduplicate` for rows of digest, label and path."""
    digests, numbers, paths = zip(*rows, strict=True)
    labels, last = np.array(numbers), None if last is None else np.array(last)
    dataset = ImageDataset(
        name="rows", paths=tuple(map(Path, paths)), labels=labels, classes=CLASSES
    )
    return deduplicate(dataset, digests, identities=digests, preferred=last)


def test_different_images_are_all_kept_in_the_order_of_their_digests():
    found = curated(("c", 0, "1"), ("a", 1, "2"), ("b", 0, "3"))
    assert found.rows.tolist() == [1, 2, 0]
    assert found.rows.dtype == np.int64
    assert found.duplicates == 0
    assert found.conflicts == ()


def test_of_copies_the_first_by_path_is_kept():
    found = curated(("a", 0, "z.jpg"), ("a", 0, "b.jpg"), ("a", 0, "c.jpg"), ("b", 1, "a.jpg"))
    assert found.rows.tolist() == [1, 3]
    assert found.duplicates == 2


def test_copies_with_different_labels_are_all_left_out_and_named():
    found = curated(("a", 1, "bee/2.jpg"), ("a", 0, "ant/1.jpg"), ("b", 0, "ant/3.jpg"))
    assert found.rows.tolist() == [2]
    assert found.duplicates == 0
    assert found.conflicts == (Conflict(("ant/1.jpg", "bee/2.jpg"), ("ant", "bee")),)


def test_a_conflict_takes_all_of_its_copies():
    found = curated(("a", 0, "1"), ("a", 0, "2"), ("a", 1, "3"))
    assert found.rows.tolist() == []
    assert found.duplicates == 0
    assert found.conflicts == (Conflict(("1", "2", "3"), ("ant", "ant", "bee")),)


def test_of_a_copy_in_training_and_one_in_the_test_the_test_keeps_its_own():
    rows = [("a", 0, "train/1"), ("a", 0, "train/2"), ("a", 0, "xtest/1"), ("b", 1, "train/3")]
    found = curated(*rows, last=[False, False, True, False])
    assert found.rows.tolist() == [2, 3]
    assert found.duplicates == 2


def test_of_two_test_copies_the_first_by_path_is_kept():
    rows = [("a", 0, "train"), ("a", 0, "test/2"), ("a", 0, "test/1")]
    assert curated(*rows, last=[False, True, True]).rows.tolist() == [2]


def test_a_test_image_with_another_label_in_training_is_a_conflict():
    found = curated(("a", 0, "test/1"), ("a", 1, "train/1"), last=[True, False])
    assert found.rows.tolist() == []
    assert len(found.conflicts) == 1


def test_no_images():
    none = ImageDataset(name="none", paths=(), labels=np.zeros(0, np.int64), classes=CLASSES)
    found = deduplicate(none, [], identities=[])
    assert found.rows.tolist() == []
    assert found.rows.dtype == np.int64


images = st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 1), st.booleans()))


@examples(100)
@given(images, st.randoms(use_true_random=False))
def test_the_order_of_the_files_does_not_matter(found, random):
    rows = [(digest, label, f"{n:03}") for n, (digest, label, _) in enumerate(found)]
    last = [test for _, _, test in found]
    order = list(range(len(rows)))
    random.shuffle(order)
    if not rows:
        return
    first = curated(*rows, last=last)
    second = curated(*[rows[n] for n in order], last=[last[n] for n in order])
    assert [order[n] for n in second.rows] == first.rows.tolist()
    assert (second.duplicates, second.conflicts) == (first.duplicates, first.conflicts)


@examples(100)
@given(images)
def test_every_image_is_kept_or_a_copy_or_in_a_conflict(found):
    rows = [(digest, label, f"{n:03}") for n, (digest, label, _) in enumerate(found)]
    if not rows:
        return
    result = curated(*rows, last=[test for _, _, test in found])
    left_out = sum(len(conflict.paths) for conflict in result.conflicts)
    assert len(result.rows) + result.duplicates + left_out == len(rows)
    kept = [rows[n][0] for n in result.rows]
    assert kept == sorted(set(kept))
