"""The accuracy of a model on images of new scenes, and on more images of the same scenes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from headstart.datasets.splits import assign_folds
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
from headstart.types import EstimateMethod, Labels

_MIN_NEW = 20
"""With fewer test images of new scenes, their accuracy says nothing."""


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


def fit_accuracies(
    data: SplitFeatures,
    sample: Labels,
    chosen: ChosenMembers,
    settings: FitSettings,
    held_out: HeldOutPredictions | None,
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
    """
    series = data.split.series.subset(sample)
    selection = chosen.whole
    same_scenes = _same_scenes(data, sample, chosen, settings) if series else None
    validated = AccuracyEstimate.unknown()
    if selection.probabilities is not None:
        validated = AccuracyEstimate.of(
            selection.probabilities.argmax(1) == data.split.labels[sample],
            EstimateMethod.CROSS_VALIDATION,
            clusters=series.groups if series else None,
        )
    if held_out is None or not len(data.split.test):
        return validated, same_scenes
    tested, everything = held_out_accuracies(held_out)
    if tested is None:
        return validated, everything
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
