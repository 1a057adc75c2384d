"""The documents of `headstart fit` and `headstart finetune`."""

from collections.abc import Mapping, Sequence
from typing import TypedDict

from headstart.evaluation.breakdown import ClassRecall, LargestClass
from headstart.finetuning.checkpoint import Epoch
from headstart.finetuning.invariance import Exchange
from headstart.finetuning.settings import Keep
from headstart.models.trained_model import AccuracyEstimate
from headstart.novelty.estimate import NoveltyEstimate
from headstart.series.series import SeriesSummary
from headstart.types import Conflict, EstimateMethod, Interval, Quality, Skipped


class ReviewCounts(TypedDict):
    """What a reviewed audit.csv changed.

    Attributes:
        dropped: Number of images that it left out.
        relabeled: Number of images to which it gave another label.
    """

    dropped: int
    relabeled: int


class MemberDocument(TypedDict):
    """One of the classifiers that a model averages; the only one of most models.

    Attributes:
        view: The backbone, and how it sees the images.
        head: Kind of the classifier on top of it.
        layers: The stages whose features it uses, shallow to deep.
        weight: Its share of the average, in (0, 1].
        accuracy: Its own accuracy; null if unknown.
        cost: Core-milliseconds per image on this machine; null if not measured.
    """

    view: str
    head: str
    layers: Sequence[str]
    weight: float
    accuracy: float | None
    cost: float | None


class TrainingDocument(TypedDict):
    """What fit and finetune both say about the training of the head, and about the model.

    Attributes:
        backbone: Name of the backbone.
        engine: The library that ran it.
        precision: The numeric precision that it ran in.
        stages: The stages whose features the head uses, shallow to deep; null with several members.
        head: Kind of the classifier; null with several members.
        setting: Its hyperparameter, chosen by cross-validation; null with several members.
        temperature: The logits are divided by it.
        accuracy_by_stage: The accuracy of a head on each stage alone.
        compared_on: Number of images on which the stages were compared.
        images: Number of images that the model was trained on.
        classes: The class names, sorted.
        skipped: Files that could not be used, with reasons.
        review: What a reviewed audit.csv changed.
        duplicates: Number of copies that were left out.
        conflicts: Identical files with different labels, which were left out.
        series: The series among the images; null if there is none.
        accuracy: The accuracy on images that chose and trained nothing; null if none are left.
        interval: Its 95% interval.
        estimate: How it was measured.
        tested_images: Number of images that it was measured on.
        largest_class: What always answering the largest class gets right; null if unknown.
        recalls: The recall of each class, the lowest first.
        accuracy_same_scenes: The accuracy on more images of the same scenes; null without series.
        shared_scenes: Number of test images that show a scene of the training images.
        novelty: How well unknown objects are told; null if the model cannot.
        cached: Number of images whose features were in the cache.
        images_per_second: Speed of the network with reading the files; null if all features were
            in the cache.
    """

    backbone: str
    engine: str
    precision: str
    stages: Sequence[str] | None
    head: str | None
    setting: float | None
    temperature: float
    accuracy_by_stage: Mapping[str, AccuracyEstimate]
    compared_on: int
    images: int
    classes: Sequence[str]
    skipped: Sequence[Skipped]
    review: ReviewCounts
    duplicates: int
    conflicts: Sequence[Conflict]
    series: SeriesSummary | None
    accuracy: float | None
    interval: Interval | None
    estimate: EstimateMethod
    tested_images: int
    largest_class: LargestClass | None
    recalls: Sequence[ClassRecall]
    accuracy_same_scenes: float | None
    shared_scenes: int
    novelty: NoveltyEstimate | None
    cached: int
    images_per_second: float | None


class OverBudget(TypedDict):
    """A view that a budget left out.

    Attributes:
        view: Its name.
        cost: Core-milliseconds per image.
    """

    view: str
    cost: float


class FitDocument(TrainingDocument):
    """The document of `headstart fit --json`.

    Attributes:
        quality: What `--quality` said.
        members: The classifiers that the model averages; one for most models.
        cost: Core-milliseconds per image on this machine; null if not measured.
        seconds: Duration of the whole command.
        budget: What `--budget` said, or null.
        over_budget: Views that the budget left out.
    """

    quality: Quality
    members: Sequence[MemberDocument]
    cost: float | None
    seconds: float
    budget: float | None
    over_budget: Sequence[OverBudget]


class Verdict(TypedDict):
    """What came of the fine-tuning.

    Attributes:
        sentence: The verdict and its figures.
    """

    sentence: str


class ValidationDocument(TypedDict):
    """Accuracies on the validation images; null if nothing was fine-tuned.

    Attributes:
        probe: Of the head on the frozen network.
        tuned: Of the fine-tuned network alone.
        start: Of the model before the fine-tuning.
        result: Of the model that is kept.
    """

    probe: AccuracyEstimate | None
    tuned: AccuracyEstimate | None
    start: AccuracyEstimate | None
    result: AccuracyEstimate | None


class TestDocument(TypedDict):
    """Accuracies on the test images, which decided nothing.

    Attributes:
        probe: Of the head on the frozen network.
        tuned: Of the fine-tuned network alone.
        result: Of the model that is kept.
    """

    probe: AccuracyEstimate | None
    tuned: AccuracyEstimate | None
    result: AccuracyEstimate | None


class AugmentationDocument(TypedDict):
    """How the images were changed at random, and what the probe said to that.

    Attributes:
        scale: The smallest and the largest share of an image's area that a crop shows.
        ratio: The largest change of the aspect ratio.
        flip: Whether half of the views are mirrored.
        upside_down: Whether half of the views are upside down.
        color: The largest change of brightness, contrast and saturation.
        probe_under: The accuracy of the probe under each change.
        exchanges: For "flip" and "upside_down" a class that could look like another one then.
        images: Number of images that were tested.
    """

    scale: tuple[float, float]
    ratio: float
    flip: bool
    upside_down: bool
    color: float
    probe_under: Mapping[str, float]
    exchanges: Mapping[str, Exchange]
    images: int


class FineTuneDocument(TrainingDocument):
    """The document of `headstart finetune --json`.

    Attributes:
        kept: Whether the fine-tuned network is part of the model.
        verdict: What came of the fine-tuning.
        depth: Number of fine-tuned stages; 0 if there was too little to train on.
        cut: Name of the last frozen stage; "" for the whole network, or for none.
        parameters: Number of trained parameters of the network.
        share: Position between the weights before (0) and after (1).
        result: The accuracy of the model.
        probe: That of the head on the frozen network.
        validation: Accuracies on the images that selected the model.
        test: Accuracies on the test images; null without a test part.
        keep: What `--keep` said.
        weight: Weight of the fine-tuned network in the average with the model before.
        members: The classifiers that the model averages; one for most models.
        augmentation: How the images were changed; null if nothing was fine-tuned.
        history: A row for each epoch.
        seconds: Duration of the whole command.
    """

    kept: bool
    verdict: Verdict
    depth: int
    cut: str
    parameters: int
    share: float
    result: AccuracyEstimate
    probe: AccuracyEstimate
    validation: ValidationDocument
    test: TestDocument | None
    keep: Keep
    weight: float
    members: Sequence[MemberDocument]
    augmentation: AugmentationDocument | None
    history: Sequence[Epoch]
    seconds: float
