"""Named data sets: two come with Python packages, the others are downloaded once."""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeAlias

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


_PETS: Final = "https://www.robots.ox.ac.uk/~vgg/data/pets/data/"
_OXFORD_PETS: Final = NamedDataset(
    name="oxford-pets",
    title="37 breeds of cats and dogs",
    images=7349,
    classes=37,
    license="CC BY-SA 4.0",
    split="train and test",
    layout=layouts.oxford_pets,
    downloads=(
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
        title="fabric with no, local or global defects",
        images=2000,
        classes=3,
        license="MIT",
        folder="data/textile_images/simulated",
        package="conformal_clip_data",
        extra="textiles",
    ),
    NamedDataset(
        name="ants-bees",
        title="ants and bees in nature, from PyTorch's transfer learning tutorial",
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
        title="cats and dogs from animal shelters (Asirra); a few files are damaged",
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
    _OXFORD_PETS,
    replace(
        _OXFORD_PETS,
        name="oxford-pets-species",
        title="the images of oxford-pets, labeled cat or dog",
        classes=2,
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
    """Return the known data sets, those that need no download first."""
    return _DATASETS


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

    Args:
        dataset: the data set.
        cache: root of the cache; images go to `cache / "datasets"`, downloads to `downloads` there.
        progress: called with the bytes received so far and in total.
        require_classes: the smallest number of classes to accept.

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
