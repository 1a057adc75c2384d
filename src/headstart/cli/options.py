"""The options that several verbs share."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headstart.types import ClassLevel, EngineName, Precision

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.datasets import ImageDataset
    from headstart.features.extractor import Extractor
    from headstart.inspection.inspected_network import InspectedNetwork
    from headstart.models.trained_model import Model

DEFAULT_BACKBONE = "efficientnet-lite0"

Data = Annotated[
    str,
    typer.Argument(
        help="A folder with a folder of images per class (or train/ and test/ with such), a "
        "table (CSV, Parquet, JSON lines), an archive of these, or a name from "
        "'headstart datasets'.",
        show_default=False,
    ),
]
ModelOption = Annotated[
    Path | None,
    typer.Option("--model", help="A folder that 'headstart fit' wrote, instead of a backbone."),
]
StudiedBackbone = Annotated[
    str | None,
    typer.Option(
        "--backbone",
        help=f"The pre-trained network; see 'headstart backbones'. [default: {DEFAULT_BACKBONE}]",
    ),
]
ModelOrBackbone = Annotated[
    str,
    typer.Argument(
        help="A folder that 'headstart fit' wrote, or the name of a backbone.", show_default=False
    ),
]
ModelFolder = Annotated[
    Path, typer.Argument(help="The folder that 'headstart fit' wrote.", show_default=False)
]
Images = Annotated[
    list[Path],
    # One that may not be read is listed with the others, and does not stop them.
    typer.Argument(help="Images, and folders of images.", show_default=False, readable=False),
]
BackboneName = Annotated[
    str, typer.Option("--backbone", help="The pre-trained network; see 'headstart backbones'.")
]
WeightsFile = Annotated[
    Path | None,
    typer.Option(
        "--weights", help="Read the network's weights from this file (safetensors, .pth, .h5)."
    ),
]
EngineOption = Annotated[EngineName, typer.Option("--engine", help="What runs the network.")]
PrecisionOption = Annotated[Precision, typer.Option("--precision", help="In which arithmetic.")]


def _use_cache(folder: Path | None) -> Path | None:
    """Let the option hold for whatever asks for the cache folder, in child processes too."""
    if folder is not None:
        os.environ["HEADSTART_CACHE"] = str(folder)
    return folder


CacheFolder = Annotated[
    Path | None,
    typer.Option(
        "--cache",
        callback=_use_cache,
        help="Cache folder; the environment variable HEADSTART_CACHE sets it as well.",
    ),
]
Seed = Annotated[
    int, typer.Option("--seed", min=0, max=2**32 - 1, help="Of all that is drawn by chance.")
]
OptionalSeed = Annotated[
    int | None,
    typer.Option(
        "--seed",
        min=0,
        max=2**32 - 1,
        help="Of all that is drawn by chance. [default: the model's, or 0]",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, nothing else.")]
ImageColumn = Annotated[
    str | None, typer.Option("--image-column", help="A table's column of image files.")
]
LabelColumn = Annotated[
    str | None, typer.Option("--label-column", help="A table's column of labels.")
]

ClassesFrom = Annotated[
    ClassLevel,
    typer.Option(
        "--classes-from",
        help="Of folders in folders: what names the class, the whole path, the first or the last "
        "folder.",
    ),
]


def check_outside(folder: Path, data: str) -> None:
    """Pictures of results among images would be taken for a class of theirs.

    Raises:
        DataError: the folder for results lies within the data.
    """
    from headstart.errors import DataError

    images = Path(data)
    if images.is_dir() and folder.resolve().is_relative_to(images.resolve()):
        raise DataError(f"{folder} lies among the images in {data}; name a folder outside")


def check_results(folder: Path, report: str, data: str | None = None) -> None:
    """Nothing is written among somebody's photos, and this is found out before the work.

    Args:
        folder: where results are to go.
        report: name of a file that earlier results left there.
        data: the images that they are made of.
    """
    from headstart.errors import DataError
    from headstart.system.files import check_writable

    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder} is a file; name a folder for the results")
    if data is not None:
        check_outside(folder, data)
    check_writable(folder)
    taken = folder.is_dir() and any(folder.iterdir())
    if taken and not (folder / report).is_file():
        raise DataError(f"{folder} holds other files; name a new folder for the results")


def extractor_for(
    backbone: str,
    weights: Path | None,
    engine: EngineName,
    precision: Precision,
    cache: Path | None,
    *,
    allow_download: bool = True,
) -> Extractor:
    """The backbone, ready to run as the options say."""
    from headstart.cli.console import hush_libraries
    from headstart.features.extractor import build_extractor

    hush_libraries()
    return build_extractor(
        backbone,
        weights=weights,
        engine=engine,
        precision=precision,
        cache=cache,
        allow_download=allow_download,
    )


def extractor_of(
    model: Model,
    weights: Path | None,
    engine: EngineName,
    precision: Precision,
    cache: Path | None,
) -> Extractor:
    """The backbone that a model belongs to, with the very weights it was trained on."""
    from headstart.cli.console import hush_libraries
    from headstart.models.model_backbone import build_model_extractor

    hush_libraries()
    return build_model_extractor(
        model, weights=weights, engine=engine, precision=precision, cache=cache
    )


def study(backbone: str | None, model: Path | None, weights: Path | None) -> InspectedNetwork:
    """What `--backbone` or `--model` names, opened for a look inside.

    Raises:
        UserError: both are given.
    """
    from headstart.errors import UserError

    if model is None:
        return _study(_backbone(backbone or DEFAULT_BACKBONE, weights))
    if backbone is not None:
        raise UserError(
            f"--model {model} has a backbone of its own; leave out --backbone {backbone}"
        )
    return _study_of_model(model, weights)


def study_of(name: str, weights: Path | None) -> InspectedNetwork:
    """What an argument names, opened for a look inside: a model's folder or else a backbone."""
    folder = Path(name)
    if folder.exists():
        return _study_of_model(folder, weights)
    return _study(_backbone(name, weights))


def _study_of_model(folder: Path, weights: Path | None) -> InspectedNetwork:
    from headstart.models.model_backbone import require_weights_file, tuned_backbone
    from headstart.models.saved_model import load_model

    trained = load_model(folder)
    require_weights_file(trained, weights)
    return _study(tuned_backbone(trained, _backbone(trained.origin.backbone, weights)), trained)


def _study(backbone: Backbone, model: Model | None = None) -> InspectedNetwork:
    from headstart.inspection.inspected_network import InspectedNetwork

    opened_study = InspectedNetwork(backbone, model)
    # Built at once: it says what is missing before the caller imports what needs PyTorch.
    _ = opened_study.subject
    return opened_study


def fraction(text: str) -> float:
    """The number of "4/255" or "0.016".

    Raises:
        ValueError: it is none, or not finite.
    """
    number, _, divisor = text.partition("/")
    value = float(number) / (float(divisor or 1) or math.nan)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _backbone(name: str, weights: Path | None) -> Backbone:
    from headstart.backbones import load_backbone
    from headstart.cli.console import hush_libraries

    hush_libraries()
    return load_backbone(name, weights=weights)


def opened(
    data: str,
    cache: Path | None,
    image_column: str | None,
    label_column: str | None,
    classes_from: ClassLevel,
    *,
    require_classes: int = 2,
) -> ImageDataset:
    """The data set, downloaded or unpacked if need be."""
    from headstart.cli.console import progress
    from headstart.datasets import open_dataset
    from headstart.system.cache_folder import cache_root

    with progress() as bars:
        megabytes = bars.bar(f"downloading {data}", "MB", scale=1_000_000)
        dataset = open_dataset(
            data,
            cache=cache_root(cache),
            image_column=image_column,
            label_column=label_column,
            require_classes=require_classes,
            progress=lambda done, total: megabytes(done, total or 0),
        )
    return dataset.with_class_level(classes_from)
