"""From labelled images to a tested model."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from headstart.curation import Curated, curate
from headstart.datasets import ImageDataset
from headstart.errors import BackboneError, DataError
from headstart.features import Extractor, Features, Progress
from headstart.heads.families import FAMILIES
from headstart.heads.selection import Candidate, Selection, candidates, fold_count, select
from headstart.metrics import wilson
from headstart.model import Measured, Model, Origin, TrainingData, class_counts
from headstart.splits import fold_of, holdout
from headstart.types import Conflict, Estimate, Floats, HeadKind, Labels, Skipped, Split


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a head is trained.

    Attributes:
        head: its family.
        stages: where it grows, shallow to deep; empty to choose by cross-validation.
        balance: weigh classes equally, however many images each has.
        hold_out: share of the images kept aside for the test, in [0, 1); 0 to cross-validate.
            Data with a test or validation part of their own are tested on that.
        seed: of the folds and the held-out part.
    """

    head: HeadKind = HeadKind.LOGISTIC
    stages: tuple[str, ...] = ()
    balance: bool = False
    hold_out: float = 0.0
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
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
class Trained:
    """A model and how it came about.

    Attributes:
        model: the classifier.
        images: how many it was trained on.
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
    skipped: tuple[Skipped, ...]
    conflicts: tuple[Conflict, ...]
    tested: Tested | None
    seconds: float
    feature_seconds: float
    cached: int
    computed: int


def train(
    dataset: ImageDataset,
    extractor: Extractor,
    recipe: Recipe,
    *,
    on_images: Progress | None = None,
    on_candidates: Progress | None = None,
) -> Trained:
    """Train a head on a data set.

    Args:
        dataset: images with labels; its training part is trained on, and its test part, or else
            its validation part, tested on.
        extractor: the backbone.
        recipe: how.
        on_images: progress over the images.
        on_candidates: progress over the stages that are compared.

    Raises:
        DataError: fewer than two classes with a readable image are left.
        BackboneError: a stage that the backbone does not have.
    """
    started = time.perf_counter()
    choices = _choices(extractor, recipe)
    dataset = learnable(dataset)
    features = extractor.extract(dataset.paths, progress=on_images)
    dataset = dataset.subset(features.rows)
    cut = Cut.of(dataset, features, recipe)
    classes, labels = cut.classes, cut.labels
    X = {stage: values[cut.train] for stage, values in features.values.items()}
    selection = select(
        X,
        labels,
        cut.folds(features, recipe.seed),
        family=FAMILIES[recipe.head],
        choices=choices,
        classes=len(classes),
        row_weights=_row_weights(labels, len(classes), balance=recipe.balance),
        progress=on_candidates,
    )
    head = FAMILIES[recipe.head].fit(
        selection.candidate.gather(X),
        labels,
        _row_weights(labels, len(classes), balance=recipe.balance),
        selection.setting,
        classes=len(classes),
        blocks=[X[stage].shape[1] for stage in selection.candidate.stages],
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
            licence=dataset.licence,
            images=class_counts(labels, len(classes)),
            duplicates=cut.curated.duplicates,
            conflicts=len(cut.curated.conflicts),
            skipped=len(skipped),
            digests=np.frombuffer(bytes.fromhex("".join(cut.seen)), np.uint8).reshape(-1, 16),
        ),
        measured=_cross_validated(
            None if selection.probabilities is None else selection.probabilities.argmax(1) == labels
        ),
        by_stage={
            stage: _cross_validated(correct)
            for stage, correct in selection.correct_by_stage.items()
        },
    )
    model, tested = _tested(model, selection, cut, dataset, features)
    return Trained(
        model=model,
        images=len(labels),
        skipped=skipped,
        conflicts=cut.curated.conflicts,
        tested=tested,
        seconds=time.perf_counter() - started,
        feature_seconds=features.seconds,
        cached=features.cached,
        computed=features.computed,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Which rows train and which test, the same for everything that is measured on them.

    Attributes:
        curated: the rows that may be used.
        seen: digests of the training files and of all their copies.
        train: rows, sorted by digest.
        labels: (len(train),) indices into `classes`.
        test: rows held out, sorted by digest; empty where the accuracy is cross-validated.
        test_labels: (len(test),).
        classes: those with a training image.
        skipped: test images of no such class.
    """

    curated: Curated
    seen: list[str]
    train: Labels
    labels: Labels
    test: Labels
    test_labels: Labels
    classes: tuple[str, ...]
    skipped: tuple[Skipped, ...]

    @classmethod
    def of(cls, dataset: ImageDataset, features: Features, recipe: Recipe) -> Cut:
        """Divide a data set.

        Args:
            dataset: as `learnable` gives it, less the files without features.
            features: of its images.
            recipe: says what to hold out.

        Raises:
            DataError: fewer than two classes with a readable image are left.
        """
        held = np.array([split is not Split.TRAIN for split in dataset.splits], dtype=bool)
        identities = features.identities()
        curated = curate(
            features.digests,
            dataset.labels,
            dataset.paths,
            dataset.classes,
            identities=identities,
            last=held if dataset.splits else None,
        )
        rows = curated.rows
        if dataset.splits:
            aside = held[rows]
        else:
            aside = holdout(
                [features.digests[row] for row in rows],
                dataset.labels[rows],
                fraction=recipe.hold_out,
                seed=recipe.seed,
            )
        train, test = rows[~aside], rows[aside]
        learnt = {identities[row] for row in train}
        present = np.unique(dataset.labels[train])
        if len(present) < 2:
            raise DataError(_too_few(dataset, present, features, curated))
        known = np.isin(dataset.labels[test], present)
        return cls(
            curated=curated,
            seen=sorted(
                {d for d, name in zip(features.digests, identities, strict=True) if name in learnt}
            ),
            train=train,
            labels=np.searchsorted(present, dataset.labels[train]),
            test=test[known],
            test_labels=np.searchsorted(present, dataset.labels[test[known]]),
            classes=tuple(dataset.classes[index] for index in present),
            skipped=tuple(
                Skipped(
                    str(dataset.paths[row]),
                    f"no training image of its class ({dataset.classes[dataset.labels[row]]})",
                )
                for row in test[~known]
            ),
        )

    def folds(self, features: Features, seed: int) -> Labels | None:
        """(len(train),) folds of the training rows; they depend on the files' contents alone.

        None where nothing can be held out.
        """
        count = fold_count(self.labels, classes=len(self.classes))
        if not count:
            return None
        digests = [features.digests[row] for row in self.train]
        return fold_of(digests, self.labels, folds=count, seed=seed)


def learnable(dataset: ImageDataset) -> ImageDataset:
    """The parts that are trained and tested on, with at most two kinds of split.

    Raises:
        DataError: there are parts, and none is for training.
    """
    if not dataset.splits:
        return dataset
    if Split.TRAIN not in dataset.splits:
        raise DataError(
            f"{dataset.name} has no training part; put the images to learn from in a folder "
            "named 'train'"
        )
    if Split.TEST not in dataset.splits or Split.VALIDATION not in dataset.splits:
        return dataset
    # Cross-validation chooses; with a test part the validation part is free to be learnt from.
    splits = tuple(s if s is Split.TEST else Split.TRAIN for s in dataset.splits)
    return replace(dataset, splits=splits)


def _choices(extractor: Extractor, recipe: Recipe) -> tuple[Candidate, ...]:
    stages = {stage.name: stage.width for stage in extractor.backbone.stages}
    if not recipe.stages:
        return candidates(stages)
    names = list(stages)
    for stage in recipe.stages:
        if stage not in stages:
            raise BackboneError(
                f"{extractor.backbone.name} has no stage {stage!r}; its stages are "
                f"{', '.join(names)}"
            )
    ordered = tuple(sorted(set(recipe.stages), key=names.index))
    return (Candidate(ordered, names.index(ordered[-1])),)


def _row_weights(labels: Labels, classes: int, *, balance: bool) -> Floats:
    """(N,): 1, or what gives every class the same total."""
    if not balance:
        return np.ones(len(labels), np.float32)
    counts = np.bincount(labels, minlength=classes)
    return (len(labels) / (classes * counts[labels])).astype(np.float32)


def _cross_validated(correct: np.ndarray | None) -> Measured:
    if correct is None:
        return Measured(accuracy=None, interval=None, images=0, estimate=Estimate.UNKNOWN)
    return _measured(correct, Estimate.CROSS_VALIDATION)


def _measured(correct: np.ndarray, estimate: Estimate) -> Measured:
    count = int(correct.sum())
    return Measured(
        accuracy=count / len(correct),
        interval=wilson(count, len(correct)),
        images=len(correct),
        estimate=estimate,
    )


def _tested(
    model: Model, selection: Selection, cut: Cut, dataset: ImageDataset, features: Features
) -> tuple[Model, Tested | None]:
    """The model with its accuracy on the held-out part, where there is one."""
    if len(cut.test):
        values = {stage: features.values[stage][cut.test] for stage in model.origin.stages}
        tested = Tested(
            paths=tuple(dataset.paths[row] for row in cut.test),
            labels=cut.test_labels,
            probabilities=model.probabilities(values),
        )
        right = tested.probabilities.argmax(1) == cut.test_labels
        return replace(model, measured=_measured(right, Estimate.HELD_OUT)), tested
    if selection.probabilities is None:
        return model, None
    return model, Tested(
        paths=tuple(dataset.paths[row] for row in cut.train),
        labels=cut.labels,
        probabilities=selection.probabilities,
    )


def _origin(extractor: Extractor, features: Features, selection: Selection) -> Origin:
    return Origin(
        backbone=extractor.backbone.name,
        weights=extractor.backbone.weights.digest,
        source=extractor.backbone.weights.source,
        licence=extractor.backbone.weights.licence,
        stages=selection.candidate.stages,
        engine=str(features.plan.engine),
        precision=str(features.plan.precision),
    )


def _too_few(dataset: ImageDataset, present: Labels, features: Features, curated: Curated) -> str:
    names = [dataset.classes[index] for index in present]
    left = f"only the class {names[0]!r}" if names else "no class"
    files = len(features.skipped) + len(features)
    return (
        f"{dataset.name}: {left} has an image to learn from ({len(features.skipped)} of {files} "
        f"files could not be read; {len(curated.conflicts)} pictures stand in two classes at "
        "once); give readable images of at least two classes"
    )
