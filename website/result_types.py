"""What `as_dict` of a result returns, where its JSON is not simply its attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

from headstart.auditing.background import SurroundingsScore
from headstart.auditing.issue import Issue
from headstart.comparison.result import ExcludedBackbone
from headstart.evaluation.breakdown import LargestClass
from headstart.evaluation.metrics import Accuracy
from headstart.evaluation.paired_tests import PairedTest
from headstart.series.series import SeriesSummary
from headstart.types import Conflict, Interval, Skipped


class Place(TypedDict):
    """A place in an image by which a model decided.

    Attributes:
        box: Left, top, right and bottom in pixels of the upright image.
        share: Its share among all places that decided, in (0, 1].
    """

    box: Sequence[int]
    share: float


LargestClassOutput = TypedDict(  # "class" is no name in Python
    "LargestClassOutput",
    {
        "class": str,
        "accuracy": float,
        "images": int,
        "difference": float,
        "interval": Interval,
        "better": bool,
    },
)
LargestClassOutput.__doc__ = """What always answering the largest class would get right.

    Attributes:
        class: Its name.
        accuracy: Share of the images that this answer gets right.
        images: Number of its images.
        difference: The accuracy of the model minus this.
        interval: 95% interval of the difference.
        better: Whether the interval is above 0.
    """
RecallOutput = TypedDict(
    "RecallOutput",
    {"class": str, "recall": float, "interval": Interval, "correct": int, "images": int},
)
RecallOutput.__doc__ = """How many images of a class are recognized.

    Attributes:
        class: Its name.
        recall: Share of its images that are predicted as it.
        interval: 95% interval of the recall.
        correct: Number of those images.
        images: Number of its images.
    """


class AccuracyOutput(TypedDict):
    """An accuracy.

    Attributes:
        accuracy: Share of the images that are predicted correctly.
        interval: Its 95% interval.
        images: Number of images.
    """

    accuracy: float
    interval: Interval
    images: int


class NamedAccuracy(AccuracyOutput):
    """The accuracy of a classifier with a name.

    Attributes:
        name: Its name, such as that of a stage.
    """

    name: str


class DifferenceOutput(TypedDict):
    """The accuracy of one classifier minus that of another on the same images.

    Attributes:
        difference: The difference.
        interval: Its 95% interval.
        p_value: Exact p-value of no difference (McNemar).
    """

    difference: float
    interval: Interval
    p_value: float


class ProofOutput(TypedDict):
    """How the answers of an exported file differ from those of its model.

    Attributes:
        images: Number of images that were compared.
        equal_labels: Number of images with the same label.
        largest_difference: Largest difference of a probability.
        difference_p99: Largest difference on 99% of the images.
        tolerance: By how much a probability may differ.
        runtime: What ran the file.
        holds: Whether no image differs by more.
        differing: Those that do.
    """

    images: int
    equal_labels: int
    largest_difference: float
    difference_p99: float
    tolerance: float
    runtime: str
    holds: bool
    differing: Sequence[str]


class AuditOutput(TypedDict):
    """The document of `headstart audit --json`, and of audit.json.

    Attributes:
        data: Name of the data set.
        images: Number of readable images.
        classes: Number of classes.
        kinds: Number of findings of each kind that occurs.
        top: The strongest findings of each kind; audit.csv has all.
        surroundings: How well border and colors predict the classes; null with too few images.
        seconds: Duration of the audit.
    """

    data: str
    images: int
    classes: int
    kinds: Mapping[str, int]
    top: Mapping[str, Sequence[Issue]]
    surroundings: SurroundingsScore | None
    seconds: float


class ComparedBackbone(NamedAccuracy):
    """A backbone that was compared, with its accuracy and cost.

    Attributes:
        complete: Whether it was measured on all images; others were given up early.
        stages: The stages that its head uses, shallow to deep.
        images_per_second: Speed of the network alone on this machine.
        core_milliseconds: Time of all cores together per image.
        pass_images_per_second: Speed with reading the files; null if all came from the cache.
        engine: The library that ran it.
        precision: The numeric precision that it ran in.
        parameters: Number of parameters; null if unknown.
        multiply_adds: Number of multiply-adds per image; null if unknown.
        memory_bytes: Largest memory of the process; null if unknown.
        license: License of the weights.
        top1: Published accuracy on ImageNet; null if unknown.
        frontier: Whether no other one is both at least as accurate and as cheap.
    """

    complete: bool
    stages: Sequence[str]
    images_per_second: float
    core_milliseconds: float
    pass_images_per_second: float | None
    engine: str
    precision: str
    parameters: int | None
    multiply_adds: int | None
    memory_bytes: int | None
    license: str
    top1: float | None
    frontier: bool


class RecommendedBackbone(TypedDict):
    """The recommended backbone.

    Attributes:
        backbone: Its name.
        sentence: The reason.
        choice: The accuracy if the backbone is also chosen without the image.
        against: The accuracy of each other backbone minus that of this one.
    """

    backbone: str
    sentence: str
    choice: Accuracy
    against: Mapping[str, PairedTest]


class CompareOutput(TypedDict):
    """The document of `headstart compare --json`, and of comparison.json.

    Attributes:
        data: Name of the data set.
        images: Number of images compared on.
        classes: The class names, sorted.
        series: The series among the images; null if there is none.
        duplicates: Number of copies that were left out.
        conflicts: Identical files with different labels, which were left out.
        skipped: Files that could not be used, with reasons.
        folds: Number of folds of the cross-validation.
        seed: What `--seed` said.
        cores: Number of processor cores that the speeds were measured with.
        largest_class: What always answering the largest class gets right; null if unknown.
        backbones: One each, the cheapest first.
        recommendation: Which one to use.
        left_out: Backbones that could not be compared, with reasons.
        seconds: Duration of the comparison.
    """

    data: str
    images: int
    classes: Sequence[str]
    series: SeriesSummary | None
    duplicates: int
    conflicts: Sequence[Conflict]
    skipped: Sequence[Skipped]
    folds: int
    seed: int
    cores: int
    largest_class: LargestClass | None
    backbones: Sequence[ComparedBackbone]
    recommendation: RecommendedBackbone
    left_out: Sequence[ExcludedBackbone]
    seconds: float
