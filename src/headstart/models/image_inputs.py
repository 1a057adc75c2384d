"""Images, labels, groups and weights to train on, given in Python, checked and converted."""

from collections.abc import Iterable, Sized
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from headstart.datasets import ImageDataset
from headstart.errors import DataError, UnreadableImageError
from headstart.images.source import ImageContent
from headstart.models.fit_result import FitResult
from headstart.models.image_sources import Images, image_sources
from headstart.models.kept_images import KeptImages
from headstart.models.label_encoding import (
    LabelType,
    encode_labels,
    is_missing,
    label_name,
    listed,
)
from headstart.system.text import pluralize
from headstart.types import Doubles, Skipped


@dataclass(frozen=True, slots=True)
class LabeledImages:
    """Images with labels, to train on.

    Attributes:
        dataset: The files; those of images in memory are in the cache.
        label_type: The type of the labels.
        kept: Knows what images in memory are called.
    """

    dataset: ImageDataset
    label_type: LabelType
    kept: KeptImages

    def named(self, found: FitResult) -> FitResult:
        """Return the result of a training, with images in memory called by their positions."""
        return replace(
            found,
            skipped=self.kept.name_skipped(found.skipped),
            conflicts=self.kept.name_conflicts(found.conflicts),
        )


def labeled_images(
    X: Images,
    y: Iterable[object] | None,
    *,
    cache: Path,
    groups: Iterable[object] | None = None,
    sample_weight: Any = None,
) -> LabeledImages:
    """Return images with labels as a data set of files, to which those in memory are written.

    Images without weight are left out.

    Raises:
        DataError: Labels, groups or weights are missing, or do not fit the images.
        StoreError: The cache cannot be written, and there are images in memory.
    """
    kept = KeptImages(cache)
    dataset, label_type, usable = _labeled(X, y, kept)
    if groups is not None:
        dataset = dataset.with_groups(_group_names(groups, len(dataset)), source="groups")
    if sample_weight is not None:
        weights = checked_weights(sample_weight, len(dataset))
        mean = weights[weights > 0].mean()
        dataset = replace(dataset, weights=tuple((weights / mean).tolist()))
        usable &= weights > 0
    if not usable.all():
        dataset = dataset.subset(usable)
    return LabeledImages(dataset, label_type, kept)


def image_files(X: Images, *, cache: Path) -> list[Path]:
    """Return the files of images, to which those in memory are written; see `KeptImages`.

    Raises:
        DataError: X has no images.
        StoreError: The cache cannot be written, and there are images in memory.
        UnreadableImageError: The content of one could not be had.
    """
    kept, files = KeptImages(cache), []
    for source in image_sources(X):
        if isinstance(source, ImageContent) and source.fault is not None:
            raise UnreadableImageError(f"{source.name} cannot be used: {source.fault}")
        files.append(source if isinstance(source, Path) else kept.keep(source, ""))
    return files


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


def _labeled(
    X: Images, y: Iterable[object] | None, kept: KeptImages
) -> tuple[ImageDataset, LabelType, np.ndarray]:
    """Return images with labels, and which of them have a file."""
    if isinstance(X, ImageDataset):
        if y is not None:
            raise DataError(
                f"{X.name} has labels of its own; for other labels give its paths: "
                "fit(dataset.paths, labels)"
            )
        return X, "str", np.ones(len(X), bool)
    sources = image_sources(X)
    if y is None:
        raise DataError("images need labels: fit(images, labels)")
    encoded = encode_labels(y)
    if isinstance(X, Sized):  # before any is written
        check_lengths(len(X), len(encoded.names), "label")
    paths, skipped, in_memory = [], [], 0
    # One image more than there are labels is enough to see that they are too many.
    for source, label in zip(sources, (*encoded.names, ""), strict=False):
        in_memory += isinstance(source, ImageContent)
        if isinstance(source, Path):
            paths.append(source)
        elif source.fault is None:
            paths.append(kept.keep(source, label))
        else:
            paths.append(Path(source.name))
            skipped.append((len(paths) - 1, Skipped(source.name, source.fault)))
    check_lengths(len(paths), len(encoded.names), "label")
    usable = np.ones(len(paths), bool)
    usable[[place for place, _ in skipped]] = False
    index = {name: place for place, name in enumerate(encoded.classes)}
    return (
        ImageDataset(
            name="images" if in_memory else "paths",
            paths=tuple(paths),
            labels=np.array([index[name] for name in encoded.names], dtype=np.int64),
            classes=encoded.classes,
            skipped=tuple(one for _, one in skipped),
        ),
        encoded.label_type,
        usable,
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
