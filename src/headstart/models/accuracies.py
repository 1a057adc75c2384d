"""The accuracy of a model on images of new scenes, and on more images of the same scenes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from headstart.datasets.splits import assign_folds
from headstart.evaluation.breakdown import ClassRecall
from headstart.heads.calibration import log_softmax
from headstart.heads.families import head_family
from headstart.heads.selection import fold_count
from headstart.heads.selection_problem import SelectionProblem
from headstart.models.fit_result import HeldOutPredictions
from headstart.models.fit_settings import FitSettings
from headstart.models.members import ChosenMembers
from headstart.models.sample_weights import sample_weights
from headstart.models.train_test_split import SplitFeatures
from headstart.models.trained_model import AccuracyEstimate
from headstart.types import EstimateMethod, Floats, Labels

_MIN_NEW = 20
"""With fewer test images of new scenes, their accuracy says nothing."""
_LOWEST = 3
"""Classes that a model card names as those that are recognized least often."""


def held_out_accuracies(
    held_out: HeldOutPredictions,
) -> tuple[AccuracyEstimate | None, AccuracyEstimate]:
    """Return the accuracy on test images of new scenes, and on all test images.

    The first is None if fewer than 20 of them show a scene that is not in the training images.
    """
    method, correct = EstimateMethod.HELD_OUT, held_out.correct
    everything = AccuracyEstimate.of(correct, method, clusters=held_out.clusters)
    if held_out.new_scene is None or held_out.new_scene.all():
        return everything, everything
    new = np.flatnonzero(held_out.new_scene)
    if len(new) < _MIN_NEW:
        return None, everything
    clusters = None if held_out.clusters is None else held_out.clusters[new]
    return AccuracyEstimate.of(correct[new], method, clusters=clusters), everything


def cross_validated_predictions(
    data: SplitFeatures, sample: Labels, probabilities: Floats | None
) -> HeldOutPredictions | None:
    """Return the predictions of the cross-validation, (S, K) for the `sample`; None without any."""
    if probabilities is None:
        return None
    rows, series = data.split.train[sample], data.split.series.subset(sample)
    return HeldOutPredictions(
        paths=tuple(data.dataset.paths[row] for row in rows),
        labels=data.split.labels[sample],
        probabilities=probabilities,
        clusters=series.groups if series else None,
    )


def tested_predictions(
    held_out: HeldOutPredictions | None, validated: HeldOutPredictions | None
) -> HeldOutPredictions | None:
    """Return the predictions that the accuracy on new scenes is measured on.

    Args:
        held_out: Those for the test part or, without one, of the cross-validation.
        validated: Those of the cross-validation, which count if too few test images are of new
            scenes.
    """
    if held_out is None or held_out.new_scene is None:
        return held_out
    new = np.flatnonzero(held_out.new_scene)
    return validated if len(new) < _MIN_NEW else held_out.subset(new)


def lowest_recalls(
    tested: HeldOutPredictions | None, classes: Sequence[str]
) -> tuple[ClassRecall, ...]:
    """Return the lowest recalls, for the model card, of predictions that the accuracy is of."""
    return () if tested is None else tested.recalls(classes)[:_LOWEST]


def fit_accuracies(
    data: SplitFeatures,
    sample: Labels,
    chosen: ChosenMembers,
    settings: FitSettings,
    held_out: HeldOutPredictions | None,
    validated: HeldOutPredictions | None,
) -> tuple[AccuracyEstimate, AccuracyEstimate | None]:
    """Return the accuracy on images of new scenes, and on more images of the same scenes.

    Without a test part, or with too few test images of new scenes, the first is cross-validated.
    The second is None without series.

    Args:
        data: The images, divided into training and test.
        sample: Positions in `data.split.train` of the images that stages were selected on.
        chosen: The members of the model, selected on these images.
        settings: How heads are trained.
        held_out: The predictions of the test part or of the cross-validation, if any.
        validated: The predictions of the cross-validation, if any.
    """
    series = data.split.series.subset(sample)
    same_scenes = _same_scenes(data, sample, chosen, settings) if series else None
    estimated = AccuracyEstimate.unknown()
    if validated is not None:
        method, clusters = EstimateMethod.CROSS_VALIDATION, validated.clusters
        estimated = AccuracyEstimate.of(validated.correct, method, clusters=clusters)
    if held_out is None or not len(data.split.test):
        return estimated, same_scenes
    tested, everything = held_out_accuracies(held_out)
    if tested is None:
        return estimated, everything
    return tested, same_scenes if data.split.new_scene.all() else everything


def _same_scenes(
    data: SplitFeatures, sample: Labels, chosen: ChosenMembers, settings: FitSettings
) -> AccuracyEstimate | None:
    """Cross-validate the chosen heads with series divided among folds, as if they did not matter.

    None if no class has two images.
    """
    split = data.split
    labels, classes = split.labels[sample], len(split.classes)
    folds = fold_count(labels, classes=classes)
    if not folds:
        return None
    rows = split.train[sample]
    digests = [data.features.digests[row] for row in rows]
    problem = SelectionProblem(
        values={
            stage: data.features.values[stage][rows] for stage in chosen.whole.candidate.stages
        },
        y=labels,
        family=head_family(settings.head),
        classes=classes,
        row_weights=sample_weights(
            labels,
            classes,
            balance=settings.balance,
            given=data.weights[sample] if len(data.weights) else (),
        ),
        folds=assign_folds(digests, labels, folds=folds, seed=settings.seed),
    )
    found = np.zeros((len(labels), classes))
    for member in chosen.members:
        selection = member.selection
        own = replace(problem, family=head_family(selection.head))
        setting = np.array([own.family.settings.index(selection.setting)])
        logits = own.out_of_fold(selection.candidate, setting)[0].T.astype(np.float64)
        found += member.weight * log_softmax(logits / selection.temperature, axis=1)
    return AccuracyEstimate.of(found.argmax(1) == labels, EstimateMethod.CROSS_VALIDATION)
