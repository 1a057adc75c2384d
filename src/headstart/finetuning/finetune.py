"""Linear probing, then fine-tuning (Kumar et al. 2022): train part of the network further.

The network is cut into a frozen trunk and a tail that is trained. The trunk runs once over several
views of each image, on the engine that also computes features; the tail learns from its
activations. In the end tail and head become one network again, which every other command can run.

Validation images, which are not trained on, decide when to stop, how far to move from the probe's
weights towards the fine-tuned ones, and how much the result counts beside the probe, or beside the
members of the model that it starts from.
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

from headstart.datasets import ImageDataset
from headstart.errors import UserError
from headstart.features.extractor import Extractor
from headstart.features.view_activations import KIND
from headstart.features.views import View
from headstart.finetuning.assembly import (
    averaged_model,
    test_accuracy,
    tuned_network,
    with_test,
    with_validation,
)
from headstart.finetuning.checkpoint import Epoch, EpochCallback, Phase, StepsCallback, no_steps
from headstart.finetuning.decision import Decision, decide
from headstart.finetuning.depth import CutPoint, check_depth
from headstart.finetuning.invariance import InvarianceTest
from headstart.finetuning.loop import TrainingLoop
from headstart.finetuning.preparation import TrainingSetup, check_images, prepare_tuning
from headstart.finetuning.probe import (
    check_view,
    cross_validated,
    probe_stages,
    start_of,
    train_probe,
)
from headstart.finetuning.settings import BatchNorm, Keep, TuningSettings
from headstart.finetuning.validation import ValidationResult
from headstart.models.accuracies import tested_predictions
from headstart.models.fit_result import FitResult, HeldOutPredictions
from headstart.models.fit_settings import FitSettings
from headstart.models.trained_model import AccuracyEstimate, Model
from headstart.system.display import Plotted
from headstart.system.machine import keep_freed_memory
from headstart.types import Floats, Labels, ProgressCallback, no_progress

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
        weight: weight of the fine-tuned network in the model, [0, 1].
        start: performance of the model that fine-tuning started from, the probe or more members.
        result: performance of the resulting model on the same images.
        keep: what the settings asked to keep.
        views: views of each training image; the first is the image as it is, the others are
            augmented.
        tested: accuracy of the fine-tuned network alone on the test part or the held-out images,
            which decide nothing; None if there are none.
    """

    cut: CutPoint
    parameters: int
    invariance: InvarianceTest
    history: tuple[Epoch, ...]
    interpolation: float
    probe: ValidationResult
    tuned: ValidationResult
    weight: float
    start: ValidationResult
    result: ValidationResult
    keep: Keep = Keep.BETTER
    views: int
    tested: AccuracyEstimate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FineTuneResult(Plotted):
    """A fine-tuned model or its probe, with the details of the attempt.

    Attributes:
        model: the average of the probe, or of the model that was given, and the fine-tuned network,
            or one of the two, whatever the validation images show to be better.
        probe: the probe, trained on the same images.
        attempt: the attempt at fine-tuning; None if only the head was to be trained.
        held_out: predictions of the model for held-out images. If there are none, cross-validated
            predictions of the probe if that is kept, otherwise None.
    """

    model: Model
    probe: FitResult
    attempt: TuningAttempt | None
    held_out: HeldOutPredictions | None

    def __repr__(self) -> str:
        return f"<FineTuneResult: {self.model}, fine-tuning {'' if self.kept else 'not '}kept>"

    @property
    def kept(self) -> bool:
        """Whether the model contains the fine-tuned network."""
        return self.model.tuning is not None

    @property
    def fitted(self) -> FitResult:
        """The model and its test as the result of `headstart.models.fit.fit`."""
        if not self.kept:
            return self.probe
        tested = tested_predictions(self.held_out, None)
        return replace(self.probe, model=self.model, held_out=self.held_out, tested=tested)


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningProgress:
    """Callbacks for progress, which ignore it by default.

    Attributes:
        images: called with (done, total) images whose features are computed for the probe.
        candidates: called with (done, total) stages that the probe compares.
        views: called with (done, total) images whose views went through the trunk.
        steps: called with the progress of the current epoch.
        epoch: called with each finished epoch and the number of the last one.
    """

    images: ProgressCallback = no_progress
    candidates: ProgressCallback = no_progress
    views: ProgressCallback = no_progress
    steps: StepsCallback = no_steps
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
        model: probe to start from, whose stages and class weights are used, or a model of several
            members, of which one on the first view is the probe; by default a probe is trained as
            `headstart.models.fit.fit` does.
        stages: stages that feed the head without a `model`; empty to choose by cross-validation.
        balance: whether all classes have equal weight; ignored with a `model`.
        hold_out: fraction of the images to hold out, [0, 1), if the data set has no test part.
        progress: callbacks for progress.

    Raises:
        DataError: too few images to validate with.
        UserError: the model's head or its first view cannot be trained further, or a setting is
            impossible.
        BackboneError: the network cannot be cut there.
    """
    progress, cache = progress or TuningProgress(), extractor.cache
    if cache is None:
        raise UserError("fine-tuning stores activations on disk; give a cache folder")
    fit_settings = FitSettings(
        stages=probe_stages(model, stages, settings.recipe),
        balance=model.balanced if model else balance,
        hold_out=hold_out,
        seed=settings.seed,
    )
    if not extractor.others:
        check_view(extractor)
        check_depth(extractor.backbone, fit_settings.stages, settings)
    check_images(dataset, settings, hold_out=hold_out)
    probe, images = train_probe(
        dataset,
        extractor,
        fit_settings,
        model,
        on_images=progress.images,
        on_candidates=progress.candidates,
    )
    if extractor.others:
        extractor = extractor.only(probe.views)
        check_view(extractor)
    first = start_of(probe)
    setup = prepare_tuning(images, extractor, cache, first, settings, progress=progress.views)
    if setup is None:
        return FineTuneResult(model=probe.model, probe=probe, attempt=None, held_out=probe.held_out)
    whole = cross_validated(probe, len(images.split.train)) if probe.model.members else None
    clusters = images.split.series.subset(np.flatnonzero(setup.validation)).clusters
    with keep_freed_memory():
        decision, history = _train(setup, cache, progress, whole, clusters)
    tuned, held_out, tested = probe.model, probe.held_out, None
    if decision.kept or (len(images.split.test) and not decision.diverged):
        tuned, backbone = tuned_network(first, extractor.backbone, setup, decision, history)
        network = extractor.with_backbone(backbone)
        network = network.as_view(extractor.view) if extractor.view else network
        tested = test_accuracy(tuned, network, images)  # after everything is decided
    if not decision.kept:
        tuned = probe.model
    else:
        if decision.weight < 1:
            tuned = averaged_model(probe.model, tuned, decision)
            extractor = extractor.with_views(
                {view: one.backbone for view, one in extractor.others.items()}
                | {View.parse(tuned.members[-1].origin.name): backbone}
            )
        else:
            extractor = network
        tuned = with_validation(tuned, extractor, probe, images, setup.validation, decision.result)
        tuned, held_out = with_test(tuned, extractor, images)
    attempt = TuningAttempt(
        cut=setup.cut,
        parameters=sum(one.numel() for one in setup.network.parameters()),
        invariance=setup.invariance,
        history=history,
        interpolation=decision.interpolation if decision.kept else 0.0,
        probe=decision.probe,
        tuned=decision.tuned,
        weight=decision.weight,
        start=decision.start,
        result=decision.result,
        keep=settings.keep,
        views=settings.views,
        tested=tested,
    )
    return FineTuneResult(model=tuned, probe=probe, attempt=attempt, held_out=held_out)


def _train(
    setup: TrainingSetup,
    cache: Path,
    progress: TuningProgress,
    whole: Floats | None,
    clusters: Labels | None,
) -> tuple[Decision, tuple[Epoch, ...]]:
    """Train without the validation images, decide with them, and continue on all images.

    `whole` (N, K) are cross-validated probabilities of the model of several members, if there is
    one; `clusters` (V,) the series of the validation images.
    """
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
        average=settings.average,
        keep=settings.keep,
        model=None if whole is None else whole[validation],
        clusters=clusters,
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
