"""Prepare training: cut the network, attach the probe's head to the tail, run the trunk."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from headstart.backbones.backbone import Backbone
from headstart.backbones.cut import Cut, cut, keeps_moments
from headstart.backbones.staged import StagedNetwork
from headstart.backbones.stages import LOGITS
from headstart.datasets import ImageDataset
from headstart.datasets.splits import held_out_count, holdout_mask
from headstart.engines import Engine, build_engine
from headstart.engines.device import torch_device
from headstart.errors import DataError
from headstart.features.extractor import Extractor, configuration_key
from headstart.features.view_activations import (
    ActivationRequest,
    Activations,
    AugmentedViews,
    activations,
)
from headstart.finetuning.depth import CutPoint, choose_cut
from headstart.finetuning.examples import Examples
from headstart.finetuning.invariance import InvarianceTest, measure_invariance
from headstart.finetuning.network import ProbeHead, TunedNetwork
from headstart.finetuning.precision import supports_bfloat16
from headstart.finetuning.settings import BatchNorm, Keep, TuningRecipe, TuningSettings
from headstart.finetuning.trunk import trunk_backbone
from headstart.heads.logistic import LogisticFamily
from headstart.heads.rows import Rows
from headstart.heads.standardization import Standardization
from headstart.images.augmentation import Augmentation
from headstart.models.sample_weights import sample_weights
from headstart.models.train_test_split import SplitFeatures, TrainTestSplit
from headstart.models.trained_model import Model
from headstart.system.digests import bytes_digest
from headstart.types import Floats, ProgressCallback, Split, no_progress

_MIN_VALIDATION_IMAGES = 8
"""With fewer validation images the decision would be left to chance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSetup:
    """A network ready to be trained, and what it is trained on.

    Attributes:
        network: tail and head; it starts as a probe trained without the validation images.
        examples: all N training images.
        validation: (N,) bool, which of them are validation images.
        cut: which stages are frozen and which are trained.
        invariance: the test that chose the augmentation.
        settings: the settings, with all defaults resolved.
        key: 32 hex digits, a digest of everything that the result depends on.
    """

    network: TunedNetwork
    examples: Examples
    validation: np.ndarray
    cut: CutPoint
    invariance: InvarianceTest
    settings: TuningSettings
    key: str


def prepare_tuning(
    images: SplitFeatures,
    extractor: Extractor,
    cache: Path,
    model: Model,
    settings: TuningSettings,
    *,
    progress: ProgressCallback = no_progress,
) -> TrainingSetup | None:
    """Cut the network, run the trunk on all views, and attach the probe's head to the tail.

    The images and their features are those of the probe `model`, which was trained on all training
    images. The trunk's activations are stored in the cache folder.

    Returns:
        The setup, or None if the settings train nothing but the head.

    Raises:
        DataError: too few images to validate with.
        BackboneError: the network cannot be cut there.
    """
    backbone, network = extractor.backbone, extractor.backbone.network()
    point = choose_cut(network, backbone, model.origin.stages, settings)
    if point.depth == 0:
        return None
    validation = _validation_mask(images, settings)
    weights = sample_weights(images.split.labels, len(images.split.classes), balance=model.balanced)
    probe = _probe_head(images, model, weights, validation)
    names = [*(stage.name for stage in backbone.stages), LOGITS]
    invariance = measure_invariance(
        [images.dataset.paths[row] for row in images.split.train[validation]],
        images.split.labels[validation],
        images.split.classes,
        engine=extractor.engine(),
        logits=lambda outputs: probe.calibrated(dict(zip(names, outputs, strict=False))),
        preprocessing=backbone.preprocessing,
        settings=settings,
    )
    halves = cut(network, point.last_frozen, backbone.preprocessing.crop, wanted=probe.stages)
    request, engine = _request(images, extractor, halves, invariance.augmentation, settings)
    found = activations(request, engine, cache, progress=progress)
    device = torch_device(extractor.requested_device)
    examples = _examples(images.split, found, weights, halves, network, device)
    tuned = TunedNetwork(halves, probe, dropout=settings.dropout)
    settings = resolve_settings(settings, tuned, backbone, model, device=examples.device)
    trained = replace(settings, keep=Keep.BETTER)  # what is kept in the end changes no training
    facts = f"{request.key()} {torch.__version__} {trained}"
    arrays = (*probe.head.tensors().values(), examples.labels)
    return TrainingSetup(
        network=tuned.to(memory_format=torch.channels_last),  # type: ignore[call-overload]
        examples=examples,
        validation=validation,
        cut=point,
        invariance=invariance,
        settings=settings,
        key=bytes_digest(b"".join([facts.encode(), *(array.tobytes() for array in arrays)])),
    )


def check_images(dataset: ImageDataset, settings: TuningSettings, *, hold_out: float) -> None:
    """Check that enough images will be for validation, before any features are computed.

    Copies, series and damaged files may still leave fewer.

    Args:
        dataset: images to train on, and perhaps to test on.
        settings: how to train.
        hold_out: fraction of the images to hold out, [0, 1), if the data set has no test part.

    Raises:
        DataError: too few images to validate with.
    """
    if settings.recipe is TuningRecipe.PROBE or settings.depth == 0:
        return
    labels = dataset.labels
    if dataset.splits:
        tested = Split.TEST if Split.TEST in dataset.splits else Split.VALIDATION
        labels = labels[[split is not tested for split in dataset.splits]]
    counts = np.bincount(labels).tolist()
    if hold_out and not dataset.splits:
        counts = [count - held_out_count(count, hold_out) for count in counts]
    for_validation = sum(held_out_count(count, settings.validation) for count in counts)
    _check_validation(for_validation, sum(counts), settings)


def resolve_settings(
    settings: TuningSettings, network: nn.Module, backbone: Backbone, model: Model, *, device: str
) -> TuningSettings:
    """Fill in the defaults that depend on the network: batch normalization, rate and precision.

    Batch normalization is updated if the probe uses more than the last stage of `backbone`: the
    images are then unlike the pre-training data. `device` is as in `torch_device`.
    """
    batch_norm = settings.batch_norm
    if not any(keeps_moments(module) for module in network.modules()):
        batch_norm = BatchNorm.FROZEN
    elif batch_norm is BatchNorm.AUTO:
        unlike = model.origin.stages not in {(backbone.stages[-1].name,), (LOGITS,)}
        batch_norm = BatchNorm.UPDATED if unlike else BatchNorm.FROZEN
    # Training is stable at a higher rate when each batch is normalized by its own statistics.
    rate = settings.rate or (5e-4 if batch_norm is BatchNorm.UPDATED else 1e-4)
    bfloat16 = settings.mixed_precision
    if bfloat16 is None:
        bfloat16 = supports_bfloat16(device)
    return replace(settings, batch_norm=batch_norm, rate=rate, mixed_precision=bfloat16)


def _validation_mask(images: SplitFeatures, settings: TuningSettings) -> np.ndarray:
    validation = holdout_mask(
        images.split.keys(images.features),
        images.split.labels,
        fraction=settings.validation,
        seed=settings.seed,
        purpose="validation",
    )
    _check_validation(int(validation.sum()), len(validation), settings)
    return validation


def _check_validation(count: int, images: int, settings: TuningSettings) -> None:
    if count < _MIN_VALIDATION_IMAGES:
        needed = math.ceil(_MIN_VALIDATION_IMAGES / settings.validation)
        raise DataError(
            f"only {count} of {images} training images would be for validation, and fewer than "
            f"{_MIN_VALIDATION_IMAGES} are too few to decide; give about {needed} training images, "
            f"a --validation above {settings.validation:g} or a smaller --holdout, or train only "
            "the head (--recipe probe)"
        )


def _probe_head(
    images: SplitFeatures, model: Model, weights: Floats, validation: np.ndarray
) -> ProbeHead:
    """Train the probe's head again, without the validation images."""
    features = images.features.values
    rows = Rows(tuple(features[stage] for stage in model.origin.stages), images.split.train)
    head = LogisticFamily().fit_rows(
        rows,
        images.split.labels,
        (weights * ~validation).astype(np.float32),
        model.setting,
        classes=len(images.split.classes),
    )
    return ProbeHead(
        stages=model.origin.stages,
        head=head,
        temperature=model.temperature,
        moments=Standardization.of(rows, (~validation).astype(np.float32)),
    )


def _request(
    images: SplitFeatures,
    extractor: Extractor,
    halves: Cut,
    augmentation: Augmentation,
    settings: TuningSettings,
) -> tuple[ActivationRequest, Engine | None]:
    """Return the activations to compute, and the engine that runs the trunk, if there is one."""
    backbone, plan, engine, widths = extractor.backbone, extractor.effective_plan, None, []
    if halves.trunk is not None:
        backbone = trunk_backbone(backbone, halves)
        engine = build_engine(backbone, plan, requested=extractor.requested_engine)
        plan = engine.plan
        widths = [stage.width for stage in backbone.stages[:-1]]
    request = ActivationRequest(
        paths=[images.dataset.paths[row] for row in images.split.train],
        digests=[images.features.digests[row] for row in images.split.train],
        views=AugmentedViews(count=settings.views, augmentation=augmentation, seed=settings.seed),
        preprocessing=backbone.preprocessing,
        configuration=configuration_key(backbone, plan),
        widths=tuple(widths),
        numbers=math.prod(halves.shape),
    )
    return request, engine


def _examples(
    split: TrainTestSplit,
    found: Activations,
    weights: Floats,
    halves: Cut,
    network: StagedNetwork,
    device: str,
) -> Examples:
    class_weights = np.ones(len(split.classes), np.float32)
    class_weights[split.labels] = weights
    return Examples(
        activations=found,
        labels=split.labels,
        classes=len(split.classes),
        weights=torch.tensor(class_weights, device=device),
        shape=halves.shape,
        mean=network.mean.to(device),
        std=network.std.to(device),
        device=device,
    )
