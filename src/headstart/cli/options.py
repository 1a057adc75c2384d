"""Options shared by several commands, and functions that open what they name."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from headstart.errors import BackboneError, UnknownBackboneError, UserError
from headstart.system.option import Advanced, Option
from headstart.types import DEFAULT_BACKBONE, ClassLevel, Device, EngineName, Norm, Precision

if TYPE_CHECKING:
    from headstart.datasets import ImageDataset
    from headstart.features.extractor import Extractor
    from headstart.inspection.inspected_network import InspectedNetwork
    from headstart.models.data_location import DataLocation
    from headstart.models.trained_model import Model


def _use_cache(folder: Path | None) -> Path | None:
    """Set the cache folder for all code, including child processes."""
    if folder is not None:
        os.environ["HEADSTART_CACHE"] = str(folder)
    return folder


def _backbone_names() -> list[str]:
    from headstart.backbones import list_backbones

    return [one.name for one in list_backbones()]


Data = Annotated[
    str,
    Option(
        help="A folder with one subfolder of images per class (optionally inside train/ and "
        "test/), a table of images (CSV, Parquet, JSON lines), an archive of either, or a name "
        "from 'headstart datasets'."
    ),
]
ModelFolder = Annotated[Path, Option(help="A model folder written by 'headstart fit'.")]
ModelOrBackbone = Annotated[
    str, Option(help="A model folder written by 'headstart fit', or the name of a backbone.")
]
Image = Annotated[Path, Option(help="An image file.")]
# An unreadable image is reported at the end, and does not stop the others.
Images = Annotated[list[Path], Option(help="Images, and folders of images.", unreadable=True)]
Folder = Annotated[Path, Option(folder=True)]
OptionalFolder = Annotated[Path | None, Option(folder=True)]
_BACKBONE = "The pre-trained network; see 'headstart backbones'."
_WEIGHTS = "Load the network's weights from this file (safetensors, .pth, .h5)."
BackboneName = Annotated[str, Option(help=_BACKBONE, known=_backbone_names)]
OptionalBackbone = Annotated[
    str | None, Option(help=_BACKBONE, unset=DEFAULT_BACKBONE, known=_backbone_names)
]
Weights = Annotated[Path | None, Advanced(help=_WEIGHTS)]
Cache = Annotated[
    Path | None,
    Advanced(
        flag="--cache",
        help="Cache folder; by default $HEADSTART_CACHE or the platform's cache folder.",
        convert=_use_cache,
    ),
]
AllowDownload = Annotated[
    bool,
    Advanced(help="Download the weights of the model's backbone if this machine lacks them."),
]
AllowCode = Annotated[
    bool,
    Advanced(
        help="Let a network of your own run code when it is opened: FILE.pt2, or MODULE:ATTRIBUTE "
        "of Python code. Only for networks and models that you trust."
    ),
]
DeviceName = Annotated[
    Device,
    Advanced(
        flag="--device",
        help="Where networks run: cuda and mps are GPUs, and need PyTorch; auto takes what is "
        "there.",
    ),
]
Balance = Annotated[
    bool, Option(help="Weight all classes equally, regardless of their number of images.")
]
Coverage = Annotated[
    float | None,
    Option(
        help="Also give, for each image, the set of classes that contains the true one with this "
        "probability, such as 0.9. That holds approximately: the probability is measured on "
        "training images, each predicted by a classifier that was trained without it.",
        unset="no sets",
    ),
]
CoverageByClass = Annotated[
    bool, Option(help="Guarantee the coverage for the images of each class, not only for all.")
]
Force = Annotated[
    bool,
    Option(
        help="Write to --out even if it contains other files; those with the same names are "
        "replaced."
    ),
]
NormName = Annotated[
    Norm,
    Option(help="Measure a change by its largest value (linf) or by its Euclidean norm (l2)."),
]
UnknownRate = Annotated[
    str,
    Option(
        flag="--unknown",
        help="Call an image unknown if at most this share of images of known classes looks as "
        "unusual; this share of them is called unknown by mistake. 'off': never.",
    ),
]
DEFAULT_UNKNOWN_RATE = "0.05"
Seed = Annotated[int, Option(help="Random seed.", low=0, high=2**32 - 1)]
ViewName = Annotated[
    str | None,
    Option(
        help="Of a model with several views, the one whose network to show.",
        unset="the first; 'headstart info' lists them",
    ),
]
Json = Annotated[bool, Option(help="Print one JSON document and nothing else.", flag="--json")]


def unknown_rate(text: str) -> float | None:
    """Return the rate that --unknown asks for; None if no image is to be called unknown."""
    if text.strip().lower() == "off":
        return None
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not 0 < rate < 1:
        raise UserError(f"--unknown is {text!r}; give a rate between 0 and 1, such as 0.05, or off")
    return rate


@dataclass(frozen=True, kw_only=True)
class DatasetOptions:
    """How labeled images are read.

    Attributes:
        image_column: The table column with the image files.
        label_column: The table column with the labels.
        image_folder: The folder that the file names in the table are relative to; by default the
            folder of the table.
        image_suffix: What to add to the names in the table to get file names, such as .jpg.
        classes_from: In nested folders, the part of the path that names the class: all of it, or
            the first or last folder; or the file's own name up to its number, as in cat.0.jpg.
        group_by: What tells which images are not independent, such as those of one camera or one
            burst: column:NAME of the table, folder:LEVEL (1 is the folder that contains the image),
            name:REGEX of the file name, or time:SECONDS between photos.
        review: A reviewed audit.csv of 'headstart audit': images that it drops are left out,
            and labels that it corrects are used.
    """

    image_column: Annotated[str | None, Advanced()] = None
    label_column: Annotated[str | None, Advanced()] = None
    image_folder: Annotated[Path | None, Advanced(folder=True)] = None
    image_suffix: Annotated[str | None, Advanced()] = None
    classes_from: Annotated[ClassLevel, Advanced()] = ClassLevel.PATH
    group_by: Annotated[str | None, Option(unset="series are found in the images")] = None
    review: Annotated[Path | None, Advanced()] = None

    def open(self, data: str, cache: Path | None, *, require_classes: int = 2) -> ImageDataset:
        """Open a data set, downloading or unpacking it if necessary."""
        from headstart.cli.console import progress, warn
        from headstart.datasets import GroupBy, open_dataset
        from headstart.datasets.review import apply_review
        from headstart.system.cache_folder import cache_root

        with progress() as bars:
            megabytes = bars.bar(f"downloading {data}", "MB", scale=1_000_000)
            dataset = open_dataset(
                data,
                cache=cache_root(cache),
                image_column=self.image_column,
                label_column=self.label_column,
                image_folder=self.image_folder,
                image_suffix=self.image_suffix,
                classes_from=self.classes_from,
                group_by=None if self.group_by is None else GroupBy.parse(self.group_by),
                require_classes=require_classes,
                progress=lambda done, total: megabytes(done, total or 0),
            )
        if self.review is not None:
            dataset = apply_review(dataset, self.review)
        warn(dataset.warnings)
        return dataset

    @classmethod
    def of(cls, location: DataLocation) -> Self:
        """Return how the images at a recorded location were read."""
        return cls(
            image_column=location.image_column,
            label_column=location.label_column,
            classes_from=ClassLevel(location.classes_from),
            group_by=location.group_by,
            review=Path(location.review) if location.review else None,
            image_folder=Path(location.image_folder) if location.image_folder else None,
            image_suffix=location.image_suffix,
        )

    def arguments(self) -> dict[str, str]:
        """Return the options that are not at their defaults, as the command line has them."""
        values = {one.name: (getattr(self, one.name), one.default) for one in fields(self)}
        return {
            f"--{name.replace('_', '-')}": str(value)
            for name, (value, default) in values.items()
            if value != default
        }

    def location(self) -> dict[str, Any]:
        """Return the options for a `DataLocation`, with absolute paths."""
        review = self.review and str(self.review.resolve())
        folder = self.image_folder
        # A folder inside an archive does not exist here.
        images = folder and str(folder.resolve() if folder.exists() else folder)
        return {**vars(self), "review": review, "image_folder": images}


@dataclass(frozen=True, kw_only=True)
class RuntimeOptions:
    """How a frozen network is loaded and run.

    Attributes:
        engine: Inference engine of the frozen network.
        precision: Numeric precision of the frozen network.
    """

    weights: Weights = None
    engine: Annotated[EngineName, Advanced()] = EngineName.AUTO
    precision: Annotated[Precision, Advanced()] = Precision.AUTO
    device: DeviceName = Device.AUTO
    cache: Cache = None
    allow_code: AllowCode = False

    def extractor(self, backbone: str, *, allow_download: bool = True) -> Extractor:
        """Return a backbone, ready to run."""
        from headstart.cli.console import silence_libraries
        from headstart.features.extractor import build_extractor

        silence_libraries()
        return build_extractor(backbone, allow_download=allow_download, **vars(self))

    def extractor_of(self, model: Model, *, allow_download: bool) -> Extractor:
        """Return the backbone of a model, with the weights that the model was trained on."""
        from headstart.cli.console import silence_libraries
        from headstart.models.model_backbone import build_model_extractor

        silence_libraries()
        return build_model_extractor(model, allow_download=allow_download, **vars(self))


@dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    """The network to inspect: a pre-trained backbone or a trained model.

    Attributes:
        model: A model folder written by 'headstart fit', instead of a backbone.
    """

    backbone: OptionalBackbone = None
    model: Path | None = None
    weights: Weights = None
    device: DeviceName = Device.AUTO
    allow_download: AllowDownload = False
    allow_code: AllowCode = False

    def inspected(self) -> InspectedNetwork:
        """Return the network, ready for inspection.

        Raises:
            UserError: both a backbone and a model are given.
        """
        if self.model is not None and self.backbone is not None:
            raise UserError(
                f"--model {self.model} includes its backbone; remove --backbone {self.backbone}"
            )
        name = self.backbone or DEFAULT_BACKBONE
        return _inspected(
            self.model,
            name,
            self.weights,
            device=self.device,
            allow_download=self.allow_download,
            allow_code=self.allow_code,
        )


def inspected_by_name(
    name: str,
    weights: Path | None,
    *,
    allow_download: bool,
    allow_code: bool = False,
    device: Device = Device.AUTO,
) -> InspectedNetwork:
    """Return the model folder, or else the backbone, that an argument names, for inspection."""
    folder = Path(name) if Path(name).exists() else None
    try:
        return _inspected(
            folder,
            name,
            weights,
            device=device,
            allow_download=allow_download,
            allow_code=allow_code,
        )
    except UnknownBackboneError as error:
        raise BackboneError(f"there is no folder {name!r}, and {error}") from None


def _inspected(
    folder: Path | None,
    name: str,
    weights: Path | None,
    *,
    device: Device,
    allow_download: bool,
    allow_code: bool,
) -> InspectedNetwork:
    """Return the network of a model or, without its folder, the backbone of that name."""
    from headstart.backbones import load_backbone
    from headstart.cli.console import silence_libraries
    from headstart.inspection.inspected_network import InspectedNetwork
    from headstart.models.saved_model import load_model

    silence_libraries()
    if folder is None:
        backbone = load_backbone(name, weights=weights, allow_code=allow_code)
        network = InspectedNetwork(backbone, device=device)
    else:
        model = load_model(folder)
        network = InspectedNetwork.of(
            model,
            weights=weights,
            allow_download=allow_download,
            allow_code=allow_code,
            device=device,
        )
    # Built at once: it reports a missing extra before the caller imports what needs PyTorch.
    _ = network.differentiable
    return network
