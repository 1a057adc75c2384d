"""The documents of classes, datasets and cache."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NotRequired, TypedDict

from headstart.features.cache_usage import FeatureUsage


class ClassDocument(TypedDict):
    """A class of ImageNet.

    Attributes:
        index: Its index in the networks' outputs.
        name: Its name.
        groups: Names of the groups that it belongs to.
    """

    index: int
    name: str
    groups: Sequence[str]


class ClassesDocument(TypedDict):
    """The document of `headstart classes --json`.

    Attributes:
        classes: Those found, in the order of their indices.
        groups: The indices of each group that one of them belongs to.
    """

    classes: Sequence[ClassDocument]
    groups: Mapping[str, Sequence[int]]


class DatasetDocument(TypedDict):
    """A data set that is available by name.

    Attributes:
        name: Its name, for fit and the others.
        title: What it shows.
        images: Number of images.
        classes: Number of classes.
        download_bytes: Size of the download; 0 for none.
        license: Its license.
        split: The parts that its source defines, in words.
        embedded: Whether it comes with a package.
    """

    name: str
    title: str
    images: int
    classes: int
    download_bytes: int
    license: str
    split: str
    embedded: bool


class CacheDocument(TypedDict):
    """The document of `headstart cache --json`.

    Attributes:
        folder: The folder of the cache.
        features: One for each network and way to see the images.
        bytes: Size on disk by kind of data.
        total_bytes: Size of all.
        freed_bytes: What was freed; only with `--clear`.
    """

    folder: Path
    features: Sequence[FeatureUsage]
    bytes: Mapping[str, int]
    total_bytes: int
    freed_bytes: NotRequired[int]
