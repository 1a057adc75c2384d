import pytest

from headstart.datasets.tables import open_table
from headstart.errors import DataError
from headstart.types import Split
from tests.datasets.tables.conftest import reasons, table

TRAIN, VALIDATION, TEST = Split.TRAIN, Split.VALIDATION, Split.TEST


def opened(folder, header, *cells):
    rows = [
        f"img/{name}.jpg,{label},{one}"
        for name, label, one in zip("abcd", "xyxy", cells, strict=False)
    ]
    return open_table(table(folder, "\n".join([f"image,label,{header}", *rows])))


def splits(dataset):
    """The parts in the order of the files."""
    found = dict(zip((path.name for path in dataset.paths), dataset.splits, strict=True))
    return [found[name] for name in sorted(found)]


@pytest.mark.parametrize(
    ("header", "cells", "expected"),
    [
        ("Split", ("train", "VAL", "Test"), [TRAIN, VALIDATION, TEST]),
        ("Usage", ("Training", "PublicTest", "PrivateTest"), [TRAIN, VALIDATION, TEST]),
        ("Usage", ("Public", "Private", "Private"), [TEST, TEST, TEST]),
        ("partition", ("train", "valid", "test"), [TRAIN, VALIDATION, TEST]),
        ("is_test", ("0", "1", "0"), [TRAIN, TEST, TRAIN]),
        ("is_valid", ("False", "True", "False"), [TRAIN, VALIDATION, TRAIN]),
        ("is_training_image", ("1", "0", "1"), [TRAIN, TEST, TRAIN]),
        ("train", ("1", "0", "1"), [TRAIN, TEST, TRAIN]),
        ("is_train,is_test", ("1,0", "0,1", "yes,no"), [TRAIN, TEST, TRAIN]),
        ("is_val,is_test", ("1,0", "0,1", "0,0"), [VALIDATION, TEST, TRAIN]),
        ("split,usage", ("train,training", "test,testing", "train,train"), [TRAIN, TEST, TRAIN]),
    ],
)
def test_columns_of_parts(folder, header, cells, expected):
    assert splits(opened(folder, header, *cells)) == expected


@pytest.mark.parametrize("header", ["split", "partition", "fold", "Usage"])
def test_values_that_name_no_part_are_said(folder, header):
    found = opened(folder, header, "0", "1", "2")
    assert found.splits == ()
    assert (
        f"the column '{header}' of {folder / 't.csv'} is not used: its values (0, 1, 2)"
        in (found.warnings[0])
    )


def test_a_set_that_is_called_test(folder):
    assert opened(folder, "set", "red", "test", "blue").splits == ()
    assert splits(opened(folder, "set", "train", "test", "blue")) == [TRAIN, TEST]


def test_rows_that_contradict_themselves(folder):
    found = opened(folder, "is_train,is_test", "1,0", "0,1", "1,1", ",")
    assert reasons(found) == ["in several splits: test, train", "no split"]


def test_columns_that_contradict_each_other(folder):
    with pytest.raises(DataError, match="several columns of parts that disagree: split, usage"):
        opened(folder, "split,usage", "train,test", "test,train")


def test_train_may_be_a_class_of_vehicles(folder):
    rows = "image,car,train\nimg/a.jpg,1,0\nimg/b.jpg,0,1\n"
    found = open_table(table(folder, rows))
    assert (found.classes, found.splits) == (("car", "train"), ())


def test_an_image_in_two_parts_is_kept_in_both(folder):
    rows = "image,label,split\nimg/a.jpg,x,train\nimg/a.jpg,x,test\nimg/b.jpg,y,train\n"
    assert len(open_table(table(folder, rows))) == 3  # copies are excluded by their content
