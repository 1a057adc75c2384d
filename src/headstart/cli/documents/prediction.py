"""The documents of `headstart predict` and `headstart classify`, and of training.json."""

from collections.abc import Mapping, Sequence
from typing import NotRequired, TypedDict

from headstart.evaluation.breakdown import ClassRecall
from headstart.evaluation.drift import Drift, EstimatedAccuracy
from headstart.models.deciding_places import DecidingPlace
from headstart.types import ClassProbability, Conflict, Skipped


class PredictionDocument(TypedDict):
    """The prediction for one image; only `image` and `error` if it could not be read.

    Attributes:
        image: The path, as it was given.
        error: Why the image could not be read.
        label: The most probable class, also if `known` is false.
        probability: Its probability, in [0, 1].
        novelty: Share of images of the known classes that are at least as unlike the training
            images; null if the model cannot tell.
        known: Whether the novelty is above the limit; null without a novelty or a limit.
        answer: The label, "unknown", or "unsure" (`--min-probability`).
        top: The most probable classes, the most probable first.
        set: The classes that cannot be ruled out (`--coverage`).
        where: The places that decided (`--where`).
    """

    image: str
    error: NotRequired[str]
    label: NotRequired[str]
    probability: NotRequired[float]
    novelty: NotRequired[float | None]
    known: NotRequired[bool | None]
    answer: NotRequired[str]
    top: NotRequired[Sequence[ClassProbability]]
    set: NotRequired[Sequence[str]]
    where: NotRequired[Sequence[DecidingPlace]]


class PredictDocument(TypedDict):
    """The document of `headstart predict --json`.

    Attributes:
        predictions: One for each image, in the order of the images.
        counts: Number of images by answer.
        cost: Core-milliseconds per image; null if nothing was computed.
        skipped: Files of folders that are not images, with reasons.
        coverage: What `--coverage` said, or null.
        drift: Whether the images as a whole are unlike the training images; null for fewer than 20.
        estimated_accuracy: Share of the predictions that may be correct; null likewise.
    """

    predictions: Sequence[PredictionDocument]
    counts: Mapping[str, int]
    cost: float | None
    skipped: Sequence[Skipped]
    coverage: float | None
    drift: Drift | None
    estimated_accuracy: EstimatedAccuracy | None


class ClassifyDocument(TypedDict):
    """The document of `headstart classify --json`.

    Attributes:
        predictions: One for each image, in the order of the images.
        skipped: Files of folders that are not images, with reasons.
    """

    predictions: Sequence[PredictionDocument]
    skipped: Sequence[Skipped]


class TrainingFile(TypedDict):
    """The file training.json beside a model.

    Attributes:
        recalls: The recall of each class, the lowest first.
        conflicts: Identical files with different labels, which were left out.
    """

    recalls: Sequence[ClassRecall]
    conflicts: Sequence[Conflict]
