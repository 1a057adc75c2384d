"""Images, labels, groups and weights that are given in Python, checked and converted."""

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from headstart.datasets import ImageDataset
from headstart.errors import DataError
from headstart.models.label_encoding import (
    LabelType,
    check_none_missing,
    encode_labels,
    is_missing,
    label_name,
    listed,
)
from headstart.system.text import pluralize
from headstart.types import Doubles

Images: TypeAlias = ImageDataset | Iterable[str | os.PathLike[str]]
"""A data set, or paths of image files: a list, array, Series, generator or one-column table."""


def image_paths(X: Images) -> list[Path]:
    """Return the paths of images.

    Raises:
        DataError: They are not paths.
    """
    if isinstance(X, ImageDataset):
        return list(X.paths)
    if isinstance(X, str | os.PathLike):
        raise DataError(
            f"give a list of image files, or open_dataset({os.fspath(X)!r}) for a folder of classes"
        )
    paths = listed(X, "paths of image files")
    # A scikit-learn Pipeline may pass a column as lists of one.
    paths = [
        path[0] if isinstance(path, list | tuple) and len(path) == 1 else path for path in paths
    ]
    missing = [place for place, path in enumerate(paths) if is_missing(path)]
    check_none_missing(missing, len(paths), "path")
    for path in paths:
        content = isinstance(path, bytes) and b"\0" in path
        if content or not isinstance(path, str | bytes | os.PathLike):
            raise DataError(
                f"images must be paths of files, not {type(path).__name__}; save the image to a "
                "file first"
            )
    return [Path(os.fsdecode(path)) for path in paths]


def labeled_dataset(
    X: Images,
    y: Iterable[object] | None,
    *,
    groups: Iterable[object] | None = None,
    sample_weight: Any = None,
) -> tuple[ImageDataset, LabelType]:
    """Return images with labels as a data set, and the type of the labels.

    Images without weight are left out.

    Raises:
        DataError: Labels, groups or weights are missing, or do not fit the images.
    """
    dataset, label_type = _labeled(X, y)
    if groups is not None:
        dataset = dataset.with_groups(_group_names(groups, len(dataset)), source="groups")
    if sample_weight is not None:
        weights = checked_weights(sample_weight, len(dataset))
        mean = weights[weights > 0].mean()
        dataset = replace(dataset, weights=tuple((weights / mean).tolist())).subset(weights > 0)
    return dataset, label_type


def checked_weights(sample_weight: Any, count: int) -> Doubles:
    """Return the weight of each image, (count,), at least one of them above 0.

    Raises:
        DataError: They are not numbers of at least 0, all 0, or more or fewer than the images.
    """
    given = listed(sample_weight, "weights")
    check_lengths(count, len(given), "weight")
    try:
        weights = np.array(given, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"sample_weight must be numbers ({error})") from error
    if len(wrong := np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))):
        raise DataError(
            f"sample_weight {wrong[0]} is {given[wrong[0]]}; give finite numbers of at least 0"
        )
    if not weights.any():
        raise DataError("every sample_weight is 0; give at least one image a weight above 0")
    return weights


def check_lengths(images: int, others: int, what: str) -> None:
    """Check that there is one label, group or weight for each image.

    Raises:
        DataError: There are more or fewer.
    """
    if images != others:
        raise DataError(
            f"{pluralize(images, 'image')} and {pluralize(others, what)}: give one {what} for each "
            "image"
        )


def _labeled(X: Images, y: Iterable[object] | None) -> tuple[ImageDataset, LabelType]:
    if isinstance(X, ImageDataset):
        if y is not None:
            raise DataError(
                f"{X.name} has labels of its own; for other labels give its paths: "
                "fit(dataset.paths, labels)"
            )
        return X, "str"
    paths = image_paths(X)
    if y is None:
        raise DataError("paths need labels: fit(paths, labels)")
    encoded = encode_labels(y)
    check_lengths(len(paths), len(encoded.names), "label")
    index = {name: place for place, name in enumerate(encoded.classes)}
    return (
        ImageDataset(
            name="paths",
            paths=tuple(paths),
            labels=np.array([index[name] for name in encoded.names], dtype=np.int64),
            classes=encoded.classes,
        ),
        encoded.label_type,
    )


def _group_names(groups: Iterable[object], count: int) -> list[str]:
    """Return the name of each image's group; "", an image on its own, for None and NaN."""
    names = ["" if is_missing(one) else label_name(one) for one in listed(groups, "groups")]
    check_lengths(count, len(names), "group")
    if count > 1 and len(set(names)) == 1:
        every = f"in the same group, {names[0]!r}" if names[0] else "without a group"
        raise DataError(
            f"all {count:,} images are {every}; give groups of images that belong together, or "
            "leave groups out"
        )
    return names
