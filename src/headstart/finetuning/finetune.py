"""Linear probing, then fine-tuning (Kumar et al. 2022): train part of the network further.

The network is cut into a frozen trunk and a tail that is trained. The trunk runs once over several
views of each image, on the engine that also computes features; the tail learns from its
activations. In the end tail and head become one network again, which every other command can run.

Validation images, which are not trained on, decide when to stop, how far to move from the probe's
weights towards the fine-tuned ones, and whether to keep the result at all.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from headstart.errors import MissingExtraError

if find_spec("torch") is None:  # the imports below need it
    raise MissingExtraError("fine-tuning", extra="torch")

from headstart.backbones.backbone import Backbone
from headstart.datasets import ImageDataset
from headstart.errors import UserError
from headstart.evaluation.conformal import CalibrationSet
from headstart.features.extractor import Extractor
from headstart.features.view_activations import KIND
from headstart.finetuning.checkpoint import Epoch, EpochCallback, Phase
from headstart.finetuning.decision import Decision, decide
from headstart.finetuning.depth import CutPoint
from headstart.finetuning.invariance import InvarianceTest
from headstart.finetuning.loop import TrainingLoop
from headstart.finetuning.preparation import TrainingSetup, prepare_tuning
from headstart.finetuning.probe import probe_stages, train_probe
from headstart.finetuning.settings import BatchNorm, TuningSettings
from headstart.finetuning.validation import ValidationResult
from headstart.models.accuracies import held_out_accuracies
from headstart.models.fit_result import FitResult, HeldOutPredictions
from headstart.models.fit_settings import FitSettings
from headstart.models.prediction import predict
from headstart.models.train_test_split import SplitFeatures
from headstart.models.trained_model import AccuracyEstimate, FineTuning, Model
from headstart.novelty.cross_fitting import Novelty, fit_novelty
from headstart.system.machine import keep_freed_memory
from headstart.types import EstimateMethod, ProgressCallback, no_progress

_CLOSING_RATE = 0.2
"""Factor of the learning rate in the closing phase, in which little is left to learn and no
validation images show when to stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningAttempt:
    """The trained part of the network, and its performance on the validation images.

    Attributes:
        cut: which stages were frozen and which were trained.
        parameters: number of trained parameters.
        invariance: the test that chose the augmentation.
        history: losses and accuracies, one row per epoch.
        interpolation: position of the kept weights between the probe's (0) and the fine-tuned
            ones (1).
        probe: performance of the probe, trained without the validation images.
        tuned: performance of the fine-tuned network, whose loss decides; its accuracy is
            optimistic, because the same images chose it.
    """

    cut: CutPoint
    parameters: int
    invariance: InvarianceTest
    history: tuple[Epoch, ...]
    interpolation: float
    probe: ValidationResult
    tuned: ValidationResult


@dataclass(frozen=True, slots=True, kw_only=True)
class FineTuneResult:
    """A fine-tuned model or its probe, with the details of the attempt.

    Attributes:
        model: the fine-tuned model if it is clearly better on the validation images, else the
            probe.
        probe: the probe, trained on the same images.
        attempt: the attempt at fine-tuning; None if only the head was to be trained.
        held_out: predictions of the model for held-out images. If there are none, cross-validated
            predictions of the probe if that is kept, otherwise None.
    """

    model: Model
    probe: FitResult
    attempt: TuningAttempt | None
    held_out: HeldOutPredictions | None

    @property
    def kept(self) -> bool:
        """Whether the model is fine-tuned."""
        return self.model.tuning is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningProgress:
    """Callbacks for progress, which ignore it by default.

    Attributes:
        images: called with (done, total) images whose features are computed for the probe.
        candidates: called with (done, total) stages that the probe compares.
        views: called with (done, total) images whose views went through the trunk.
        steps: called with (done, total) steps of the current epoch.
        epoch: called with each finished epoch.
    """

    images: ProgressCallback = no_progress
    candidates: ProgressCallback = no_progress
    views: ProgressCallback = no_progress
    steps: ProgressCallback = no_progress
    epoch: EpochCallback | None = None


def finetune(
    dataset: ImageDataset,
    extractor: Extractor,
    settings: TuningSettings,
    *,
    model: Model | None = None,
    stages: Sequence[str] = (),
    balance: bool = False,
    hold_out: float = 0.0,
    progress: TuningProgress | None = None,
) -> FineTuneResult:
    """Train a probe, and then part of the network from there.

    Args:
        dataset: labeled images. Its training part is used for training, and its test part, or
            else its validation part, for testing.
        extractor: extractor of the backbone, with a cache folder.
        settings: how to train.
        model: probe to start from, whose stages and class weights are used; by default a probe is
            trained as `headstart.models.fit.fit` does.
        stages: stages that feed the head without a `model`; empty to choose by cross-validation.
        balance: whether all classes have equal weight; ignored with a `model`.
        hold_out: fraction of the images to hold out, [0, 1), if the data set has no test part.
        progress: callbacks for progress.

    Raises:
        DataError: too few images to validate with.
        UserError: the model's head cannot be trained further, or a setting is impossible.
        BackboneError: the network cannot be cut there.
    """
    progress = progress or TuningProgress()
    if extractor.cache is None:
        raise UserError("fine-tuning stores activations on disk; give a cache folder")
    fit_settings = FitSettings(
        stages=probe_stages(model, stages, settings.recipe),
        balance=model.balanced if model else balance,
        hold_out=hold_out,
        seed=settings.seed,
    )
    probe, images = train_probe(
        dataset,
        extractor,
        fit_settings,
        model,
        on_images=progress.images,
        on_candidates=progress.candidates,
    )
    setup = prepare_tuning(
        images, extractor, extractor.cache, probe.model, settings, progress=progress.views
    )
    if setup is None:
        return FineTuneResult(model=probe.model, probe=probe, attempt=None, held_out=probe.held_out)
    with keep_freed_memory():
        decision, history = _train(setup, extractor.cache, progress)
    tuned, held_out = probe.model, probe.held_out
    if decision.kept:
        tuned, backbone = _tuned_model(probe.model, extractor.backbone, setup, decision, history)
        extractor = extractor.with_backbone(backbone)
        novelty = _fit_novelty(tuned, extractor, images, setup.validation)
        calibration = _calibration(decision.tuned, images, setup.validation, novelty)
        series = images.split.series.subset(np.flatnonzero(setup.validation))
        validated = AccuracyEstimate.of(
            decision.tuned.correct,
            EstimateMethod.VALIDATION,
            clusters=series.groups if series else None,
        )
        tuned = replace(
            tuned,
            novelty=novelty,
            calibration=calibration,
            accuracy=validated,
            accuracy_same_scenes=None,  # that of the probe says nothing about this model
        )
        tuned, held_out = _with_test(tuned, extractor, images)
    attempt = TuningAttempt(
        cut=setup.cut,
        parameters=sum(one.numel() for one in setup.network.parameters()),
        invariance=setup.invariance,
        history=history,
        interpolation=decision.interpolation if decision.kept else 0.0,
        probe=decision.probe,
        tuned=decision.tuned,
    )
    return FineTuneResult(model=tuned, probe=probe, attempt=attempt, held_out=held_out)


def _train(
    setup: TrainingSetup, cache: Path, progress: TuningProgress
) -> tuple[Decision, tuple[Epoch, ...]]:
    """Train without the validation images, decide with them, and continue on all images."""
    settings, rows = setup.settings, np.arange(len(setup.validation))
    assert settings.rate is not None  # resolved by `prepare_tuning`
    loop = TrainingLoop(
        setup.network,
        setup.examples,
        setup.cut.stages,
        settings,
        checkpoint=cache / KIND / f"run-{setup.key}",
        on_epoch=progress.epoch,
        on_steps=progress.steps,
    )
    validation, probe = rows[setup.validation], loop.weights()
    search = loop.run(
        Phase.SEARCH,
        probe,
        rows=rows[~setup.validation],
        validation=validation,
        epochs=settings.epochs,
        rate=settings.rate,
    )
    decision = decide(
        loop,
        probe,
        search.best,
        validation,
        # Interpolated running statistics would not be those of the interpolated weights.
        interpolate=settings.interpolate and settings.batch_norm is BatchNorm.FROZEN,
    )
    epochs = math.ceil(settings.epochs * settings.closing)
    if not decision.kept or not epochs:
        return decision, tuple(search.history)
    closing = loop.run(
        Phase.CLOSING,
        decision.weights,
        rows=rows,
        validation=rows[:0],
        epochs=epochs,
        rate=settings.rate * _CLOSING_RATE,
        first_epoch=len(search.history) + 1,
    )
    return replace(decision, weights=closing.best), (*search.history, *closing.history)


def _tuned_model(
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


def _calibration(
    tuned: ValidationResult,
    images: SplitFeatures,
    validation: np.ndarray,
    novelty: Novelty | None,
) -> CalibrationSet:
    """Return the predictions for the validation images, which new ones are compared with."""
    assert tuned.probabilities is not None  # or the network would not have been kept
    series = images.split.series.subset(np.flatnonzero(validation))
    p_values = novelty.held_out if novelty else None
    return CalibrationSet.of(
        tuned.probabilities,
        images.split.labels[validation],
        series=series.groups if series else None,
        novelty=p_values[validation] if p_values is not None else None,
    )


def _with_test(
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
    return replace(model, accuracy=accuracy, accuracy_same_scenes=same_scenes), held_out
