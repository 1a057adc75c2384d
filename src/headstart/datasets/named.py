"""Named data sets: two come with Python packages, the others are downloaded once."""

import importlib.util
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, TypeAlias

from headstart.datasets import layouts
from headstart.datasets.dataset import ImageDataset
from headstart.datasets.folders import open_folder
from headstart.errors import DataError, MissingExtraError
from headstart.system.cache_folder import atomic_folder, cache_errors, cache_folder
from headstart.system.download import ByteProgress, Download, fetch

Layout: TypeAlias = Callable[[tuple[Path, ...], Path], None]
"""A function that converts downloaded files to folders of images; see `layouts`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedDataset:
    """A data set that headstart can find or download by its name.

    Attributes:
        name: the name that users give.
        title: description in one line, without a period.
        images: number of images according to the source.
        classes: number of classes.
        license: the license stated by the source.
        split: the splits that the source defines, in words.
        layout: converts the downloaded files to folders; None if a package contains the folders.
        downloads: files to fetch; empty if no download is needed.
        folder: path of the class or split folders inside the converted folder or the package.
        stored: name of the data set whose files it shares; its own name if empty.
        rename: function from the name of a folder to that of its class; None if they are equal.
        package: Python package that contains the folders, if `layout` is None.
        extra: the extra that installs that package.
    """

    name: str
    title: str
    images: int
    classes: int
    license: str
    split: str = "none"
    layout: Layout | None = None
    downloads: tuple[Download, ...] = ()
    folder: str = ""
    stored: str = ""
    rename: Callable[[str], str] | None = None
    package: str = ""
    extra: str | None = None

    @property
    def size(self) -> int:
        """Download size in bytes."""
        return sum(one.size or 0 for one in self.downloads)

    @property
    def embedded(self) -> bool:
        """Whether it is available offline."""
        return not self.downloads


@cache
def list_datasets() -> tuple[NamedDataset, ...]:
    """Return the known data sets, those that need no download first.

    Returns:
        The name, the license and the size of each.

    Example:
        >>> import headstart
        >>> headstart.list_datasets()[0].name
        'digits'
    """
    table = tomllib.loads(
        (resources.files("headstart.datasets") / "named.toml").read_text(encoding="utf-8")
    )
    return tuple(
        _named_dataset(name, {**table.get(entry.get("stored"), {}), **entry})
        for name, entry in table.items()
    )


def _named_dataset(name: str, entry: dict[str, Any]) -> NamedDataset:
    for key in ("layout", "rename"):
        if key in entry:
            entry[key] = getattr(layouts, entry[key])
    downloads = tuple(Download(**one) for one in entry.pop("downloads", ()))
    return NamedDataset(name=name, downloads=downloads, **entry)


def open_named(
    dataset: NamedDataset,
    *,
    cache: Path,
    progress: ByteProgress | None = None,
    require_classes: int = 2,
) -> ImageDataset:
    """Open a known data set, downloading it first if the cache does not have it.

    The downloaded files are deleted once their images are in folders, because keeping both would
    take twice the space.

    Images are kept in "datasets" in the cache folder, partial downloads in "downloads" there.

    Raises:
        DataError: the downloaded files are not as expected.
        DownloadError: the data set cannot be downloaded.
        StoreError: the cache cannot be written.
        MissingExtraError: the package that contains the data set is not installed.
    """
    if dataset.layout is None:
        root = _package_folder(dataset)
    else:
        with cache_errors(cache / "datasets"):
            parent = cache_folder(cache, "datasets")
        root = parent / (dataset.stored or dataset.name)
        if not root.is_dir():
            _convert(dataset, dataset.layout, root, parent / "downloads", progress)
    folder = root / dataset.folder
    found = open_folder(folder, name=dataset.name, require_classes=require_classes)
    found = replace(found, license=dataset.license)
    return found if dataset.rename is None else found.rename_classes(dataset.rename)


def _convert(
    dataset: NamedDataset,
    layout: Layout,
    root: Path,
    downloads: Path,
    progress: ByteProgress | None,
) -> None:
    """Download the files and convert them to folders in `root`."""
    folder = downloads / root.name
    files = tuple(fetch(one, folder, progress=progress) for one in dataset.downloads)
    try:
        with atomic_folder(root) as work:
            layout(files, work)
    except (DataError, OSError) as error:
        if root.is_dir():  # another process was faster and has deleted the files
            return
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"cannot convert {dataset.name} to folders: {error.strerror or error}; try again"
        ) from error
    for file in files:
        file.unlink(missing_ok=True)


def _package_folder(dataset: NamedDataset) -> Path:
    found = importlib.util.find_spec(dataset.package)
    for place in (found and found.submodule_search_locations) or ():
        if (Path(place) / dataset.folder).is_dir():
            return Path(place)
    raise MissingExtraError(f"The data set '{dataset.name}'", extra=dataset.extra or "all")
