"""From labeled images to a tested model."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from headstart.backbones.backbone import LOGITS
from headstart.datasets import ImageDataset
from headstart.datasets.splits import draw, fold_of
from headstart.errors import BackboneError
from headstart.evaluation.metrics import wilson
from headstart.features.extractor import Extractor, Features
from headstart.heads.candidates import Candidate, candidates
from headstart.heads.families import head_family
from headstart.heads.rows import Rows
from headstart.heads.selection import Selection, fold_count
from headstart.models.selection_cache import chosen
from headstart.models.train_test_split import TrainTestSplit, usable
from headstart.models.trained_model import (
    AccuracyEstimate,
    BackboneOrigin,
    Model,
    TrainingData,
    class_counts,
)
from headstart.types import (
    Conflict,
    EstimateMethod,
    Floats,
    Labels,
    ProgressCallback,
    Skipped,
)

_SAMPLE, _SAMPLE_PER_CLASS = 10_000, 200
"""Images, and images a class, that are enough to choose by: the interval of an accuracy of 0.9 is
then 0.6 points to either side. The head is trained on all in any case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FitSettings:
    """How a head is trained.

    Attributes:
        head: name of its family in `headstart.heads.families.FAMILIES`.
        stages: where it grows, shallow to deep; empty to choose by cross-validation. `LOGITS` are
            the network's own outputs, as if they were a last stage.
        balance: weigh classes equally, however many images each has.
        hold_out: share of the images kept aside for the test, in [0, 1); 0 to cross-validate.
            Data with a test or validation part of their own are tested on that.
        seed: of the folds and the held-out part.
    """

    head: str = "logistic"
    stages: tuple[str, ...] = ()
    balance: bool = False
    hold_out: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        head_family(self.head)  # an unknown name is an error before any work is done


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOutPredictions:
    """Predictions for images that the model was not trained on.

    Attributes:
        paths: N files.
        labels: (N,) what they are.
        probabilities: (N, K).
    """

    paths: tuple[Path, ...]
    labels: Labels
    probabilities: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class FitResult:
    """A model and how it came about.

    Attributes:
        model: the classifier.
        images: how many it was trained on.
        compared_on: how many of them chose where it grows; all, but of large sets a sample.
        skipped: files that could not be used, with reasons.
        conflicts: identical files with different labels; none was used.
        tested: the predictions behind the accuracy; None where it is unknown.
        seconds: of the whole training.
        feature_seconds: of the pass over the images.
        cached: images, copies included, whose features were there already.
        computed: images that were run through the network.
    """

    model: Model
    images: int
    compared_on: int
    skipped: tuple[Skipped, ...]
    conflicts: tuple[Conflict, ...]
    tested: HeldOutPredictions | None
    seconds: float
    feature_seconds: float
    cached: int
    computed: int


def train(
    dataset: ImageDataset,
    extractor: Extractor,
    recipe: FitSettings,
    *,
    on_images: ProgressCallback | None = None,
    on_candidates: ProgressCallback | None = None,
    on_steps: ProgressCallback | None = None,
) -> FitResult:
    """Train a head on a data set.

    Args:
        dataset: images with labels; its training part is trained on, and its test part, or else
            its validation part, tested on.
        extractor: the backbone.
        recipe: how.
        on_images: progress over the images.
        on_candidates: progress over the stages that are compared.
        on_steps: progress of the head that is kept, where a large set makes it long; of the most
            steps there can be.

    Raises:
        DataError: fewer than two classes with a readable image are left.
        BackboneError: a stage that the backbone does not have.
    """
    started = time.perf_counter()
    choices = _choices(extractor, recipe)
    dataset = usable(dataset)
    wanted = [stage.name for stage in extractor.backbone.stages]
    if LOGITS in recipe.stages:
        wanted.append(LOGITS)
    features = extractor.extract(dataset.paths, stages=wanted, progress=on_images)
    dataset = dataset.subset(features.rows)
    cut = TrainTestSplit.of(dataset, features, hold_out=recipe.hold_out, seed=recipe.seed)
    classes, labels = cut.classes, cut.labels
    digests = [features.digests[row] for row in cut.train]
    places = _sample(digests, labels, classes=len(classes), seed=recipe.seed)
    sample = cut.train[places]
    selection = choose_stages(
        {stage: values[sample] for stage, values in features.values.items()},
        labels[places],
        [digests[place] for place in places],
        recipe,
        choices=choices,
        classes=len(classes),
        folds=fold_count(labels, classes=len(classes)),
        cache=extractor.cache,
        progress=on_candidates,
    )
    head = head_family(recipe.head).fit_rows(
        Rows(tuple(features.values[stage] for stage in selection.candidate.stages), cut.train),
        labels,
        row_weights(labels, len(classes), balance=recipe.balance),
        selection.setting,
        classes=len(classes),
        progress=on_steps,
    )
    skipped = (*dataset.skipped, *features.skipped, *cut.skipped)
    model = Model(
        classes=classes,
        head=head,
        temperature=selection.temperature,
        setting=selection.setting,
        balanced=recipe.balance,
        seed=recipe.seed,
        origin=_origin(extractor, features, selection),
        data=TrainingData(
            name=dataset.name,
            license=dataset.license,
            images=class_counts(labels, len(classes)),
            duplicates=cut.curated.duplicates,
            conflicts=len(cut.curated.conflicts),
            skipped=len(skipped),
            digests=np.frombuffer(bytes.fromhex("".join(cut.seen)), np.uint8).reshape(-1, 16),
        ),
        measured=_cross_validated(
            None
            if selection.probabilities is None
            else selection.probabilities.argmax(1) == labels[places]
        ),
        by_stage={
            stage: _cross_validated(correct)
            for stage, correct in selection.correct_by_stage.items()
        },
    )
    model, tested = _tested(model, selection, places, cut, dataset, features)
    return FitResult(
        model=model,
        images=len(labels),
        compared_on=len(places),
        skipped=skipped,
        conflicts=cut.curated.conflicts,
        tested=tested,
        seconds=time.perf_counter() - started,
        feature_seconds=features.seconds,
        cached=features.cached,
        computed=features.computed,
    )


def choose_stages(
    X: Mapping[str, Floats],
    labels: Labels,
    digests: Sequence[str],
    recipe: FitSettings,
    *,
    choices: Sequence[Candidate],
    classes: int,
    folds: int | None = None,
    cache: Path | None = None,
    progress: ProgressCallback | None = None,
) -> Selection:
    """Where a head grows best, and how good it is there, on folds that the digests decide.

    Args:
        X: features of each stage, (N, width).
        labels: (N,).
        digests: N digests of the files.
        recipe: how.
        choices: see `headstart.heads.selection.select`.
        classes: how many.
        folds: how many; as many as these images can fill by default.
        cache: folder that remembers choices; None keeps nothing.
        progress: called with (done, total) choices.
    """
    folds = fold_count(labels, classes=classes) if folds is None else folds
    return chosen(
        cache,
        X,
        labels,
        fold_of(digests, labels, folds=folds, seed=recipe.seed) if folds else None,
        head=recipe.head,
        choices=choices,
        classes=classes,
        row_weights=row_weights(labels, classes, balance=recipe.balance),
        progress=progress,
    )


def _choices(extractor: Extractor, recipe: FitSettings) -> tuple[Candidate, ...]:
    stages = {stage.name: stage.width for stage in extractor.backbone.stages}
    if not recipe.stages:
        return candidates(stages)
    stages = extractor.widths()
    names = list(stages)
    for stage in recipe.stages:
        if stage not in stages:
            raise BackboneError(
                f"{extractor.backbone.name} has no stage {stage!r}; its stages are "
                f"{', '.join(names)}"
            )
    ordered = tuple(sorted(set(recipe.stages), key=names.index))
    return (Candidate(ordered, names.index(ordered[-1])),)


def row_weights(labels: Labels, classes: int, *, balance: bool) -> Floats:
    """What each image counts for, (N,): 1, or what gives every class the same total."""
    if not balance:
        return np.ones(len(labels), np.float32)
    counts = np.bincount(labels, minlength=classes)
    return (len(labels) / (classes * counts[labels])).astype(np.float32)


def _sample(digests: Sequence[str], labels: Labels, *, classes: int, seed: int) -> Labels:
    """Places of the images that stages and settings are compared on."""
    size = max(_SAMPLE, _SAMPLE_PER_CLASS * classes)
    if len(labels) <= size:
        return np.arange(len(labels))
    return np.flatnonzero(draw(digests, labels, size=size, seed=seed))


def _cross_validated(correct: np.ndarray | None) -> AccuracyEstimate:
    if correct is None:
        return AccuracyEstimate(
            accuracy=None, interval=None, images=0, estimate=EstimateMethod.UNKNOWN
        )
    return measured(correct, EstimateMethod.CROSS_VALIDATION)


def measured(correct: np.ndarray, estimate: EstimateMethod) -> AccuracyEstimate:
    """An accuracy with its interval from whether each image was right, (N,) bool."""
    count = int(correct.sum())
    return AccuracyEstimate(
        accuracy=count / len(correct),
        interval=wilson(count, len(correct)),
        images=len(correct),
        estimate=estimate,
    )


def _tested(
    model: Model,
    selection: Selection,
    places: Labels,
    cut: TrainTestSplit,
    dataset: ImageDataset,
    features: Features,
) -> tuple[Model, HeldOutPredictions | None]:
    """The model with its accuracy on the held-out part, where there is one."""
    if len(cut.test):
        values = {stage: features.values[stage][cut.test] for stage in model.origin.stages}
        tested = HeldOutPredictions(
            paths=tuple(dataset.paths[row] for row in cut.test),
            labels=cut.test_labels,
            probabilities=model.probabilities(values),
        )
        right = tested.probabilities.argmax(1) == cut.test_labels
        return replace(model, measured=measured(right, EstimateMethod.HELD_OUT)), tested
    if selection.probabilities is None:
        return model, None
    return model, HeldOutPredictions(
        paths=tuple(dataset.paths[row] for row in cut.train[places]),
        labels=cut.labels[places],
        probabilities=selection.probabilities,
    )


def _origin(extractor: Extractor, features: Features, selection: Selection) -> BackboneOrigin:
    return BackboneOrigin(
        backbone=extractor.backbone.name,
        weights=extractor.backbone.weights.digest,
        source=extractor.backbone.weights.source,
        license=extractor.backbone.weights.license,
        stages=selection.candidate.stages,
        engine=str(features.plan.engine),
        precision=str(features.plan.precision),
    )
