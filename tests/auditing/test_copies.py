import numpy as np
import pytest

from headstart.auditing.copies import Copies, conflict_issues, copy_issues
from headstart.auditing.series_issues import series_issues
from headstart.series.series import Series
from headstart.types import Split
from tests.auditing.made_up import images
from tests.series.made_up import COUNT, labels, scenes_and_copies


@pytest.fixture(scope="module")
def small() -> np.ndarray:
    return scenes_and_copies()


def test_issues_compare_with_the_first_of_a_group(small: np.ndarray):
    y = labels(len(small))
    y[COUNT] = 1 - y[0]
    splits = (Split.TRAIN,) * COUNT + (Split.TEST,) * 5
    identities = [str(row) for row in range(len(small))]
    identities[31] = identities[7]
    copies = Copies.of(small, y, identities, seed=0)
    issues = {one.path: one for one in copy_issues(images(y, splits), copies)}
    assert set(issues) == {"0031.jpg", *(f"{COUNT + k:04}.jpg" for k in range(5))}
    assert issues["0031.jpg"].score == 1
    assert "the same pixels as 0007.jpg" in issues["0031.jpg"].evidence
    assert issues["0040.jpg"].other_path == "0000.jpg"
    assert "labeled class 0" in issues["0040.jpg"].evidence
    assert "in the train part" in issues["0040.jpg"].evidence
    assert "labeled" not in issues["0042.jpg"].evidence


def test_the_label_of_most_copies_is_suggested(small: np.ndarray):
    three = np.stack([small[0], small[0], small[0]])
    copies = Copies.of(three, np.array([1, 0, 0]), ["a", "a", "a"], seed=0)
    assert copies.groups.tolist() == [0, 0, 0]
    found = conflict_issues(images(np.array([0, 1, 0])), copies, {})
    assert [one.suggested_label for one in found] == ["", "class 0", ""]


def test_no_label_is_suggested_without_a_majority(small: np.ndarray):
    copies = Copies.of(np.stack([small[0]] * 2), np.array([0, 1]), ["a", "a"], seed=0)
    assert copy_issues(images(np.array([0, 1])), copies) == []
    found = conflict_issues(images(np.array([0, 1])), copies, {})
    assert [(one.path, one.suggested_label) for one in found] == [
        ("0000.jpg", ""),
        ("0001.jpg", ""),
    ]
    assert found[0].evidence == "the same pixels as 0001.jpg, labeled class 1"
    likely = conflict_issues(images(np.array([0, 1])), copies, {0: "class 1"})
    assert [one.suggested_label for one in likely] == ["class 1", ""]
    assert likely[0].evidence.endswith("; predicted without them: class 1")


def test_the_evidence_names_the_image_that_the_similarity_is_of():
    copies = Copies(
        groups=np.array([0, 0, 0, 0]),
        pairs=np.array([[0, 1], [1, 2]]),
        similarities=np.array([0.93, 0.95]),
        identities=["a", "b", "c", "c"],
    )
    found = {one.path: one for one in copy_issues(images(np.array([0, 1, 0, 0])), copies)}
    assert found["0001.jpg"].evidence.startswith("similarity 0.930: 0000.jpg")
    assert found["0002.jpg"].evidence.startswith("similarity 0.950: 0001.jpg")
    assert found["0003.jpg"].evidence.startswith("the same pixels as 0002.jpg")
    assert found["0003.jpg"].other_path == "0002.jpg"


def test_no_pair_is_listed_in_both_directions():
    copies = Copies(
        groups=np.zeros(3, np.int64),
        pairs=np.array([[0, 2], [1, 2]]),
        similarities=np.array([0.9, 0.99]),
        identities=[*"abc"],
    )
    found = copy_issues(images(np.zeros(3, int)), copies)
    assert [(one.path, one.other_path) for one in found] == [
        ("0002.jpg", "0000.jpg"),
        ("0001.jpg", "0002.jpg"),
    ]


def test_a_burst_is_one_series_though_some_of_its_photos_hardly_differ():
    y = np.array([0, 0, 0, 0, 0, 1, 0])
    copies = Copies(
        groups=np.zeros(7, np.int64),
        pairs=np.array([[0, 1], [1, 2], [2, 3], [3, 4], [4, 5], [3, 6], [2, 6]]),
        similarities=np.array([0.99, 0.93, 0.99, 0.9, 0.9, 1.0, 0.99]),
        identities=[*"abcdefd"],
    )
    # A scene of the rows 0, 1, 2, 3 and 5; the photo in row 4 was not searched, 6 is that in row 3.
    series = Series(source="found", groups=np.array([0, 0, 0, 0, 0]))
    rows = np.array([0, 1, 2, 3, 5])
    outside = copies.outside(series, rows, y)
    assert outside.pairs.tolist() == [[3, 4], [4, 5]]
    assert {one.path for one in copy_issues(images(y), outside)} == {
        "0004.jpg",
        "0005.jpg",
        "0006.jpg",
    }
    (found,) = series_issues(images(y), rows, series, copies=outside.groups)
    assert found.evidence.startswith("5 images: 0000.jpg, 0001.jpg, 0002.jpg, 0003.jpg")


def test_a_series_whose_photos_hardly_differ_is_listed_as_copies_only():
    y, rows = np.zeros(3, int), np.arange(3)
    copies = Copies(
        groups=np.zeros(3, np.int64),
        pairs=np.array([[0, 1], [1, 2], [0, 2]]),
        similarities=np.array([0.99, 0.96, 0.9]),
        identities=[*"abc"],
    )
    series = Series(source="found", groups=np.zeros(3, int))
    outside = copies.outside(series, rows, y)
    assert len(copy_issues(images(y), outside)) == 2
    assert series_issues(images(y), rows, series, copies=outside.groups) == []


def test_photos_of_one_scene_with_two_labels_stay_copies():
    y = np.array([0, 1])
    copies = Copies(
        groups=np.zeros(2, np.int64),
        pairs=np.array([[0, 1]]),
        similarities=np.array([0.9]),
        identities=["a", "b"],
    )
    series = Series(source="found", groups=np.array([0, 0]))
    assert len(copy_issues(images(y), copies.outside(series, np.arange(2), y))) == 1
