"""Put a model together from what fine-tuning found: its network, its members, its accuracy."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from headstart.backbones.backbone import Backbone
from headstart.evaluation.conformal import CalibrationSet
from headstart.features.extractor import Extractor
from headstart.features.views import View
from headstart.finetuning.checkpoint import Epoch
from headstart.finetuning.decision import Decision
from headstart.finetuning.preparation import TrainingSetup
from headstart.finetuning.validation import ValidationResult
from headstart.heads.blend import BlendedHead
from headstart.heads.calibration import LIMIT
from headstart.models.accuracies import held_out_accuracies, lowest_recalls, tested_predictions
from headstart.models.fit_result import FitResult, HeldOutPredictions
from headstart.models.prediction import predict
from headstart.models.train_test_split import SplitFeatures
from headstart.models.trained_model import AccuracyEstimate, FineTuning, Member, Model
from headstart.novelty.cross_fitting import Novelty, fit_novelty
from headstart.types import Doubles, EstimateMethod


def tuned_network(
    probe: Model,
    backbone: Backbone,
    setup: TrainingSetup,
    decision: Decision,
    history: Sequence[Epoch],
) -> tuple[Model, Backbone]:
    """Return the probe's model with the trained head and tail, and its backbone with the tail."""
    setup.network.load_state_dict(dict(decision.weights))
    original = backbone.tensors()
    tail = {
        name: array
        for name, array in setup.network.tensors().items()
        if name in original and not np.array_equal(array, original[name])
    }
    backbone = backbone.with_tensors({**original, **tail})
    tuning = FineTuning(
        depth=setup.cut.depth,
        cut=setup.cut.last_frozen,
        epochs=len(history),
        share=decision.interpolation,
        weights=backbone.weights.digest,
        probe=decision.probe.estimate,
        tuned=decision.tuned.estimate,
    )
    model = replace(
        probe,
        head=setup.network.linear_head(),
        temperature=decision.tuned.temperature,
        tail=tail,
        tuning=tuning,
        accuracy=tuning.tuned,
    )
    return model, backbone


def averaged_model(model: Model, tuned: Model, decision: Decision) -> Model:
    """Return the weighted average of a model's log-probabilities with those of a tuned network.

    The network becomes the last member; its view has the name of the first one, marked as tuned.
    The description of the first member stays as it is.

    Args:
        model: what fine-tuning started from, with one or several members.
        tuned: the fine-tuned network of its first view, with a head.
        decision: the weight of the network, and the result, whose temperature is used.
    """
    head = model.head
    if not isinstance(head, BlendedHead):
        head = BlendedHead.of([head], [model.temperature], [1.0])
        model = replace(model, temperature=1.0)
    # The logarithms of the whole, before they are normalized: each member's part in them.
    parts = [*(1 - decision.weight) / model.temperature * head.weights, decision.weight]
    weights = np.array(parts) / sum(parts)
    view = replace(View.parse(tuned.origin.name), tuned=True)
    last = Member(
        origin=replace(tuned.origin, view=str(view)),
        head=tuned.head.kind,
        weight=1.0,
        accuracy=decision.tuned.estimate,
    )
    members = [
        replace(one, weight=float(weight))
        for one, weight in zip((*model.all_members, last), weights, strict=True)
    ]
    return replace(
        tuned,
        head=BlendedHead.of(
            [*head.members, tuned.head], [*head.temperatures, tuned.temperature], weights.tolist()
        ),
        temperature=float(np.clip(decision.result.temperature / sum(parts), 1 / LIMIT, LIMIT)),
        setting=model.setting,
        origin=model.origin,
        members=tuple(members),
    )


def with_validation(
    model: Model,
    extractor: Extractor,
    probe: FitResult,
    images: SplitFeatures,
    validation: np.ndarray,
    result: ValidationResult,
) -> Model:
    """Add the accuracy, the novelty detector and the calibration images, by the validation images.

    Args:
        model: the tuned network, or an average with it.
        extractor: its views.
        probe: the model before.
        images: N training images, and those to test on.
        validation: (N,) bool, which of them are validation images.
        result: performance of `model` on these.
    """
    clusters = images.split.series.subset(np.flatnonzero(validation)).clusters
    if model.members:  # of which the first is the one before
        novelty, p_values = model.novelty, _held_out_novelty(probe, images)
    else:
        novelty = _fit_novelty(model, extractor, images, validation)
        p_values = novelty.held_out if novelty else None
    assert result.probabilities is not None  # or the network would not have been kept
    return replace(
        model,
        novelty=novelty,
        calibration=CalibrationSet.of(
            result.probabilities,
            images.split.labels[validation],
            series=clusters,
            novelty=p_values[validation] if p_values is not None else None,
        ),
        accuracy=AccuracyEstimate.of(result.correct, EstimateMethod.VALIDATION, clusters=clusters),
        accuracy_same_scenes=None,  # that of the model before says nothing about this one
        lowest_recalls=(),
    )


def _fit_novelty(
    model: Model, extractor: Extractor, images: SplitFeatures, validation: np.ndarray
) -> Novelty | None:
    """Fit a novelty detector to features of the tuned network, calibrated on validation images.

    The closing epochs have seen these images, too, at a low learning rate.
    """
    paths = [images.dataset.paths[row] for row in images.split.train]
    features = extractor.extract(paths, stages=model.origin.stages)
    return fit_novelty(
        [features.values[stage] for stage in model.origin.stages],
        images.split.labels[features.rows],
        np.where(validation[features.rows], 0, -1),
        classes=model.classes,
        others={},
    )


def _held_out_novelty(probe: FitResult, images: SplitFeatures) -> Doubles | None:
    """Return the p-values of the probe's novelty for all training images, NaN where unknown."""
    novelty = probe.model.novelty
    if novelty is None or novelty.held_out is None:
        return None
    found = np.full(len(images.split.train), np.nan)
    found[probe.sample] = novelty.held_out
    return found


def test_accuracy(
    model: Model, extractor: Extractor, images: SplitFeatures
) -> AccuracyEstimate | None:
    """Return the accuracy on all held-out images, or None if there are none."""
    held_out = with_test(model, extractor, images)[1]
    return None if held_out is None else held_out_accuracies(held_out)[1]


def with_test(
    model: Model, extractor: Extractor, images: SplitFeatures
) -> tuple[Model, HeldOutPredictions | None]:
    """Test a fine-tuned model on the held-out images, if there are any."""
    if not len(images.split.test):
        return model, None
    paths = tuple(images.dataset.paths[row] for row in images.split.test)
    found = predict(model, extractor, paths)
    split = images.split
    series, new_scene = split.test_series.subset(found.rows), split.new_scene[found.rows]
    held_out = HeldOutPredictions(
        paths=tuple(paths[row] for row in found.rows),
        labels=split.test_labels[found.rows],
        probabilities=found.probabilities,
        clusters=series.groups if series else None,
        new_scene=None if new_scene.all() else new_scene,
    )
    accuracy, everything = held_out_accuracies(held_out)
    if accuracy is None:  # too few test images of new scenes: the validation images have to do
        return replace(model, accuracy_same_scenes=everything), held_out
    same_scenes = None if held_out.new_scene is None else everything
    lowest = lowest_recalls(tested_predictions(held_out, None), model.classes)
    tested = replace(
        model, accuracy=accuracy, accuracy_same_scenes=same_scenes, lowest_recalls=lowest
    )
    return tested, held_out
