"""Linear probe, then fine-tuning (Kumar et al. 2022): train part of the network further.

The network is cut in a frozen trunk and a tail that is trained. The trunk runs once, over several
views of each image, on the engine that also computes features; the tail learns from what it gave.
In the end tail and head go back into one network, which is what every other command runs.

Nothing is believed: images that train nothing decide when to stop, how far to go from the probe
towards the fine-tuned weights, and whether to go at all.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from headstart.errors import MissingExtraError

if find_spec("torch") is None:  # said before anything below needs it
    raise MissingExtraError("fine-tuning", extra="torch")

from headstart.backbones.backbone import LOGITS
from headstart.datasets import ImageDataset
from headstart.errors import UserError
from headstart.features.extractor import Extractor
from headstart.features.view_activations import KIND
from headstart.finetuning.decision import Decision, decide
from headstart.finetuning.depth import completed
from headstart.finetuning.invariance import InvarianceTest
from headstart.finetuning.loop import Epoch, Phase, PhaseSettings, TrainingLoop, Watch
from headstart.finetuning.preparation import ProbeImages, TrainingSetup, prepare_tuning
from headstart.finetuning.settings import BatchNorm, TuningRecipe, TuningSettings
from headstart.heads.logistic import LinearHead
from headstart.models.fit import fit
from headstart.models.fit_result import FitResult, HeldOutPredictions
from headstart.models.fit_settings import FitSettings
from headstart.models.model_backbone import tuned_backbone
from headstart.models.trained_model import AccuracyEstimate, FineTuning, Model
from headstart.system.digests import bytes_digest
from headstart.system.machine import keep_freed_memory
from headstart.types import EstimateMethod, ProgressCallback

_CLOSING_RATE = 0.2
"""Of the rate: in the closing phase little is left to learn, and nobody watches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningAttempt:
    """What was trained besides the head, and what the validation images said to that.

    Attributes:
        depth: stages that were trained.
        cut: the last stage that was not; "" where all of the network was trained.
        parameters: numbers that were trained.
        augmentation: what views differed in, and what the probe said to that.
        history: a row an epoch.
        share: of the way from the probe to the fine-tuned weights that is kept; 0 for the probe.
        probe_loss: calibrated loss of the probe on the validation images, in nats.
        tuned_loss: of the fine-tuned network on the same, which is what decides; None if the
            training diverged.
        probe: accuracy of the probe of the training part on the validation images.
        tuned: of the fine-tuned network on the same; it was chosen by them.
    """

    depth: int
    cut: str
    parameters: int
    augmentation: InvarianceTest
    history: tuple[Epoch, ...]
    share: float
    probe_loss: float
    tuned_loss: float | None
    probe: AccuracyEstimate
    tuned: AccuracyEstimate


@dataclass(frozen=True, slots=True, kw_only=True)
class FineTuneResult:
    """A model, and how it came about.

    Attributes:
        model: the better one, by the validation images: fine-tuned, or the probe.
        probe: the probe, trained on the same images.
        attempt: at fine-tuning; None where nothing but the head was to be trained.
        tested: predictions of the model for images that decided nothing; where there are none,
            the probe's own, if that is kept, and else None.
        seconds: of everything.
    """

    model: Model
    probe: FitResult
    attempt: TuningAttempt | None
    tested: HeldOutPredictions | None
    seconds: float

    @property
    def kept(self) -> bool:
        """Whether the model is fine-tuned."""
        return self.model.tuning is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningProgress:
    """Who is told of the work; nobody by default.

    Attributes:
        images: (done, total) of the pass that computes the probe's features.
        candidates: (done, total) of the stages that the probe compares.
        views: (done, total) images whose views went through the trunk.
        steps: (done, total) steps of an epoch.
        epoch: each row of the history.
    """

    images: ProgressCallback | None = None
    candidates: ProgressCallback | None = None
    views: ProgressCallback | None = None
    steps: ProgressCallback | None = None
    epoch: Watch | None = None


def finetune(
    dataset: ImageDataset,
    extractor: Extractor,
    settings: TuningSettings,
    *,
    model: Model | None = None,
    stages: Sequence[str] = (),
    balance: bool = False,
    hold_out: float = 0.0,
    reports: TuningProgress | None = None,
) -> FineTuneResult:
    """Train a probe and then, from there, part of the network.

    Args:
        dataset: images with labels; its training part is trained on, and its test part, or else
            its validation part, tested on.
        extractor: the backbone, with a cache: what is computed once is kept there.
        settings: how.
        model: a probe to start from: its head grows where this one's does, and weighs classes as
            it; by default the place is chosen as `train` does.
        stages: where the head grows, instead; see `FitSettings`.
        balance: weigh classes equally, however many images each has.
        hold_out: see `FitSettings`.
        reports: who is told of the work.

    Raises:
        DataError: too few images to decide anything by.
        UserError: the model has a head that cannot be trained further, or a setting is impossible.
        BackboneError: the network cannot be cut there.
    """
    started = time.perf_counter()
    reports = reports or TuningProgress()
    if extractor.cache is None:
        raise UserError("fine-tuning keeps activations on disk; give a cache folder")
    recipe = FitSettings(
        stages=_stages_of(model, stages, settings.recipe),
        balance=model.balanced if model else balance,
        hold_out=hold_out,
        seed=settings.seed,
    )
    probe = fit(
        dataset,
        extractor,
        recipe,
        on_images=reports.images,
        on_candidates=reports.candidates,
    )
    images = ProbeImages.of(dataset, extractor, recipe)
    _check_images(model, images)
    if model is not None:
        probe = replace(probe, model=_with_all_stages(probe.model, model))
    prepared = prepare_tuning(
        images,
        extractor,
        extractor.cache,
        recipe,
        probe.model,
        settings,
        progress=reports.views,
    )
    if prepared is None:
        return FineTuneResult(
            model=probe.model,
            probe=probe,
            attempt=None,
            tested=probe.held_out,
            seconds=time.perf_counter() - started,
        )
    settings = completed(
        settings,
        prepared.network,
        extractor.backbone,
        probe.model,
        device=prepared.examples.device,
    )
    run = bytes_digest(f"{prepared.key} {settings}".encode())
    checkpoint = extractor.cache / KIND / f"run-{run}"
    with keep_freed_memory():
        decision, history = _trained(prepared, settings, checkpoint, reports)
    tuned, tested = probe.model, probe.held_out
    if decision.kept:
        tuned = _tuned_model(probe.model, extractor, prepared, decision, history)
        tested = _tested(tuned, extractor, images)
    validated = AccuracyEstimate.of(decision.tuned_right, EstimateMethod.VALIDATION)
    accuracy = (
        AccuracyEstimate.of(tested.correct, EstimateMethod.HELD_OUT)
        if tested is not None and len(images.partition.test)
        else validated
    )
    return FineTuneResult(
        model=replace(tuned, accuracy=accuracy) if decision.kept else probe.model,
        probe=probe,
        attempt=TuningAttempt(
            depth=prepared.depth,
            cut=prepared.cut,
            parameters=sum(one.numel() for one in prepared.network.parameters()),
            augmentation=prepared.augmentation,
            history=history,
            share=decision.share if decision.kept else 0.0,
            probe_loss=decision.probe_loss,
            tuned_loss=decision.tuned_loss,
            probe=AccuracyEstimate.of(decision.probe_right, EstimateMethod.VALIDATION),
            tuned=validated,
        ),
        tested=tested,
        seconds=time.perf_counter() - started,
    )


def _stages_of(
    model: Model | None, stages: Sequence[str], recipe: TuningRecipe | None
) -> tuple[str, ...]:
    if model is None:
        return (LOGITS,) if recipe is TuningRecipe.CLASSIFIER else tuple(stages)
    if not isinstance(model.head, LinearHead):
        raise UserError(
            f"the model has a {model.head.kind} head, which has no gradient to follow; fit one "
            "with --head logistic"
        )
    if model.tuning is not None:
        raise UserError(
            "the model is fine-tuned already; start from the one that it was made of, with more "
            "--epochs"
        )
    return (LOGITS,) if recipe is TuningRecipe.CLASSIFIER else model.origin.stages


def _with_all_stages(probe: Model, model: Model) -> Model:
    """The probe with the accuracies of the stages that only the model compared, on these images."""
    same = np.array_equal(probe.data.digests, model.data.digests) and all(
        model.accuracy_by_stage.get(stage, measured) == measured
        for stage, measured in probe.accuracy_by_stage.items()
    )
    if not same:
        return probe
    return replace(probe, accuracy_by_stage={**model.accuracy_by_stage, **probe.accuracy_by_stage})


def _check_images(model: Model | None, images: ProbeImages) -> None:
    """Refuse images of other classes, and tests with images that chose where the head grows."""
    if model is None:
        return
    if images.partition.classes != model.classes:
        raise UserError(
            f"the model knows {', '.join(model.classes[:8])}, and these images show "
            f"{', '.join(images.partition.classes[:8])}; give the images that it was fitted to, or "
            "leave the model out"
        )
    digests = tuple(images.features.digests[row] for row in images.partition.test)
    if seen := int(model.data.contains(digests).sum()):
        raise UserError(
            f"{seen} of {len(digests)} images that would test the result trained the model given; "
            "leave out --seed and --holdout, or start from the images alone"
        )


def _trained(
    prepared: TrainingSetup, settings: TuningSettings, checkpoint: Path, reports: TuningProgress
) -> tuple[Decision, tuple[Epoch, ...]]:
    """Search without the validation images, decide by them, and close with all images."""
    assert settings.rate is not None  # `completed` saw to it
    everything = np.arange(len(prepared.aside))
    start = {name: value.clone() for name, value in prepared.network.state_dict().items()}
    loop = TrainingLoop(
        prepared.network,
        prepared.examples,
        prepared.stages,
        settings,
        checkpoint=checkpoint,
        on_epoch=reports.epoch,
        on_steps=reports.steps,
    )
    search = loop.run(
        PhaseSettings(
            phase=Phase.SEARCH,
            rows=everything[~prepared.aside],
            validation=everything[prepared.aside],
            epochs=settings.epochs,
            rate=settings.rate,
        ),
        start,
    )
    decision = decide(
        loop,
        start,
        search.best,
        everything[prepared.aside],
        # Between two sets of running moments lie none that belong to the weights in between.
        interpolate=settings.interpolate and settings.batch_norm is BatchNorm.FROZEN,
    )
    epochs = math.ceil(settings.epochs * settings.closing)
    if not decision.kept or not epochs:
        return decision, tuple(search.history)
    closed = loop.run(
        PhaseSettings(
            phase=Phase.CLOSING,
            rows=everything,
            validation=everything[:0],
            epochs=epochs,
            rate=settings.rate * _CLOSING_RATE,
            first=search.epoch + 1,
        ),
        decision.state,
        search.history,
    )
    return replace(decision, state=closed.best), tuple(closed.history)


def _tuned_model(
    probe: Model,
    extractor: Extractor,
    prepared: TrainingSetup,
    decision: Decision,
    history: Sequence[Epoch],
) -> Model:
    """The probe's model with the head and the tail that were trained."""
    network = prepared.network
    network.load_state_dict(dict(decision.state))
    given = extractor.backbone.tensors()
    tail = {
        name: array
        for name, array in network.tensors().items()
        if name in given and not np.array_equal(array, given[name])
    }
    whole = extractor.backbone.with_tensors({**given, **tail})
    return replace(
        probe,
        head=network.folded(),
        temperature=decision.temperature,
        tail=tail,
        tuning=FineTuning(
            depth=prepared.depth,
            cut=prepared.cut,
            epochs=len(history),
            share=decision.share,
            weights=whole.weights.digest,
            probe=AccuracyEstimate.of(decision.probe_right, EstimateMethod.VALIDATION),
            tuned=AccuracyEstimate.of(decision.tuned_right, EstimateMethod.VALIDATION),
        ),
    )


def _tested(model: Model, extractor: Extractor, images: ProbeImages) -> HeldOutPredictions | None:
    """What the model says of the images held out, read and run as any other command does."""
    partition = images.partition
    if not len(partition.test):
        return None
    paths = tuple(images.dataset.paths[row] for row in partition.test)
    own = extractor.with_backbone(tuned_backbone(model, extractor.backbone))
    features = own.extract(paths, stages=model.origin.stages)
    return HeldOutPredictions(
        paths=tuple(paths[row] for row in features.rows),
        labels=partition.test_labels[features.rows],
        probabilities=model.probabilities(features.values),
    )
