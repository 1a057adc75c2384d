"""The documents of imagine, classes, datasets, cache, report, export and verify."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NotRequired, TypedDict

from headstart.cli.imagine import SynthesisMethod
from headstart.exporting.file_format import Format, InputForm, Weights
from headstart.exporting.proof import Proof
from headstart.features.cache_usage import FeatureUsage
from headstart.models.trained_model import AccuracyEstimate

ImaginedImage = TypedDict(  # "class" is no name in Python
    "ImaginedImage",
    {
        "class": NotRequired[str],
        "target": NotRequired[str],
        "method": SynthesisMethod,
        "backbone": str,
        "label": str,
        "probability": float,
        "label_probability": float,
        "seed": int,
        "steps": int,
        "seconds": float,
        "out": Path,
        "frames": NotRequired[Path],
    },
)
ImaginedImage.__doc__ = """An imagined image.

    Attributes:
        class: The class or group that it should show; not for a channel.
        target: The channel or unit that it should show; not for a class.
        method: What `--method` said.
        backbone: Name of the backbone.
        label: The most probable class of the saved file.
        probability: Probability of the class, or of all in the group; of `label` for a channel.
        label_probability: Probability of `label` alone.
        seed: Seed of the initial noise.
        steps: Number of steps.
        seconds: Duration of the synthesis.
        out: The file that was written.
        frames: The animation; only with `--frames`.
    """
ImagineDocument = TypedDict(
    "ImagineDocument",
    {
        "class": NotRequired[str],
        "target": NotRequired[str],
        "method": SynthesisMethod,
        "backbone": str,
        "label": NotRequired[str],
        "probability": NotRequired[float],
        "label_probability": NotRequired[float],
        "seed": int,
        "steps": NotRequired[int],
        "seconds": float,
        "out": Path,
        "frames": NotRequired[Path],
        "pictures": Sequence[ImaginedImage],
        "views": Sequence[str],
    },
)
ImagineDocument.__doc__ = """The document of `headstart imagine --json`.

    Attributes:
        class: As in the only image; left out if there are several.
        target: The same.
        method: What `--method` said.
        backbone: Name of the backbone.
        label: As in the only image; left out if there are several.
        probability: The same.
        label_probability: The same.
        seed: What `--seed` said, the seed of the first image.
        steps: As in the only image; left out if there are several.
        seconds: Duration of all syntheses.
        out: What `--out` said.
        frames: As in the only image; left out if there are several.
        pictures: One for each image.
        views: Names of the views that the images are imagined for.
    """


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


class ReportDocument(TypedDict):
    """The document of `headstart report --json`.

    Attributes:
        page: The file that was written.
        title: Title of the page.
        summary: The sentences at its top.
        sections: Titles of its sections.
    """

    page: Path
    title: str
    summary: Sequence[str]
    sections: Sequence[str]


class ExportDocument(TypedDict):
    """The document of `headstart export --json`.

    Attributes:
        file: The file that was written.
        format: Its format.
        input: What it takes.
        weights: How it stores the weights.
        bytes: Its size.
        check: How its answers differ from the model's.
        check_bf16: How they differ from what predict says on this processor; null where predict
            computes in float32.
        record: The table of all answers that were compared.
    """

    file: Path
    format: Format
    input: InputForm
    weights: Weights
    bytes: int
    check: Proof
    check_bf16: Proof | None
    record: Path


class VerifyDocument(TypedDict):
    """The document of `headstart verify --json`.

    Attributes:
        file: The file, as it was given.
        check: How its answers differ.
        accuracy: Its accuracy on images that did not train the model; null without `--model`.
        model_accuracy: That of the model on the same images.
    """

    file: Path
    check: Proof
    accuracy: AccuracyEstimate | None
    model_accuracy: AccuracyEstimate | None
