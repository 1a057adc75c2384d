"""Labels of every type become class names, and come back as they were."""

import enum
from decimal import Decimal
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest

from headstart.errors import DataError
from headstart.models.label_encoding import (
    LabelType,
    decode_labels,
    encode_labels,
    label_name,
    listed,
    match_labels,
)


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Grade(enum.IntEnum):
    GOOD = 1
    BAD = 2


def there_and_back(y: Any) -> np.ndarray:
    encoded = encode_labels(y)
    return decode_labels(encoded.classes, encoded.label_type)


@pytest.mark.parametrize("dtype", [name for name in get_args(LabelType) if name[-1].isdigit()])
def test_numbers_keep_their_type_and_order(dtype: str):
    values = [100, 9, 10, 0] if dtype.startswith("u") else [100, -7, 9, 10, -12]
    found = there_and_back(np.array(values, dtype))
    assert found.dtype == dtype
    assert found.tolist() == sorted(values)


@pytest.mark.parametrize(
    ("y", "classes", "labels"),
    [
        (["b", "a", "a"], ("a", "b"), np.array(["a", "b"])),
        ([10, 9, -1], ("-1", "9", "10"), np.array([-1, 9, 10])),
        ([1, 2.5, 1.0], ("1", "2.5"), np.array([1.0, 2.5])),
        ([0.0, -0.0, 1.0], ("0", "1"), np.array([0.0, 1.0])),
        (np.array([0.1, 3], np.float32), ("0.1", "3"), np.array([0.1, 3], np.float32)),
        (np.array([1, 2], np.longdouble), ("1", "2"), np.array([1.0, 2.0])),
        ([True, False], ("False", "True"), np.array([False, True])),
        ([np.True_, False], ("False", "True"), np.array([False, True])),
        ([2**63, 5], ("5", str(2**63)), np.array([5, 2**63], np.uint64)),
        ([b"caf\xc3\xa9", "thé"], ("café", "thé"), np.array(["café", "thé"])),
        (np.array([b"cat", b"dog"]), ("cat", "dog"), np.array(["cat", "dog"])),
        (np.array(["x", "y"], dtype=object), ("x", "y"), np.array(["x", "y"])),
        (np.array([[3], [4]]), ("3", "4"), np.array([3, 4])),
        ([np.array(3), np.int8(4)], ("3", "4"), np.array([3, 4])),
        ([Color.RED, Color.BLUE], ("blue", "red"), np.array(["blue", "red"])),
        ([Grade.BAD, Grade.GOOD], ("1", "2"), np.array([1, 2])),
        (pd.Series(["x", "y"], index=[7, 3]), ("x", "y"), np.array(["x", "y"])),
        (pd.Categorical(["x", "y"], categories=["y", "x", "z"]), ("x", "y"), np.array(["x", "y"])),
        (pd.Series([3, 1], dtype="category"), ("1", "3"), np.array([1, 3])),
        (pd.Series(["x", "y"], dtype="string"), ("x", "y"), np.array(["x", "y"])),
        (pd.Series([30, 4], dtype="Int64"), ("4", "30"), np.array([4, 30])),
        (pd.Series([True, False], dtype="boolean"), ("False", "True"), np.array([False, True])),
        (pd.Index([30, 4]), ("4", "30"), np.array([4, 30])),
        (pd.DataFrame({"label": [30, 4]}), ("4", "30"), np.array([4, 30])),
        ((label for label in [30, 4]), ("4", "30"), np.array([4, 30])),
    ],
)
def test_what_programs_have(y: Any, classes: tuple[str, ...], labels: np.ndarray):
    encoded = encode_labels(y)
    assert encoded.classes == classes
    found = decode_labels(classes, encoded.label_type)
    assert found.dtype == labels.dtype
    np.testing.assert_array_equal(found, labels)
    # The order of the classes is the one that scikit-learn's metrics expect.
    np.testing.assert_array_equal(found, np.unique(found))


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (["x", None, "y"], r"1 of 3 labels is missing \(None, NaN or empty\), .* position 1"),
        ([1.0, float("nan"), None], r"2 of 3 labels are missing"),
        (np.array([np.nan, 1], np.float32), "1 of 2 labels is missing"),
        (["x", ""], "1 of 2 labels is missing"),
        (["x", b""], "1 of 2 labels is missing"),
        (["x", pd.NA], "1 of 2 labels is missing"),
        (["x", pd.NaT], "1 of 2 labels is missing"),
        (pd.Series([1, None], dtype="Int64"), "1 of 2 labels is missing"),
        (pd.Categorical(["x", None]), "1 of 2 labels is missing"),
        ([1, "1"], r"mix kinds \(1 numbers such as 1 and 1 text such as '1'\)"),
        ([True, 1, 0], r"mix kinds \(1 booleans such as True and 2 numbers such as 1\)"),
        ([b"\xff", b"x"], r"label b'\\xff' is not UTF-8"),
        ([1, float("inf")], "label 1 is inf; each label must be text, a number or a boolean"),
        ([Decimal(1), Decimal(2)], r"label 0 is Decimal\('1'\); each label must be"),
        ([1j, 2], "label 0 is 1j; each label must be"),
        ([("a",), ("b",)], "label 0 is .*; each label must be"),
        (np.array(["2020-01-01"], "datetime64[D]"), "label 0 is .*; each label must be"),
        (np.ones((2, 2)), r"the labels have the shape \(2, 2\); give a list of labels"),
        (pd.DataFrame({"a": [1], "b": [2]}), "the table has the columns 'a', 'b'; give only"),
        ([2**63, -1], f"{2**63} does not fit into 64 bits"),
        ([2**70, 1], f"{2**70} does not fit into 64 bits"),
        ("cat", "give a list of labels, not 'cat'"),
        ({"a.jpg": "cat"}, "give a list of labels, not {'a.jpg': 'cat'}"),
        ({"cat", "dog"}, "give a list of labels, not {"),
        (7, "give a list of labels, not 7"),
        ([np.zeros((9, 9)), 1], r"label 0 is .{60}; each label must be"),
    ],
)
def test_what_cannot_be_a_label_is_refused(y: Any, message: str):
    with pytest.raises(DataError, match=message):
        encode_labels(y)


@pytest.mark.parametrize(
    ("classes", "label_type", "given"),
    [
        (("0", "1"), "int64", [0, 0.0, "0", "0.0", b"0", np.uint8(0), np.float16(0), False]),
        (("0", "1"), "str", [0, 0.0, "0", b"0", np.uint8(0), np.float16(0)]),
        (("False", "True"), "bool", [False, np.False_, 0, 0.0, "False", "0", np.int8(0)]),
        (("0.1", "1"), "float32", [0.1, np.float32(0.1), np.float16(0.1), "0.1", "0.10"]),
        (("1.0", "2"), "str", [1.0, "1.0"]),  # as an older version named floats
        (("cat", "dog"), "str", ["cat", b"cat", np.str_("cat"), np.bytes_(b"cat")]),
        (("red", "sea"), "str", [Color.RED, "red"]),
    ],
)
def test_labels_match_by_value(classes: tuple[str, ...], label_type: LabelType, given: list[Any]):
    for label in given:
        assert match_labels([label], classes, label_type) == [classes[0]]


def test_unknown_labels_match_nothing():
    assert match_labels([7, "x", 0.5], ("0", "1"), "int8") == ["7", "x", "0.5"]
    with pytest.raises(DataError, match="1 of 2 labels is missing"):
        match_labels([0, None], ("0", "1"), "int8")


@pytest.mark.parametrize("label_type", ["bool", "int8", "uint8", "float32"])
def test_names_of_no_such_label_are_refused(label_type: LabelType):
    with pytest.raises(ValueError, match=r"'cat'|could not convert|invalid literal"):
        decode_labels(("cat", "dog"), label_type)


def test_large_numbers_keep_every_digit():
    y = [2**53 + 1, 2**53, -(2**62) - 1]
    assert there_and_back(y).tolist() == sorted(y)
    assert label_name(1e300) == "1e+300"
    assert there_and_back([1e300, 0.1 + 0.2]).tolist() == [0.1 + 0.2, 1e300]


def test_a_tensor_is_a_list():
    torch = pytest.importorskip("torch")
    assert there_and_back(torch.tensor([3, 12])).tolist() == [3, 12]
    assert listed(list(torch.tensor([3, 12])), "labels") == [3, 12]


def test_a_number_beyond_floats_is_another_label():
    assert match_labels([10**400, 1], ("1", "2"), "int") == [str(10**400), "1"]
