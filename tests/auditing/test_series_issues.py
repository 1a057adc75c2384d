import numpy as np

from headstart.auditing.issue import IssueKind
from headstart.auditing.series_issues import series_issues
from headstart.series.series import Series
from headstart.types import Split
from tests.auditing.made_up import images


def test_one_issue_for_each_series():
    series = Series(source="found", groups=np.array([0, 1, 0, 3, 3, 0]))
    splits = (Split.TRAIN,) * 8 + (Split.TEST,) * 4
    found = series_issues(
        images(np.arange(12) % 4, splits), np.arange(0, 12, 2), series, copies=np.arange(12)
    )
    assert [(one.kind, one.path, one.other_path) for one in found] == [
        (IssueKind.SERIES, "", "0000.jpg"),
        (IssueKind.SERIES, "", "0006.jpg"),
    ]
    first, second = (one.evidence for one in found)
    assert first.startswith("3 images: 0000.jpg, 0004.jpg, 0010.jpg")
    assert "of the classes class 0, class 2" in first
    assert "in the test and train parts" in first
    assert second.startswith("2 images: 0006.jpg, 0008.jpg")


def test_no_series_is_no_issue():
    alone = Series(source="found", groups=np.arange(5))
    assert series_issues(images(np.arange(5)), np.arange(5), alone, copies=np.arange(5)) == []
