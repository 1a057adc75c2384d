"""Images, groups and weights as programs have them."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from headstart.datasets import ImageDataset
from headstart.errors import DataError
from headstart.models.image_inputs import checked_weights, labeled_images

PATHS = [Path("a.png"), Path("b.png")]
DATASET = ImageDataset(
    name="two", paths=tuple(PATHS), labels=np.array([0, 1]), classes=("x", "y"), splits=()
)


def labeled(X: Any, y: Any, **options: Any) -> tuple[ImageDataset, str]:
    found = labeled_images(X, y, cache=Path("nowhere"), **options)
    return found.dataset, found.label_type


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1], "2 images and 1 weight: give one weight for each image"),
        ([1, -0.5], "sample_weight 1 is -0.5; give finite numbers of at least 0"),
        ([1, float("nan")], "sample_weight 1 is nan"),
        ([float("inf"), 1], "sample_weight 0 is inf"),
        ([0, 0], "every sample_weight is 0"),
        ([1, "heavy"], "sample_weight must be numbers"),
        ([1, None], "sample_weight 1 is None"),
        (np.ones((2, 2)), r"the weights have the shape \(2, 2\)"),
        (3, "give a list of weights, not 3"),
    ],
)
def test_impossible_weights_are_refused(weights: Any, message: str):
    with pytest.raises(DataError, match=message):
        checked_weights(weights, 2)


def test_only_the_ratios_of_weights_count():
    for weights in ([1, 3], np.array([1e-9, 3e-9]), pd.Series([2, 6], dtype="Int64")):
        dataset, _ = labeled(PATHS, ["x", "y"], sample_weight=weights)
        np.testing.assert_allclose(dataset.weights, [0.5, 1.5])


def test_an_image_without_weight_is_left_out():
    dataset, _ = labeled(
        [*PATHS, "c.png"], ["x", "y", "y"], groups=[1, 2, 3], sample_weight=[1, 0, 1]
    )
    assert [path.name for path in dataset.paths] == ["a.png", "c.png"]
    assert dataset.groups == ("1", "3")
    assert dataset.weights == (1, 1)


@pytest.mark.parametrize(
    ("groups", "names"),
    [
        (["a", "b"], ("a", "b")),
        ([1, 1.5], ("1", "1.5")),
        ([None, float("nan")], None),
        ([None, "a"], ("", "a")),
        (pd.Series([1, 2], index=[4, 3]), ("1", "2")),
        (np.array([[1], [2]]), ("1", "2")),
    ],
)
def test_groups_by_value(groups: Any, names: tuple[str, ...] | None):
    if names is None:
        with pytest.raises(DataError, match="all 2 images are without a group"):
            labeled(PATHS, ["x", "y"], groups=groups)
    else:
        assert labeled(PATHS, ["x", "y"], groups=groups)[0].groups == names


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (["a"], "2 images and 1 group: give one group for each image"),
        (["a", "b", "c"], "2 images and 3 groups"),
        (np.ones((2, 2)), r"the groups have the shape \(2, 2\)"),
        ([1, 1.0], "all 2 images are in the same group, '1'"),
        ("ab", "give a list of groups, not 'ab'"),
    ],
)
def test_impossible_groups_are_refused(groups: Any, message: str):
    with pytest.raises(DataError, match=message):
        labeled(PATHS, ["x", "y"], groups=groups)


def test_a_data_set_has_its_own_labels():
    assert labeled(DATASET, None) == (DATASET, "str")
    with pytest.raises(DataError, match="two has labels of its own"):
        labeled(DATASET, ["x", "y"])
