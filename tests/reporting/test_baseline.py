"""What a page says about always answering the largest class."""

import numpy as np
import pytest

from headstart.evaluation.breakdown import LargestClass
from headstart.reporting.baseline import Baseline


@pytest.mark.parametrize("wrong", [30, 39])
def test_a_page_says_what_training_says(wrong: int) -> None:
    """With 61 of 100 right, an interval is above 51 of 100, but a paired test is not sure."""
    labels = np.repeat([0, 1], [51, 49])
    predicted = labels.copy()
    predicted[: wrong // 2] = 1
    predicted[51 : 51 + wrong - wrong // 2] = 0
    confusion = np.zeros((2, 2), np.int64)
    np.add.at(confusion, (labels, predicted), 1)
    printed = LargestClass.of(labels, predicted, ["cat", "dog"])
    found = Baseline.of_confusion(confusion, ["cat", "dog"])
    assert printed
    assert found
    assert (found.label, found.accuracy) == ("cat", 0.51)
    assert found.better is printed.gain.better is (wrong == 30)
    assert ("not clearly better" in found.text) is bool(printed.warnings)


def test_counts_alone_give_no_verdict() -> None:
    found = Baseline.of_counts((3, 1), ("cat", "dog"))
    assert found
    assert found.text == "Always answering the largest class, cat, would be right on 75.0%."
    assert Baseline.of_counts((3, 0), ("cat", "dog")) is None
    assert Baseline.of_confusion(np.array([[3, 1], [0, 0]]), ("cat", "dog")) is None
