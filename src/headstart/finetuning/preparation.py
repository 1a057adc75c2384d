"""All that comes before the first step: the cut, the probe's head, the views and the examples."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from headstart.backbones.backbone import LOGITS
from headstart.backbones.cut import Cut, cut
from headstart.datasets import ImageDataset
from headstart.datasets.splits import holdout_mask
from headstart.engines import Engine, build_engine
from headstart.errors import DataError
from headstart.features.extraction import Features
from headstart.features.extractor import Extractor, configuration_key
from headstart.features.view_activations import ActivationRequest, AugmentedViews, activations
from headstart.finetuning.depth import place_of
from headstart.finetuning.examples import Examples
from headstart.finetuning.invariance import InvarianceTest, borne
from headstart.finetuning.network import HeadPlacement, TunedNetwork
from headstart.finetuning.settings import TuningSettings
from headstart.finetuning.trunk import trunk_backbone
from headstart.heads.head import LabeledFeatures
from headstart.heads.logistic import LinearHead, LogisticFamily
from headstart.heads.standardization import Standardization
from headstart.models.fit import sample_weights
from headstart.models.fit_settings import FitSettings
from headstart.models.train_test_split import TrainTestSplit, train_test_parts
from headstart.models.trained_model import Model
from headstart.system.digests import bytes_digest
from headstart.types import Floats, ProgressCallback

_FEWEST = 8
"""Validation images below which chance alone would decide."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSetup:
    """A network ready to be trained, and what it is trained from.

    Attributes:
        network: begins as the probe of the images that are not `aside`.
        examples: all training images.
        aside: (N,) bool, those that decide.
        stages: of the backbone, down to the deepest that the head grows on.
        cut: name of the last stage that is not trained; "" where all are.
        depth: how many stages are trained.
        augmentation: what the views differ in.
        key: 32 hex digits over all that the result depends on, the settings apart.
    """

    network: TunedNetwork
    examples: Examples
    aside: np.ndarray
    stages: tuple[str, ...]
    cut: str
    depth: int
    augmentation: InvarianceTest
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeImages:
    """The images behind a probe, with their features.

    Attributes:
        dataset: those that can be read.
        features: of all stages.
        partition: which of them train.
    """

    dataset: ImageDataset
    features: Features
    partition: TrainTestSplit

    @classmethod
    def of(cls, dataset: ImageDataset, extractor: Extractor, recipe: FitSettings) -> ProbeImages:
        """Look up what `headstart.models.fit.fit` computed from the same arguments."""
        dataset = train_test_parts(dataset)
        names = [stage.name for stage in extractor.backbone.stages]
        wanted = [*names, LOGITS] if LOGITS in recipe.stages else names
        features = extractor.extract(dataset.paths, stages=wanted)
        dataset = dataset.subset(features.rows)
        partition = TrainTestSplit.of(dataset, features, hold_out=recipe.hold_out, seed=recipe.seed)
        return cls(dataset=dataset, features=features, partition=partition)


def prepare_tuning(
    images: ProbeImages,
    extractor: Extractor,
    root: Path,
    recipe: FitSettings,
    model: Model,
    settings: TuningSettings,
    *,
    progress: ProgressCallback | None = None,
) -> TrainingSetup | None:
    """Cut the network, run the trunk over all views, and put the probe's head on the tail.

    Args:
        images: with features.
        extractor: the backbone.
        root: the cache folder.
        recipe: of the probe.
        model: the probe.
        settings: how it will be trained.
        progress: called with (done, total) images whose views went through the trunk.

    Returns:
        None where nothing but the head is to be trained.

    Raises:
        DataError: too few images to decide anything by.
        BackboneError: the network cannot be cut there.
    """
    backbone, grafted = extractor.backbone, model.origin.stages
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = backbone.network()
    place = place_of(network, backbone, model, settings)
    if place.depth == 0:
        return None
    partition, features = images.partition, images.features
    digests = [features.digests[row] for row in partition.train]
    aside = holdout_mask(
        digests,
        partition.labels,
        fraction=settings.validation,
        seed=settings.seed,
        purpose="validation",
    )
    if aside.sum() < _FEWEST:
        raise DataError(
            f"{int(aside.sum())} of {len(aside)} images would decide whether fine-tuning pays, and "
            f"fewer than {_FEWEST} say nothing; give more images, or keep the probe (--recipe "
            "probe)"
        )
    parts = [features.values[stage][partition.train] for stage in grafted]
    X = np.concatenate(parts, axis=1)
    weights = sample_weights(partition.labels, len(partition.classes), balance=recipe.balance)
    widths = [part.shape[1] for part in parts]
    head = LogisticFamily().fit(
        LabeledFeatures(X, partition.labels, len(partition.classes), widths),
        (weights * ~aside).astype(np.float32),
        model.setting,
    )
    seen = _borne(images, extractor, head, grafted, aside, settings)
    halves = cut(network, place.cut, backbone.preprocessing.crop, wanted=grafted)
    task, engine = _task(images, extractor, halves, seen, digests, settings)
    found = activations(task, engine, root, progress=progress)
    by_class = np.ones(len(partition.classes), np.float32)
    by_class[partition.labels] = weights
    graft = HeadPlacement(
        stages=grafted,
        head=head,
        temperature=model.temperature,
        moments=Standardization.of(X, (~aside).astype(np.float32)),
    )
    tuned = TunedNetwork(
        halves,
        graft,
        halves.trunk.stages if halves.trunk else (),
        dropout=settings.dropout,
    )
    return TrainingSetup(
        network=tuned.to(memory_format=torch.channels_last),  # type: ignore[call-overload]
        examples=Examples(
            activations=found,
            labels=partition.labels,
            classes=len(partition.classes),
            weights=torch.tensor(by_class, device=device),
            shape=halves.shape,
            mean=network.mean.to(device),
            std=network.std.to(device),
            device=device,
        ),
        aside=aside,
        stages=place.stages,
        cut=place.cut,
        depth=place.depth,
        augmentation=seen,
        key=_key(task, head, partition.labels),
    )


def _borne(
    images: ProbeImages,
    extractor: Extractor,
    head: LinearHead,
    grafted: tuple[str, ...],
    aside: np.ndarray,
    settings: TuningSettings,
) -> InvarianceTest:
    """What changes of the images that are aside the probe of the others bears."""
    names = [*(stage.name for stage in extractor.backbone.stages), LOGITS]
    places = [names.index(stage) for stage in grafted]

    def logits(outputs: list[Floats]) -> Floats:
        return head.logits(np.concatenate([outputs[place] for place in places], axis=1))

    return borne(
        [images.dataset.paths[row] for row in images.partition.train[aside]],
        images.partition.labels[aside],
        engine=extractor.engine(),
        logits=logits,
        preprocessing=extractor.backbone.preprocessing,
        settings=settings,
    )


def _task(
    images: ProbeImages,
    extractor: Extractor,
    halves: Cut,
    seen: InvarianceTest,
    digests: list[str],
    settings: TuningSettings,
) -> tuple[ActivationRequest, Engine | None]:
    backbone, plan, engine = extractor.backbone, extractor.effective_plan, None
    widths: list[int] = []
    numbers = 3 * backbone.preprocessing.crop**2
    if halves.trunk is not None:
        backbone = trunk_backbone(backbone, halves)
        engine = build_engine(backbone, plan, requested=extractor.requested_engine)
        plan = engine.plan
        *widths, numbers = (stage.width for stage in backbone.stages)
    views = AugmentedViews(count=settings.views, augmentation=seen.augmentation, seed=settings.seed)
    task = ActivationRequest(
        paths=[images.dataset.paths[row] for row in images.partition.train],
        digests=digests,
        views=views,
        preprocessing=backbone.preprocessing,
        configuration=configuration_key(backbone, plan),
        widths=tuple(widths),
        numbers=numbers,
    )
    return task, engine


def _key(task: ActivationRequest, head: LinearHead, labels: np.ndarray) -> str:
    arrays = (*head.tensors().values(), labels)
    numbers = b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)
    return bytes_digest(task.key().encode() + torch.__version__.encode() + numbers)
