"""Data sets that go by a name: two that come with packages, the others downloaded once."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeAlias

from headstart.datasets import layouts
from headstart.datasets.dataset import ImageDataset
from headstart.datasets.entries import ImageEntry, assembled
from headstart.datasets.folders import open_folder
from headstart.datasets.staging import cache_place, staged
from headstart.errors import DataError, MissingExtraError
from headstart.system.download import ByteProgress, Download, fetch

Layout: TypeAlias = Callable[[tuple[Path, ...], Path], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedDataset:
    """A data set that headstart knows how to get.

    Attributes:
        name: what users call it.
        title: what it is, in a line.
        images: how many images it says it has.
        classes: how many classes.
        license: what the source says.
        split: which split the source defines, for people.
        layout: turns the downloaded files into folders; None if a package has them already.
        downloads: the files to fetch; none if it is embedded.
        folder: where in the layout the class or split folders are.
        stored: the data set whose files it shares; its own name if empty.
        rename: makes another class name of a folder's.
        package: the package that holds it, for an embedded one without a layout.
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
        """Bytes to download."""
        return sum(one.size or 0 for one in self.downloads)

    @property
    def embedded(self) -> bool:
        """Whether it needs no network."""
        return not self.downloads


_PETS: Final = "https://www.robots.ox.ac.uk/~vgg/data/pets/data/"
_PETS_FILES: Final = (
    Download(
        _PETS + "images.tar.gz",
        "67195c5e1c01f1ab5f9b6a5d22b8c27a580d896ece458917e61d459337fa318d",
        791_918_971,
    ),
    Download(
        _PETS + "annotations.tar.gz",
        "52425fb6de5c424942b7626b428656fcbd798db970a937df61750c0f1d358e91",
        19_173_078,
    ),
)
_MNIST: Final = "https://storage.googleapis.com/cvdf-datasets/mnist/"

_DATASETS: Final = (
    NamedDataset(
        name="digits",
        title="handwritten digits, 8 x 8 pixels, from scikit-learn",
        images=1797,
        classes=10,
        license="CC BY 4.0",
        layout=layouts.digits,
    ),
    NamedDataset(
        name="textiles",
        title="fabric without and with defects (nominal, local, global)",
        images=2000,
        classes=3,
        license="MIT",
        folder="data/textile_images/simulated",
        package="conformal_clip_data",
        extra="textiles",
    ),
    NamedDataset(
        name="ants-bees",
        title="ants and bees in nature, the PyTorch transfer tutorial's set",
        images=397,
        classes=2,
        license="unstated",
        split="train and validation",
        layout=layouts.archive,
        downloads=(
            Download(
                "https://download.pytorch.org/tutorial/hymenoptera_data.zip",
                "fbc41b31d544714d18dd1230b1e2b455e1557766e13e67f9f5a7a23af7c02209",
                47_286_322,
            ),
        ),
        folder="hymenoptera_data",
    ),
    NamedDataset(
        name="cats-vs-dogs",
        title="cats and dogs from animal shelters (Asirra); a few files are broken",
        images=25_000,
        classes=2,
        license="Microsoft's terms, non-commercial research",
        layout=layouts.archive,
        downloads=(
            Download(
                "https://download.microsoft.com/download/3/E/1/"
                "3E1C3F21-ECDB-4869-8368-6DEBA77B919F/kagglecatsanddogs_5340.zip",
                "b7974bd00a84a99921f36ee4403f089853777b5ae8d151c76a86e64900334af9",
                824_887_076,
            ),
        ),
        folder="PetImages",
    ),
    NamedDataset(
        name="oxford-pets",
        title="37 breeds of cats and dogs",
        images=7349,
        classes=37,
        license="CC BY-SA 4.0",
        split="train and test",
        layout=layouts.oxford_pets,
        downloads=_PETS_FILES,
    ),
    NamedDataset(
        name="oxford-pets-species",
        title="the pictures of oxford-pets as cats and dogs",
        images=7349,
        classes=2,
        license="CC BY-SA 4.0",
        split="train and test",
        layout=layouts.oxford_pets,
        downloads=_PETS_FILES,
        stored="oxford-pets",
        rename=layouts.species,
    ),
    NamedDataset(
        name="mnist",
        title="handwritten digits, 28 x 28 pixels",
        images=70_000,
        classes=10,
        license="CC BY-SA 3.0",
        split="train and test",
        layout=layouts.mnist,
        downloads=(
            Download(
                _MNIST + "train-images-idx3-ubyte.gz",
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                9_912_422,
            ),
            Download(
                _MNIST + "train-labels-idx1-ubyte.gz",
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                28_881,
            ),
            Download(
                _MNIST + "t10k-images-idx3-ubyte.gz",
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                1_648_877,
            ),
            Download(
                _MNIST + "t10k-labels-idx1-ubyte.gz",
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
                4_542,
            ),
        ),
    ),
    NamedDataset(
        name="cifar10",
        title="small photos of animals and vehicles, 32 x 32 pixels",
        images=60_000,
        classes=10,
        license="unstated",
        split="train and test",
        layout=layouts.cifar10,
        downloads=(
            Download(
                "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
                "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
                170_052_171,
            ),
        ),
    ),
)


def list_datasets() -> tuple[NamedDataset, ...]:
    """The data sets that go by a name, those that need no network first."""
    return _DATASETS


def open_named(
    dataset: NamedDataset,
    *,
    cache: Path,
    progress: ByteProgress | None = None,
    require_classes: int = 2,
) -> ImageDataset:
    """Open a known data set, getting it first if it is not in the cache.

    The files downloaded are deleted once their images are laid out: they would double the space.

    Args:
        dataset: which one.
        cache: laid out below `cache / "datasets"`, downloaded to `downloads` beside it.
        progress: told of each piece that arrives.
        require_classes: how many classes there must be.

    Raises:
        DownloadError: it cannot be downloaded.
        StoreError: the cache cannot be written.
        MissingExtraError: it comes with a package that is not installed.
    """
    if dataset.layout is None:
        root = _in_package(dataset)
    else:
        place = cache_place(cache, "datasets")
        root = place / (dataset.stored or dataset.name)
        if not root.is_dir():
            _lay_out(dataset, dataset.layout, root, place / "downloads", progress)
    found = open_folder(
        root / dataset.folder,
        name=dataset.name,
        license=dataset.license,
        require_classes=require_classes,
    )
    return found if dataset.rename is None else _renamed(found, dataset.rename)


def _lay_out(
    dataset: NamedDataset,
    layout: Layout,
    root: Path,
    downloads: Path,
    progress: ByteProgress | None,
) -> None:
    folder = downloads / root.name
    files = tuple(fetch(one, folder, progress=progress) for one in dataset.downloads)
    try:
        with staged(root) as work:
            layout(files, work)
    except (DataError, OSError) as error:
        if root.is_dir():  # another process was faster, and has deleted the files
            return
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"cannot lay out {dataset.name}: {error.strerror or error}; try again"
        ) from error
    for file in files:
        file.unlink(missing_ok=True)


def _in_package(dataset: NamedDataset) -> Path:
    found = importlib.util.find_spec(dataset.package)
    for place in (found and found.submodule_search_locations) or ():
        if (Path(place) / dataset.folder).is_dir():
            return Path(place)
    raise MissingExtraError(f"The data set '{dataset.name}'", extra=dataset.extra or "all")


def _renamed(found: ImageDataset, rename: Callable[[str], str]) -> ImageDataset:
    """The same images under other class names, several of which may become one."""
    splits = found.splits or (None,) * len(found)
    entries = [
        ImageEntry(path, rename(found.classes[label]), split)
        for path, label, split in zip(found.paths, found.labels.tolist(), splits, strict=True)
    ]
    renamed = assembled(found.name, entries, found.skipped)
    return replace(renamed, license=found.license)
