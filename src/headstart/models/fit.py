"""Train a classifier on labeled images: select stages, train the head, measure the accuracy."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from headstart.backbones.backbone import Backbone
from headstart.backbones.stages import check_stages
from headstart.datasets import ImageDataset
from headstart.datasets.splits import assign_folds, stratified_sample
from headstart.errors import UserError
from headstart.evaluation.conformal import CalibrationSet
from headstart.features.extractor import Extractor
from headstart.features.several_views import part_of
from headstart.features.views import View, qualified
from headstart.heads.blend import BlendedHead
from headstart.heads.calibration import probabilities
from headstart.heads.candidates import Candidate, candidates, combinations
from headstart.heads.families import head_family
from headstart.heads.head import Head
from headstart.heads.rows import Rows
from headstart.heads.selection import MIN_FOLDS, Selection, fold_count
from headstart.heads.selection_problem import SelectionProblem, clusters_of
from headstart.models.accuracies import (
    cross_validated_predictions,
    fit_accuracies,
    lowest_recalls,
    tested_predictions,
)
from headstart.models.assembly import assemble_model
from headstart.models.budget import Budget
from headstart.models.fit_result import FitResult, HeldOutPredictions
from headstart.models.fit_settings import FitSettings
from headstart.models.members import ChosenMembers, choose_members
from headstart.models.sample_weights import sample_weights
from headstart.models.selection_cache import select_cached
from headstart.models.train_test_split import SplitFeatures, TrainTestSplit
from headstart.models.trained_model import Model
from headstart.novelty.cross_fitting import Novelty, fit_novelty
from headstart.novelty.other_images import other_images
from headstart.system.machine import one_blas_thread
from headstart.system.text import join_names
from headstart.types import Floats, Labels, ProgressCallback, no_progress

_SAMPLE, _SAMPLE_PER_CLASS = 10_000, 200
"""Images, and images per class, that suffice to select stages: the 95% interval of an accuracy of
0.9 is then +/- 0.6 points. The head is always trained on all images."""
SECOND_HEADS = {"logistic": "discriminant"}
"""Family of a second head on each of several views, by that of the first; see
docs/decisions/0023-heads.md."""


def fit(
    dataset: ImageDataset,
    extractor: Extractor,
    settings: FitSettings,
    *,
    budget: Budget | None = None,
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
        budget: What the views of the model may cost together; None if it does not matter.
        on_images: Called with (done, total) images during feature extraction.
        on_candidates: Called with (done, total) candidates during the selection of stages.
        on_steps: Called with (done, maximum) optimization steps while the final head is trained.

    Raises:
        DataError: Fewer than two classes have a readable training image.
        BackboneError: The backbone lacks one of the named stages.
    """
    started = time.perf_counter()
    by_view = _candidates(extractor, settings)
    data = SplitFeatures.extract(dataset, extractor, settings, progress=on_images)
    with one_blas_thread():
        return _fit(data, extractor, settings, by_view, budget, started, on_candidates, on_steps)


def _fit(
    data: SplitFeatures,
    extractor: Extractor,
    settings: FitSettings,
    by_view: Mapping[View | None, Sequence[Candidate]],
    budget: Budget | None,
    started: float,
    on_candidates: ProgressCallback,
    on_steps: ProgressCallback,
) -> FitResult:
    """Select stages, train the head, and measure the accuracy; see `fit`."""
    keys = data.split.keys(data.features)
    sample = _selection_sample(keys, data.split, seed=settings.seed)
    chosen = _choose(data, keys, sample, settings, by_view, budget, extractor.cache, on_candidates)
    selection = chosen.whole
    head = _fit_head(data, chosen, settings, on_steps)
    validated = cross_validated_predictions(data, sample, selection.probabilities)
    held_out = _predict_test_part(data, selection, head) if len(data.split.test) else validated
    tested = tested_predictions(held_out, validated)
    accuracies = fit_accuracies(data, sample, chosen, settings, held_out, validated)
    model = assemble_model(data, extractor, settings, sample, chosen, head, accuracies)
    novelty = _fit_novelty(data, extractor, sample, chosen)
    return FitResult(
        model=replace(
            model,
            novelty=novelty,
            calibration=_calibration(data, sample, selection, novelty),
            lowest_recalls=lowest_recalls(tested, model.classes),
        ),
        images=len(data.split.train),
        compared_on=len(sample),
        skipped=data.skipped,
        conflicts=data.split.curated.conflicts,
        held_out=held_out,
        tested=tested,
        seconds=time.perf_counter() - started,
        feature_seconds=data.features.seconds,
        cached=data.features.cached,
        computed=data.features.computed,
        views=tuple(member.view for member in chosen.members),
        settings=tuple(member.selection.setting for member in chosen.members),
        sample=sample,
        cross_validated=selection.probabilities,
    )


def _choose(
    data: SplitFeatures,
    keys: Sequence[str],
    sample: Labels,
    settings: FitSettings,
    by_view: Mapping[View | None, Sequence[Candidate]],
    budget: Budget | None,
    cache: Path | None,
    progress: ProgressCallback,
) -> ChosenMembers:
    """Select the stages of each head on a sample of the images, and the members among the heads."""
    rows, labels = data.split.train[sample], data.split.labels[sample]
    sampled, classes = [keys[place] for place in sample], len(data.split.classes)
    weights = data.weights[sample] if len(data.weights) else ()
    folds = fold_count(data.split.labels, classes=classes, keys=keys)
    tried = [(view, settings, choices) for view, choices in by_view.items()]
    # Two folds are too few to calibrate another family: it would be far too sure.
    if len(by_view) > 1 and settings.head in SECOND_HEADS and folds >= MIN_FOLDS:
        second = replace(settings, head=SECOND_HEADS[settings.head])
        tried += [(view, second, combinations(choices)) for view, choices in by_view.items()]
    selections = []
    for number, (view, own, choices) in enumerate(tried):
        names = dict.fromkeys(stage for choice in choices for stage in choice.stages)
        selected = select_stages(
            {stage: data.features.values[stage][rows] for stage in names},
            labels,
            sampled,
            own,
            choices=choices,
            classes=classes,
            folds=folds,
            weights=weights,
            cache=cache,
            progress=part_of(progress, number, len(tried)),
        )
        selections.append((view, selected))
    row_weights = sample_weights(labels, classes, balance=settings.balance, given=weights)
    return choose_members(selections, labels, row_weights, clusters_of(sampled), budget)


def first_head(model: Model) -> str:
    """Return the family of heads that a model like this one is trained with.

    Of several members, the first may have the second head of its view.
    """
    families = {second: first for first, second in SECOND_HEADS.items()}
    kind = model.head.kind
    return families.get(kind, kind) if model.members else kind


def select_members(
    data: SplitFeatures,
    extractor: Extractor,
    settings: FitSettings,
    *,
    budget: Budget | None = None,
    on_candidates: ProgressCallback = no_progress,
) -> tuple[ChosenMembers, Labels]:
    """Choose the members that `fit` would choose, and the images that it would choose them on.

    The images are positions in `data.split.train`.
    """
    keys = data.split.keys(data.features)
    sample = _selection_sample(keys, data.split, seed=settings.seed)
    by_view = _candidates(extractor, settings)
    with one_blas_thread():
        chosen = _choose(
            data, keys, sample, settings, by_view, budget, extractor.cache, on_candidates
        )
    return chosen, sample


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
    return replace(selection, fold_by_image=problem.folds, head=settings.head)


def _candidates(
    extractor: Extractor, settings: FitSettings
) -> dict[View | None, tuple[Candidate, ...]]:
    """Return the combinations of stages of each view: only one if the settings name it."""
    if settings.stages and extractor.others:
        raise UserError(
            f"the stages {join_names(settings.stages)} are of one view; remove them to choose the "
            "stages of each view, or train with a single view"
        )
    if settings.stages:
        names = list(extractor.widths())
        check_stages(extractor.backbone.name, names, settings.stages)
        ordered = tuple(sorted(set(settings.stages), key=names.index))
        return {None: (Candidate(ordered, names.index(ordered[-1])),)}
    found: dict[View | None, tuple[Candidate, ...]] = {None: _of_view(None, extractor.backbone)}
    return found | {view: _of_view(view, one.backbone) for view, one in extractor.others.items()}


def _of_view(view: View | None, backbone: Backbone) -> tuple[Candidate, ...]:
    """Return combinations of averages, and combinations of maxima if the view has any."""
    found: list[Candidate] = []
    for stages in (backbone.stages, backbone.outputs[len(backbone.stages) :]):
        names = [one.name if view is None else qualified(view, one.name) for one in stages]
        widths = [one.width for one in stages]
        found += candidates(dict(zip(names, widths, strict=True))) if names else ()
    return tuple(found)


def _fit_head(
    data: SplitFeatures, chosen: ChosenMembers, settings: FitSettings, on_steps: ProgressCallback
) -> Head:
    """Train the head of each member on all training images."""
    classes, labels = len(data.split.classes), data.split.labels
    weights = sample_weights(labels, classes, balance=settings.balance, given=data.weights)
    heads = [
        head_family(member.selection.head).fit_rows(
            _selected_features(data, member.selection, data.split.train),
            labels,
            weights,
            member.selection.setting,
            classes=classes,
            progress=part_of(on_steps, number, len(chosen.members)),
        )
        for number, member in enumerate(chosen.members)
    ]
    if len(heads) == 1:
        return heads[0]
    return BlendedHead.of(
        heads,
        [member.selection.temperature for member in chosen.members],
        [member.weight for member in chosen.members],
    )


def _selection_sample(keys: Sequence[str], split: TrainTestSplit, *, seed: int) -> Labels:
    """Return positions in `split.train` of the images that stages are selected on."""
    size = max(_SAMPLE, _SAMPLE_PER_CLASS * len(split.classes))
    if len(keys) <= size:
        return np.arange(len(keys))
    return np.flatnonzero(stratified_sample(keys, split.labels, size=size, seed=seed))


def _selected_features(data: SplitFeatures, selection: Selection, rows: Labels) -> Rows:
    stages = selection.candidate.stages
    return Rows(tuple(data.features.values[stage] for stage in stages), rows)


def _predict_test_part(data: SplitFeatures, selection: Selection, head: Head) -> HeldOutPredictions:
    split, rows = data.split, data.split.test
    logits = head.logits(_selected_features(data, selection, rows).whole())
    return HeldOutPredictions(
        paths=tuple(data.dataset.paths[row] for row in rows),
        labels=split.test_labels,
        probabilities=probabilities(logits, selection.temperature),
        clusters=split.test_series.groups if split.test_series else None,
        new_scene=None if split.new_scene.all() else split.new_scene,
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
    data: SplitFeatures, extractor: Extractor, sample: Labels, chosen: ChosenMembers
) -> Novelty | None:
    """Fit a novelty detector to the features of the first member, calibrated on its folds."""
    first, rows = chosen.members[0], data.split.train[sample]
    stages = first.selection.candidate.stages
    published = first.view is None and extractor.view is None
    return fit_novelty(
        [data.features.values[stage][rows] for stage in stages],
        data.split.labels[sample],
        first.selection.fold_by_image,
        classes=data.split.classes,
        others=other_images(extractor.backbone.weights.digest, stages) if published else {},
    )
