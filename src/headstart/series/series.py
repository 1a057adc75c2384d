"""Series of photos: given by the user, or found in the images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

from headstart.backbones.stages import LOGITS
from headstart.datasets.dataset import ImageDataset
from headstart.errors import DataError, UnreadableImageError
from headstart.images.decode import decode
from headstart.system.text import pluralize
from headstart.types import Floats, Labels

if TYPE_CHECKING:
    from headstart.features.extraction import Features

FOUND: Final = "found"
"""The source of series that nobody has named."""
_THUMBNAIL: Final = 64
_MIN_CONTRAST: Final = 4.0
"""Standard deviation of the gray values, 0 to 255, below which an image is blank: 0.5 to 2.7 on
satellite images of open water, 15 and more on any photo of six data sets."""
_EXAMPLES, _EXAMPLE_FILES = 3, 4
SEARCHED: Final = 10_000
"""Images among which series are sought: the time grows with the square of their number."""
_FEW: Final = 0.03
"""Share of the images in found series below which they are not worth a line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesSummary:
    """What is known about the series in a data set. Part of the manifest of a saved model.

    Attributes:
        source: "found" in the images; otherwise what they were grouped by, such as "column:site".
        count: Number of series, that is, of groups with more than one image.
        images: Number of images in a series.
        largest: Number of images in the largest series.
        examples: File names of some images of a few series, the largest first.
    """

    source: str
    count: int
    images: int
    largest: int
    examples: tuple[tuple[str, ...], ...]

    def text(self, total: int) -> str | None:
        """Say how many of all images are in series; None for a few that nobody has named."""
        if self.source == FOUND and self.images < _FEW * total:
            return None
        source = "found in the images" if self.source == FOUND else f"given by {self.source}"
        return (
            f"{self.images:,} of {pluralize(total, 'image')} belong to {self.count:,} series, "
            f"each of one scene ({source}), up to {self.largest:,} in one"
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Series:
    """Which of N images belong together.

    Attributes:
        source: See `SeriesSummary`.
        groups: (N,) the group of each image: the lowest row in it.
    """

    source: str
    groups: Labels

    def __bool__(self) -> bool:
        """Whether there is a group of several images."""
        return len(np.unique(self.groups)) < len(self.groups)

    @property
    def clusters(self) -> Labels | None:
        """The groups; None if all images are independent."""
        return self.groups if self else None

    @property
    def sizes(self) -> Labels:
        """(N,) the number of images in each image's group."""
        sizes: Labels = np.bincount(self.groups, minlength=len(self.groups))[self.groups]
        return sizes

    def keys(self, digests: Sequence[str]) -> list[str]:
        """Return N strings, equal for images of one group: the lowest digest in it.

        Args:
            digests: N digests of the images' bytes, all different.
        """
        lowest: dict[int, str] = {}
        for group, digest in zip(self.groups.tolist(), digests, strict=True):
            lowest[group] = min(lowest.get(group, digest), digest)
        return [lowest[group] for group in self.groups.tolist()]

    def subset(self, rows: Labels) -> Series:
        """Return the groups among the images at `rows`."""
        first: dict[int, int] = {}
        for place, group in enumerate(self.groups[rows].tolist()):
            first.setdefault(group, place)
        groups = np.array([first[group] for group in self.groups[rows].tolist()], dtype=np.int64)
        return Series(source=self.source, groups=groups)

    def summary(self, paths: Sequence[Path]) -> SeriesSummary | None:
        """Describe the series of N image files; None if there is none."""
        inside = np.flatnonzero(self.sizes > 1)
        if not len(inside):
            return None
        groups, counts = np.unique(self.groups[inside], return_counts=True)
        largest_first = groups[np.argsort(-counts, kind="stable")]
        return SeriesSummary(
            source=self.source,
            count=len(groups),
            images=len(inside),
            largest=int(counts.max()),
            examples=tuple(
                tuple(
                    paths[row].name for row in np.flatnonzero(self.groups == group)[:_EXAMPLE_FILES]
                )
                for group in largest_first[:_EXAMPLES]
            ),
        )


def given_series(groups: Sequence[str], *, source: str) -> Series:
    """Return the series that N names of groups state; "" is an image on its own."""
    first: dict[str, int] = {}
    rows = [first.setdefault(name, row) if name else row for row, name in enumerate(groups)]
    return Series(source=source, groups=np.array(rows, dtype=np.int64))


def series_of(dataset: ImageDataset, features: Features, rows: Labels, *, seed: int) -> Series:
    """Return the series among some images of a data set: those given, otherwise those found.

    Args:
        dataset: N images that can be read.
        features: Their features, row by row.
        rows: (M,) rows of different images. If there are more than 10,000, series are sought only
            in a sample, because the time grows with the square of the number.
        seed: Random seed of that sample.

    Returns:
        The groups of the M images.

    Raises:
        DataError: Each class is a single group, so that none can be both trained on and tested.
    """
    if dataset.groups:
        given = given_series([dataset.groups[row] for row in rows], source=dataset.grouped_by)
        _check_groups(given, dataset.labels[rows])
        return given
    labels, sample = dataset.labels[rows], np.arange(len(rows))
    if len(rows) > SEARCHED:
        from headstart.datasets.splits import stratified_sample

        digests = [features.digests[row] for row in rows]
        sample = np.flatnonzero(stratified_sample(digests, labels, size=SEARCHED, seed=seed))
    searched = rows[sample]
    found = find_series(
        {stage: X[searched] for stage, X in features.values.items() if stage != LOGITS},
        labels[sample],
        [dataset.paths[row] for row in searched],
    )
    groups = np.arange(len(rows))
    groups[sample] = sample[found.groups]
    return Series(source=FOUND, groups=groups)


def _check_groups(series: Series, labels: Labels) -> None:
    if not series:
        return
    divided = any(len(np.unique(series.groups[labels == one])) > 1 for one in np.unique(labels))
    if not divided:
        raise DataError(
            f"each class is a single group by {series.source}, so nothing can be held out to "
            "measure the accuracy on new scenes; choose smaller groups"
        )


def find_series(values: Mapping[str, Floats], labels: Labels, paths: Sequence[Path]) -> Series:
    """Find images of the same scene; see `headstart.series.detection`.

    Args:
        values: Stage name -> features (N, width) of all stages, shallow to deep.
        labels: (N,) class indices.
        paths: N image files. Some of those that may belong to a series are opened.
    """
    # A trained model, which knows its series, does not wait for these.
    from headstart.series.detection import find_groups
    from headstart.series.repeated_shots import read_thumbnails
    from headstart.series.sequence import follow_each_other

    groups = find_groups(
        values,
        labels,
        is_blank=lambda row: is_blank(paths[row]),
        evidence=partial(follow_each_other, paths, labels),
        thumbnails=lambda rows: read_thumbnails([paths[row] for row in rows.tolist()]),
    )
    return Series(source=FOUND, groups=groups)


def is_blank(path: Path) -> bool:
    """Whether an image has too little contrast to recognize a scene, or cannot be read."""
    try:
        image = decode(path, min_size=lambda *_: (_THUMBNAIL, _THUMBNAIL))
    except UnreadableImageError:
        return True
    small = image.convert("L").resize((_THUMBNAIL, _THUMBNAIL), Image.Resampling.BOX)
    return float(np.asarray(small, np.float32).std()) < _MIN_CONTRAST
