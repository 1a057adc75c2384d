"""What `as_dict` of a `TransferReport` and of its parts returns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from headstart.series.series import SeriesSummary
from headstart.transfer.advice import Advice
from headstart.transfer.imagenet_distance import ImageNetDistance, NearestClasses, StageShift
from headstart.transfer.learning_curve import LearningCurve
from headstart.types import Conflict, Interval, Skipped
from website.result_types import AccuracyOutput, NamedAccuracy


class CostOutput(TypedDict):
    """How many more images one percentage point of accuracy costs.

    Attributes:
        images: The estimate; null where no realistic number is enough.
        interval: Its 95% interval; an end is null where it is unbounded or unrealistic.
    """

    images: int | None
    interval: tuple[int | None, int | None]


class DistanceOutput(TypedDict):
    """How unlike the images of the pre-training the images are.

    Attributes:
        shift: Mean shift over the stages, in standard deviations.
        images: Number of images that were measured.
        stages: Shift and spread of each stage, shallow to deep.
    """

    shift: float
    images: int
    stages: Sequence[StageShift]


class Gain(TypedDict):
    """A difference of two accuracies on the same images.

    Attributes:
        value: The difference.
        interval: Its 95% interval.
    """

    value: float
    interval: Interval


class NamedGain(Gain):
    """A difference of two accuracies, and what is compared.

    Attributes:
        of: What the first accuracy is of.
        over: What the second one is of.
    """

    of: str
    over: str


class ChosenStages(AccuracyOutput):
    """The accuracy of a head on the chosen stages.

    Attributes:
        stages: The stages chosen on all images, shallow to deep.
    """

    stages: Sequence[str]


class BaselineOutput(AccuracyOutput):
    """The accuracy of something without pre-training.

    Attributes:
        over_last: Its accuracy minus that on the last layer of the network.
        over_chosen: Its accuracy minus that on the chosen stages.
    """

    over_last: Gain
    over_chosen: Gain


class PlainClassifier(BaselineOutput):
    """The accuracy of a plain classifier.

    Attributes:
        classifier: What it is.
    """

    classifier: str


class RandomWeights(BaselineOutput):
    """The accuracy of the same network with random weights.

    Attributes:
        stages: The accuracy of a head on each stage, shallow to deep.
        chosen: The stages chosen on all images, shallow to deep.
    """

    stages: Sequence[NamedAccuracy]
    chosen: Sequence[str]


class NegativeTransfer(TypedDict):
    """Whether something without pre-training is better.

    Attributes:
        found: Whether any is better than the last layer.
        beat_last: Those that are.
        beat_chosen: Those that are better than the chosen stages.
    """

    found: bool
    beat_last: Sequence[str]
    beat_chosen: Sequence[str]


class TransferOutput(TypedDict):
    """The document of `headstart transfer --json`, and of transfer.json.

    Attributes:
        data: Name of the data set.
        backbone: Name of the backbone.
        images: Number of images measured on.
        available: Number of images that could be used.
        classes: The class names, sorted.
        folds: Number of folds of the cross-validation.
        seed: What `--seed` said.
        stages: The accuracy of a head on each stage, shallow to deep.
        chosen: That of a head on the chosen stages.
        stage_gain: The chosen stages over the last layer.
        raw_pixels: A classifier of small images.
        descriptors: A classifier of colors and edges.
        random_weights: The same network without pre-training.
        gain: The chosen stages over the network with random weights.
        negative_transfer: Whether something without pre-training is better.
        distance: How unlike the pre-training the images are; null if it cannot be told.
        distance_unknown: Why it cannot; null if it can.
        nearest_classes: The network's own classes that the images look like; null without any.
        learning_curve: Accuracy by number of training images.
        advice: What to do next.
        skipped: Files that could not be used, with reasons.
        conflicts: Identical files with different labels, which were left out.
        series: The series among the images; null if there is none.
        duplicates: Number of copies that were left out.
        seconds: Duration of all measurements.
    """

    data: str
    backbone: str
    images: int
    available: int
    classes: Sequence[str]
    folds: int
    seed: int
    stages: Sequence[NamedAccuracy]
    chosen: ChosenStages
    stage_gain: NamedGain
    raw_pixels: PlainClassifier
    descriptors: PlainClassifier
    random_weights: RandomWeights
    gain: NamedGain
    negative_transfer: NegativeTransfer
    distance: ImageNetDistance | None
    distance_unknown: str | None
    nearest_classes: NearestClasses | None
    learning_curve: LearningCurve
    advice: Advice
    skipped: Sequence[Skipped]
    conflicts: Sequence[Conflict]
    series: SeriesSummary | None
    duplicates: int
    seconds: float
