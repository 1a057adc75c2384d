"""Train a classifier on labeled images: select stages, train the head, measure the accuracy."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from headstart.backbones.backbone import Backbone
from headstart.backbones.stages import check_stages
from headstart.datasets import ImageDataset
from headstart.datasets.review import was_dropped
from headstart.datasets.splits import assign_folds, stratified_sample
from headstart.evaluation.conformal import CalibrationSet
from headstart.features.extractor import Extractor
from headstart.heads.calibration import probabilities
from headstart.heads.candidates import Candidate, candidates
from headstart.heads.families import head_family
from headstart.heads.head import Head
from headstart.heads.rows import Rows
from headstart.heads.selection import Selection, fold_count
from headstart.heads.selection_problem import SelectionProblem, clusters_of
from headstart.models.accuracies import fit_accuracies
from headstart.models.fit_result import FitResult, HeldOutPredictions
from headstart.models.fit_settings import FitSettings
from headstart.models.sample_weights import sample_weights
from headstart.models.selection_cache import select_cached
from headstart.models.train_test_split import SplitFeatures, TrainTestSplit
from headstart.models.trained_model import AccuracyEstimate, BackboneOrigin, Model, TrainingData
from headstart.novelty.cross_fitting import Novelty, fit_novelty
from headstart.novelty.other_images import other_images
from headstart.system.machine import one_blas_thread
from headstart.types import EstimateMethod, Floats, Labels, ProgressCallback, no_progress

_SAMPLE, _SAMPLE_PER_CLASS = 10_000, 200
"""Images, and images per class, that suffice to select stages: the 95% interval of an accuracy of
0.9 is then +/- 0.6 points. The head is always trained on all images."""


def fit(
    dataset: ImageDataset,
    extractor: Extractor,
    settings: FitSettings,
    *,
    on_images: ProgressCallback = no_progress,
    on_candidates: ProgressCallback = no_progress,
    on_steps: ProgressCallback = no_progress,
) -> FitResult:
    """Train a head on the features of a data set.

    Args:
        dataset: Images with labels. The head is trained on the training part, and tested on the
            test part or, without one, on the validation part.
        extractor: Computes the features; its backbone stays frozen.
        settings: How the head is trained.
        on_images: Called with (done, total) images during feature extraction.
        on_candidates: Called with (done, total) candidates during the selection of stages.
        on_steps: Called with (done, maximum) optimization steps while the final head is trained.

    Raises:
        DataError: Fewer than two classes have a readable training image.
        BackboneError: The backbone lacks one of the named stages.
    """
    started = time.perf_counter()
    choices = _candidates(extractor, settings)
    data = SplitFeatures.extract(dataset, extractor, settings, progress=on_images)
    with one_blas_thread():
        return _fit(data, extractor, settings, choices, started, on_candidates, on_steps)


def _fit(
    data: SplitFeatures,
    extractor: Extractor,
    settings: FitSettings,
    choices: Sequence[Candidate],
    started: float,
    on_candidates: ProgressCallback,
    on_steps: ProgressCallback,
) -> FitResult:
    """Select stages, train the head, and measure the accuracy; see `fit`."""
    keys = data.split.keys(data.features)
    sample = _selection_sample(keys, data.split, seed=settings.seed)
    rows, classes = data.split.train[sample], len(data.split.classes)
    selection = select_stages(
        {stage: values[rows] for stage, values in data.features.values.items()},
        data.split.labels[sample],
        [keys[place] for place in sample],
        settings,
        choices=choices,
        classes=classes,
        folds=fold_count(data.split.labels, classes=classes, keys=keys),
        weights=data.weights[sample] if len(data.weights) else (),
        cache=extractor.cache,
        progress=on_candidates,
    )
    head = head_family(settings.head).fit_rows(
        _selected_features(data, selection, data.split.train),
        data.split.labels,
        sample_weights(data.split.labels, classes, balance=settings.balance, given=data.weights),
        selection.setting,
        classes=classes,
        progress=on_steps,
    )
    held_out = _predict_held_out(data, sample, selection, head)
    accuracies = fit_accuracies(data, sample, selection, settings, held_out)
    model = _model(data, extractor.backbone, settings, sample, selection, head, accuracies)
    novelty = _fit_novelty(data, extractor.backbone, sample, selection)
    return FitResult(
        model=replace(
            model,
            novelty=novelty,
            calibration=_calibration(data, sample, selection, novelty),
        ),
        images=len(data.split.train),
        compared_on=len(sample),
        skipped=data.skipped,
        conflicts=data.split.curated.conflicts,
        held_out=held_out,
        seconds=time.perf_counter() - started,
        feature_seconds=data.features.seconds,
        cached=data.features.cached,
        computed=data.features.computed,
    )


def select_stages(
    X: Mapping[str, Floats],
    labels: Labels,
    keys: Sequence[str],
    settings: FitSettings,
    *,
    choices: Sequence[Candidate],
    classes: int,
    folds: int | None = None,
    weights: Sequence[float] | np.ndarray = (),
    cache: Path | None = None,
    progress: ProgressCallback = no_progress,
) -> Selection:
    """Select the stages that a head uses by cross-validation, and estimate its accuracy.

    The N keys decide the folds, with the seed: digests of the image files, of which the images of a
    series share one. `folds` is the number of folds, by default as many as these images can fill.
    `weights` are (N,) weights of the images in training, empty if all are equal.
    `cache` is the cache folder, which remembers
    selections; None stores nothing. For the other arguments see `headstart.heads.selection.select`.
    """
    folds = fold_count(labels, classes=classes, keys=keys) if folds is None else folds
    problem = SelectionProblem(
        values=X,
        y=labels,
        family=head_family(settings.head),
        classes=classes,
        row_weights=sample_weights(labels, classes, balance=settings.balance, given=weights),
        folds=assign_folds(keys, labels, folds=folds, seed=settings.seed) if folds else None,
        clusters=clusters_of(keys),
    )
    selection = select_cached(cache, problem, choices, head=settings.head, progress=progress)
    return replace(selection, fold_by_image=problem.folds)


def _candidates(extractor: Extractor, settings: FitSettings) -> tuple[Candidate, ...]:
    """Return the combinations of stages to select from: only one if the settings name it."""
    if not settings.stages:
        return candidates({stage.name: stage.width for stage in extractor.backbone.stages})
    names = list(extractor.widths())
    check_stages(extractor.backbone.name, names, settings.stages)
    ordered = tuple(sorted(set(settings.stages), key=names.index))
    return (Candidate(ordered, names.index(ordered[-1])),)


def _selection_sample(keys: Sequence[str], split: TrainTestSplit, *, seed: int) -> Labels:
    """Return positions in `split.train` of the images that stages are selected on."""
    size = max(_SAMPLE, _SAMPLE_PER_CLASS * len(split.classes))
    if len(keys) <= size:
        return np.arange(len(keys))
    return np.flatnonzero(stratified_sample(keys, split.labels, size=size, seed=seed))


def _selected_features(data: SplitFeatures, selection: Selection, rows: Labels) -> Rows:
    stages = selection.candidate.stages
    return Rows(tuple(data.features.values[stage] for stage in stages), rows)


def _predict_held_out(
    data: SplitFeatures, sample: Labels, selection: Selection, head: Head
) -> HeldOutPredictions | None:
    """Predict the test part; without one, take the predictions of the cross-validation, if any."""
    split, predicted = data.split, selection.probabilities
    rows, labels, series = split.train[sample], split.labels[sample], split.series.subset(sample)
    if len(split.test):
        rows, labels, series = split.test, split.test_labels, split.test_series
        logits = head.logits(_selected_features(data, selection, rows).whole())
        predicted = probabilities(logits, selection.temperature)
    if predicted is None:
        return None
    return HeldOutPredictions(
        paths=tuple(data.dataset.paths[row] for row in rows),
        labels=labels,
        probabilities=predicted,
        clusters=series.groups if series else None,
        new_scene=split.new_scene if len(split.test) and not split.new_scene.all() else None,
    )


def _calibration(
    data: SplitFeatures, sample: Labels, selection: Selection, novelty: Novelty | None
) -> CalibrationSet | None:
    """Return what new predictions are compared with: the cross-validated ones, if any."""
    if selection.probabilities is None:
        return None
    series = data.split.series.subset(sample)
    return CalibrationSet.of(
        selection.probabilities,
        data.split.labels[sample],
        series=series.groups if series else None,
        novelty=novelty.held_out if novelty else None,
    )


def _fit_novelty(
    data: SplitFeatures, backbone: Backbone, sample: Labels, selection: Selection
) -> Novelty | None:
    """Fit a novelty detector to the features of the head, calibrated on the selection's folds."""
    stages, rows = selection.candidate.stages, data.split.train[sample]
    return fit_novelty(
        [data.features.values[stage][rows] for stage in stages],
        data.split.labels[sample],
        selection.fold_by_image,
        classes=data.split.classes,
        others=other_images(backbone.weights.digest, stages),
    )


def _model(
    data: SplitFeatures,
    backbone: Backbone,
    settings: FitSettings,
    sample: Labels,
    selection: Selection,
    head: Head,
    accuracies: tuple[AccuracyEstimate, AccuracyEstimate | None],
) -> Model:
    """Assemble a model with its accuracies on new scenes and on the same scenes."""
    split, series = data.split, data.split.series.subset(sample)
    train_paths = [data.dataset.paths[row] for row in split.train]
    return Model(
        classes=split.classes,
        head=head,
        temperature=selection.temperature,
        setting=selection.setting,
        balanced=settings.balance,
        seed=settings.seed,
        origin=BackboneOrigin(
            backbone=backbone.name,
            weights=backbone.weights.digest,
            source=backbone.weights.source,
            license=backbone.weights.license,
            stages=selection.candidate.stages,
            engine=str(data.features.plan.engine),
            precision=str(data.features.plan.precision),
        ),
        data=_training_data(data),
        accuracy=accuracies[0],
        series=split.series.summary(train_paths),
        accuracy_same_scenes=accuracies[1],
        accuracy_by_stage={
            stage: AccuracyEstimate.of(
                correct,
                EstimateMethod.CROSS_VALIDATION,
                clusters=series.groups if series else None,
            )
            for stage, correct in selection.correct_by_stage.items()
        },
    )


def _training_data(data: SplitFeatures) -> TrainingData:
    split = data.split
    digests = np.frombuffer(bytes.fromhex("".join(split.train_digests)), np.uint8)
    return TrainingData(
        name=data.dataset.name,
        license=data.dataset.license,
        images=tuple(np.bincount(split.labels, minlength=len(split.classes)).tolist()),
        duplicates=split.curated.duplicates,
        conflicts=len(split.curated.conflicts),
        skipped=len(data.skipped),
        dropped=sum(was_dropped(one) for one in data.skipped),
        relabeled=data.dataset.relabeled,
        digests=digests.reshape(-1, 16),
    )
