"""Measure how well a pre-trained network transfers to a data set, and recommend a next step.

All classifiers are tested on the same folds of the same images, which depend on file contents
alone. So they are compared image by image, and every gain has the interval of a paired difference.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from headstart.backbones import Backbone, list_backbones
from headstart.backbones.stages import LOGITS
from headstart.comparison.evaluation_images import EvaluationImages
from headstart.datasets import ImageDataset
from headstart.features.extractor import Extractor
from headstart.heads.head import LabeledFeatures
from headstart.heads.logistic import LogisticFamily
from headstart.heads.selection import Selection
from headstart.images.descriptors import BLOCKS, THUMBNAIL, describe, thumbnail
from headstart.images.preprocessing import decode_and_prepare
from headstart.models.train_test_split import train_test_parts
from headstart.system.prefetch import prefetch
from headstart.transfer.advice import Evidence, recommend
from headstart.transfer.batch_norm_statistics import batch_moments
from headstart.transfer.imagenet_distance import imagenet_distance, nearest_classes
from headstart.transfer.learning_curve import LearningCurve, measure_learning_curve
from headstart.transfer.paired_scores import ClassifierScore, SharedFolds, better_than
from headstart.transfer.random_weights import randomize_weights
from headstart.transfer.result import TransferReport
from headstart.types import (
    Floats,
    Pixels,
    ProgressBarFactory,
    ProgressCallback,
    no_progress_bars,
)

IMAGES: Final = 2_000
"""Default number of images to measure on: enough for intervals of one or two percentage points."""
_MOMENTS: Final = 128
"""Images to measure moments on; the standard error is then 1/11 of their spread."""


def measure_transfer(
    dataset: ImageDataset,
    extractor: Extractor,
    *,
    images: int = IMAGES,
    seed: int = 0,
    named: str | None = None,
    options: Mapping[str, str] | None = None,
    watch: ProgressBarFactory = no_progress_bars,
) -> TransferReport:
    """Measure how well a backbone transfers to a data set.

    Args:
        dataset: labeled images; if it is split, only the training part is used, so that the test
            part stays untouched.
        extractor: extractor of the backbone to measure.
        images: about how many images to measure on at most, sampled in the proportions of the
            classes by file contents.
        seed: random seed of folds, samples and random weights.
        named: the data set as written in the recommended command; its name by default.
        options: further options of the recommended command, with their values.
        watch: creates progress bars; none by default.

    Raises:
        DataError: fewer than two classes have a readable image, or there are too few images to
            cross-validate.
        BackboneError: the backbone's weights cannot be replaced by random ones.
    """
    started = time.perf_counter()
    backbone = extractor.backbone
    sample = _sample(dataset, extractor, images, seed, watch("images", "images"))
    used, folds = sample.images, sample.folds
    selection, stages, chosen = folds.score_stages(
        sample.values, watch("choosing stages", "candidates")
    )
    read, pixels = _read(used.paths, backbone, watch("reading", "images"))
    random_stages, random = _score_random_weights(sample, extractor, seed, watch)
    shape = (THUMBNAIL, THUMBNAIL, 3)
    baselines = (
        folds.score_plain("raw pixels", read[0], watch("raw pixels", "classifiers"), shape=shape),
        folds.score_plain("descriptors", read[1], watch("descriptors", "classifiers")),
        random,
    )
    curve = _learning_curve(sample, selection, seed, watch("learning curve", "sizes"))
    last = stages[-1]
    advice = recommend(
        Evidence(
            images=sample.available,
            classes=len(used.classes),
            accuracy=chosen.accuracy.value,
            stages=tuple(sample.values),
            chosen=selection.candidate.stages,
            stage_gain=chosen.minus(last),
            beaten_by=tuple(one.name for one in better_than(last, baselines)),
            matched_by=tuple(
                one.name for one in baselines if one.accuracy.value >= chosen.accuracy.value
            ),
            sample_cost=curve.sample_cost,
        ),
        data=named or dataset.name,
        options=options,
        backbone=backbone.name,
        known=list_backbones(),
    )
    return TransferReport(
        data=dataset.name,
        backbone=backbone.name,
        classes=used.classes,
        available=sample.available,
        folds=folds.count,
        seed=seed,
        stages=stages,
        chosen=chosen,
        chosen_stages=selection.candidate.stages,
        baselines=baselines,
        random_stages=random_stages,
        distance=imagenet_distance(backbone, batch_moments(backbone, pixels), len(pixels)),
        nearest_classes=None
        if sample.logits is None
        else nearest_classes(sample.logits, used.labels, used.classes, backbone.labels),
        curve=curve,
        advice=advice,
        skipped=used.skipped,
        conflicts=used.conflicts,
        series=used.series,
        duplicates=used.duplicates,
        seconds=time.perf_counter() - started,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Sample:
    """The images used for all measurements."""

    images: EvaluationImages
    available: int  # number of images that the sample was drawn from
    values: Mapping[str, Floats]  # (N, width) features by stage, shallow to deep
    logits: Floats | None  # (N, M) of the network's own classifier; None if it has no classes
    folds: SharedFolds


def _sample(
    dataset: ImageDataset, extractor: Extractor, size: int, seed: int, progress: ProgressCallback
) -> _Sample:
    """Extract the features of all images, and draw a sample in the proportions of the classes."""
    learned = train_test_parts(dataset)
    backbone = extractor.backbone
    names = [stage.name for stage in backbone.stages]
    wanted = [*names, LOGITS] if backbone.labels else names
    features = extractor.extract(learned.paths, stages=wanted, progress=progress)
    available = EvaluationImages.of(learned, features, seed)
    images = available.sample(size, seed)
    return _Sample(
        images=images,
        available=len(available),
        values={name: features.values[name][images.rows] for name in names},
        logits=features.values[LOGITS][images.rows] if backbone.labels else None,
        folds=SharedFolds.of(images, seed=seed),
    )


def _score_random_weights(
    sample: _Sample, extractor: Extractor, seed: int, bar: ProgressBarFactory
) -> tuple[tuple[ClassifierScore, ...], ClassifierScore]:
    """Score the stages of the same network with random weights, and those chosen among them."""
    blank = extractor.with_backbone(randomize_weights(extractor.backbone, seed=seed))
    values = blank.extract(sample.images.paths, progress=bar("random weights", "images")).values
    _, stages, chosen = sample.folds.score_stages(
        values, bar("choosing stages of random weights", "candidates")
    )
    return stages, replace(chosen, name="random weights")


def _learning_curve(
    sample: _Sample, selection: Selection, seed: int, progress: ProgressCallback
) -> LearningCurve:
    images, stages = sample.images, selection.candidate
    widths = [sample.values[stage].shape[1] for stage in stages.stages]
    return measure_learning_curve(
        LabeledFeatures(stages.gather(sample.values), images.labels, len(images.classes), widths),
        images.keys,
        sample.folds.folds,
        family=LogisticFamily(),
        available=sample.available,
        seed=seed,
        progress=progress,
    )


def _read(
    paths: Sequence[Path], backbone: Backbone, progress: ProgressCallback
) -> tuple[tuple[Floats, Floats], Pixels]:
    """Return thumbnails and descriptors of all images, and the pixels of the first ones."""

    def read(place: int) -> tuple[Floats, Floats, Pixels | None]:
        pixels = decode_and_prepare(paths[place], backbone.preprocessing)
        return thumbnail(pixels).ravel(), describe(pixels), pixels if place < _MOMENTS else None

    found = []
    for place, image in prefetch(read, range(len(paths))):
        found.append(image)
        progress(place + 1, len(paths))
    thumbnails, descriptors, pixels = zip(*found, strict=True)
    return (np.stack(thumbnails), _balance(np.stack(descriptors))), np.stack(pixels[:_MOMENTS])


def _balance(descriptors: Floats) -> Floats:
    """Center descriptors, and scale color, texture and shape to the same variance."""
    ends = np.cumsum(BLOCKS)
    parts = []
    for part in np.split(descriptors, ends[:-1], axis=1):
        centered = part - part.mean(axis=0)
        parts.append(centered / max(1e-6, float(np.sqrt(np.square(centered).sum(axis=1).mean()))))
    return np.concatenate(parts, axis=1)
