from datetime import date
from decimal import Decimal

import pytest

from headstart.datasets.tables.labels import are_numbers, cell_labels, equal_numbers, joint_labels


@pytest.mark.parametrize(
    ("cell", "labels"),
    [
        (" cat ", ("cat",)),
        ("", ()),
        (None, ()),
        (float("nan"), ()),
        ("NA", ("NA",)),
        ("None", ("None",)),
        ("nan", ("nan",)),
        (3, ("3",)),
        (3.0, ("3",)),
        ("3.0", ("3.0",)),
        (True, ("true",)),
        ("True", ("True",)),
        (b"cat", ("cat",)),
        (date(2020, 1, 2), ("2020-01-02",)),
        (Decimal("1.50"), ("1.50",)),
        ("'cat'", ("cat",)),
        ("cat's", ("cat's",)),
        ("n/a", ("n/a",)),
        ("cat/kitten", ("cat/kitten",)),
        ("(other)", ("(other)",)),
        ("{other}", ("{other}",)),
        (["cat"], ("cat",)),
        (["cat", "cat"], ("cat",)),
        (["cat", "indoor"], ("cat", "indoor")),
        ([3], ("3",)),
        ([], ()),
        ({"id": 3}, ("3",)),
        ({"id": 3, "name": "cat"}, ()),
        ("['cat']", ("cat",)),
        ("['cat', 'indoor']", ("cat", "indoor")),
        ('["cat", "indoor"]', ("cat", "indoor")),
        ("['cat' 'indoor']", ("cat", "indoor")),  # as NumPy writes it
        ("('cat', 'indoor')", ("cat", "indoor")),
        ("{'cat', 'indoor'}", ("cat", "indoor")),
        ("[cat, indoor]", ("cat", "indoor")),
        ("[0, 1]", ("0", "1")),
        ("[]", ()),
        ("[" * 100_000, ("[" * 100_000,)),
    ],
)
def test_cells(cell, labels):
    assert cell_labels(cell) == labels


def test_numbers_stand_for_names():
    assert [cell_labels(one, ("cat", "dog")) for one in (0, 1, -1, 2, [1], None)] == [
        *[("cat",), ("dog",), (), (), ("dog",), ()]
    ]


@pytest.mark.parametrize("separator", ["|", ";", ",", ", ", "; ", "+", " & "])
def test_labels_joined_by_marks(separator):
    labels = ["cat", "dog", f"cat{separator}indoor"]
    assert joint_labels(labels, plural=False) == {labels[2]: ("cat", "indoor")}


@pytest.mark.parametrize(
    "labels",
    [
        ["cat", "dog"],
        ["Labrador Retriever, black", "Labrador Retriever, yellow", "pug"],
        ["salt & pepper", "sugar"],
        ["C", "C++"],
        ["polar bear", "bear"],
        ["red apple", "green apple", "red pepper", "green pepper"],
        ["a|b", "c|d"],
        ["cat/kitten", "cat"],
    ],
)
def test_classes_of_several_words(labels):
    assert not joint_labels(labels, plural=True)


def test_few_of_many_names_with_commas_may_contain_another_name():
    # As in ImageNet, where "maillot" and "maillot, tank suit" are classes.
    labels = ["maillot", "maillot, tank suit", *(f"name {n}, other {n}" for n in range(20))]
    assert not joint_labels(labels, plural=False)


@pytest.mark.parametrize("separator", [" ", "\t", "  "])
def test_labels_joined_by_blanks(separator):
    both = f"scab{separator}rust"
    assert joint_labels(["scab", "rust", both], plural=False) == {both: ("scab", "rust")}
    indoor = [f"cat{separator}indoor", f"dog{separator}indoor"]
    assert not joint_labels(["cat", "dog", *indoor], plural=False)
    assert set(joint_labels(["cat", "dog", *indoor], plural=True)) == set(indoor)


def test_tags_that_never_stand_alone():
    tags = ["haze primary", "clear primary road", "haze road", "clear road"]
    assert set(joint_labels(tags, plural=True)) == set(tags)


def test_bars_separate_whenever_a_part_recurs():
    labels = ["cat|indoor", "dog|indoor"]
    assert set(joint_labels(labels, plural=False)) == set(labels)


def test_numbers():
    assert equal_numbers(["0", "0.0", "00", "1", "x", "1.5", "+1", "-0"]) == [
        ["-0", "0", "0.0", "00"],
        ["+1", "1"],
    ]
    assert are_numbers(["0", "1.0", "NaN"])
    assert not are_numbers(["0", "x"])
    assert not are_numbers(["NaN"])


def test_a_cell_of_brackets_is_a_label():
    assert cell_labels("[" * 5_000 + "]" * 5_000)
