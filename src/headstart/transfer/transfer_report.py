"""How well a pre-trained network transfers to some images, and what to do next.

All classifiers are tested on the same folds of the same images, which depend on nothing but the
contents of the files. So they are compared image by image, and every gain has the interval of a
paired difference.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from headstart.backbones import Backbone, list_backbones
from headstart.backbones.backbone import LOGITS
from headstart.datasets import ImageDataset
from headstart.datasets.splits import draw
from headstart.evaluation.metrics import ProportionDifference, paired_difference
from headstart.features.extractor import Extractor
from headstart.heads.logistic import LogisticFamily
from headstart.images.decode import decode, read_bytes
from headstart.images.descriptors import BLOCKS, describe, thumbnail
from headstart.images.preprocessing import prepare
from headstart.models.train_test_split import TrainTestSplit, usable
from headstart.system.prefetch import prefetched
from headstart.transfer import learning_curve
from headstart.transfer.advice import Advice, Evidence, judge
from headstart.transfer.batch_norm_statistics import batch_moments
from headstart.transfer.imagenet_distance import (
    ImageNetDistance,
    NearestClasses,
    distance,
    likeness,
)
from headstart.transfer.learning_curve import LearningCurve
from headstart.transfer.paired_scores import ClassifierScore, contest_of
from headstart.transfer.random_weights import untrained
from headstart.types import (
    Conflict,
    Floats,
    Labels,
    Pixels,
    ProgressBarFactory,
    ProgressCallback,
    Skipped,
    no_progress_bars,
)

IMAGES: Final = 2_000
"""Images that are measured on, unless asked otherwise: enough for intervals of a point or two."""
_MOMENTS: Final = 128
"""Images whose moments are measured; their standard error is then 1/11 of the images' spread."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TransferReport:
    """What was found.

    Attributes:
        data: name of the data set.
        backbone: name of the network.
        classes: K names.
        available: images that could be used.
        folds: of the cross-validation.
        seed: of the folds and of all that is drawn.
        stages: a head on each single stage, shallow to deep; the last one is the last layer.
        chosen: the head where it was chosen to grow, chosen anew for every fold.
        grown_on: the stages that were chosen on all images.
        baselines: raw pixels, descriptors, and the same network with random weights.
        random_stages: a head on each stage of the latter.
        distance: from the pre-training data; None where the network stored nothing of them.
        likeness: what the network takes the images for; None where it has no classes.
        curve: accuracy against the number of training images.
        verdict: what to do next.
        skipped: files that could not be used.
        conflicts: the same picture with two labels; none was used.
        duplicates: copies that were left out.
        seconds: of everything.
    """

    data: str
    backbone: str
    classes: tuple[str, ...]
    available: int
    folds: int
    seed: int
    stages: tuple[ClassifierScore, ...]
    chosen: ClassifierScore
    grown_on: tuple[str, ...]
    baselines: tuple[ClassifierScore, ...]
    random_stages: tuple[ClassifierScore, ...]
    distance: ImageNetDistance | None
    likeness: NearestClasses | None
    curve: LearningCurve
    verdict: Advice
    skipped: tuple[Skipped, ...]
    conflicts: tuple[Conflict, ...]
    duplicates: int
    seconds: float

    @property
    def last(self) -> ClassifierScore:
        """The head on the last layer."""
        return self.stages[-1]

    @property
    def images(self) -> int:
        """How many were measured on."""
        return len(self.chosen.correct)

    @property
    def gain(self) -> ProportionDifference:
        """Of pre-training: the chosen head over that on the network with random weights."""
        return paired_difference(self.chosen.correct, self.baselines[-1].correct)

    def ahead(self, of: ClassifierScore) -> tuple[ClassifierScore, ...]:
        """The baselines that are better, by more than the interval of the difference."""
        return beating(self.baselines, of)

    def as_dict(self) -> dict[str, Any]:
        """All numbers, as JSON knows them; always the same keys.

        `stages`, `chosen`, `raw_pixels`, `descriptors` and `random_weights` hold accuracy,
        interval and images each; the last three also `over_last` and `over_chosen`, which are
        differences of accuracies, as `gain` and `graft_gain` are: value and 95% interval.
        `distance` is null where the network has no batch normalization, with the reason in
        `distance_unknown`; `nearest_classes` is null where it has no classes of its own;
        `learning_curve.fit` is null with fewer than three sizes, and
        `learning_curve.images_for_one_point.images` where no number of images is likely to do.
        """
        raw, descriptors, random = self.baselines
        return {
            "data": self.data,
            "backbone": self.backbone,
            "images": self.images,
            "available": self.available,
            "classes": list(self.classes),
            "folds": self.folds,
            "seed": self.seed,
            "stages": [{"name": one.name, **one.as_dict()} for one in self.stages],
            "chosen": {"stages": list(self.grown_on), **self.chosen.as_dict()},
            "graft_gain": _difference(self.chosen, self.last),
            "raw_pixels": {"classifier": raw.detail, **self._compared(raw)},
            "descriptors": {"classifier": descriptors.detail, **self._compared(descriptors)},
            "random_weights": {
                "stages": [{"name": one.name, **one.as_dict()} for one in self.random_stages],
                "chosen": random.detail.split(" + "),
                **self._compared(random),
            },
            "gain": _difference(self.chosen, random),
            "negative_transfer": {
                "found": bool(self.ahead(self.last)),
                "beat_last": [_key(one) for one in self.ahead(self.last)],
                "beat_chosen": [_key(one) for one in self.ahead(self.chosen)],
            },
            "distance": self.distance and self.distance.as_dict(),
            "distance_unknown": None if self.distance else _NO_MOMENTS,
            "nearest_classes": self.likeness and self.likeness.as_dict(),
            "learning_curve": self.curve.as_dict(),
            "verdict": self.verdict.as_dict(),
            "skipped": [{"path": one.path, "reason": one.reason} for one in self.skipped],
            "conflicts": [
                {"paths": list(one.paths), "labels": list(one.labels)} for one in self.conflicts
            ],
            "duplicates": self.duplicates,
            "seconds": self.seconds,
        }

    def _compared(self, one: ClassifierScore) -> dict[str, Any]:
        return {
            **one.as_dict(),
            "over_last": _difference(one, self.last),
            "over_chosen": _difference(one, self.chosen),
        }


_NO_MOMENTS = "the network has no batch normalization, and so stored nothing of its training images"


def _difference(first: ClassifierScore, second: ClassifierScore) -> dict[str, Any]:
    found = paired_difference(first.correct, second.correct)
    return {"value": found.value, "interval": [found.low, found.high]}


def _key(one: ClassifierScore) -> str:
    return one.name.replace(" ", "_")


def beating(some: Sequence[ClassifierScore], of: ClassifierScore) -> tuple[ClassifierScore, ...]:
    """Those that are better than another, by more than the interval of the difference."""
    return tuple(one for one in some if paired_difference(one.correct, of.correct).low > 0)


def measure_transfer(
    dataset: ImageDataset,
    extractor: Extractor,
    *,
    images: int = IMAGES,
    seed: int = 0,
    named: str | None = None,
    options: Sequence[str] = (),
    watch: ProgressBarFactory | None = None,
) -> TransferReport:
    """Measure how well a backbone transfers to a data set.

    Args:
        dataset: images with labels; of data with parts only the training part is looked at, so
            that the test stays untouched.
        extractor: the backbone.
        images: about how many to measure on at most, drawn evenly from the classes by the
            contents of the files.
        seed: of the folds, the draws and the random weights.
        named: what the recommended command calls the data; by default their name.
        options: further arguments that it needs.
        watch: gives the progress bars.

    Raises:
        DataError: fewer than two classes with a readable image are left, or too few images to
            cross-validate.
        BackboneError: the backbone takes no other weights.
    """
    started = time.perf_counter()
    bar = watch or no_progress_bars
    backbone = extractor.backbone
    learned = usable(dataset)
    names = [stage.name for stage in backbone.stages]
    wanted = [*names, LOGITS] if backbone.labels else names
    found = extractor.extract(learned.paths, stages=wanted, progress=bar("images", "images"))
    learned = learned.subset(found.rows)
    cut = TrainTestSplit.of(learned, found, hold_out=0.0, seed=seed)
    rows = _drawn([found.digests[row] for row in cut.train], cut.labels, images, seed)
    task = contest_of(cut, rows, found.digests, seed)
    at = cut.train[rows]
    paths = [learned.paths[row] for row in at]
    values = {name: found.values[name][at] for name in names}
    selection, stages, chosen = task.grown(values, bar("choosing stages", "candidates"))
    read, pixels = _read(paths, backbone, bar("reading", "images"))
    blank = replace(extractor, backbone=untrained(backbone, seed=seed), _engine=None)
    random_values = blank.extract(paths, progress=bar("random weights", "images")).values
    drawn, random_stages, random = task.grown(
        random_values, bar("choosing stages of random weights", "candidates")
    )
    baselines = (
        task.plain("raw pixels", read[0], bar("raw pixels", "classifiers"), pixels=True),
        task.plain("descriptors", read[1], bar("descriptors", "classifiers")),
        replace(random, name="random weights", detail=" + ".join(drawn.candidate.stages)),
    )
    curve = learning_curve.measure(
        selection.candidate.gather(values),
        task.labels,
        task.digests,
        task.folds,
        family=LogisticFamily(),
        classes=len(cut.classes),
        blocks=[values[stage].shape[1] for stage in selection.candidate.stages],
        at=len(cut.train),
        seed=seed,
        progress=bar("learning curve", "sizes"),
    )
    last = stages[-1]
    verdict = judge(
        Evidence(
            images=len(cut.train),
            classes=len(cut.classes),
            accuracy=chosen.accuracy,
            stages=tuple(names),
            chosen=selection.candidate.stages,
            graft_gain=paired_difference(chosen.correct, last.correct),
            beaten_by=tuple(one.name for one in beating(baselines, last)),
            price=curve.price,
        ),
        data=named or dataset.name,
        options=options,
        backbone=backbone.name,
        known=list_backbones(),
    )
    return TransferReport(
        data=dataset.name,
        backbone=backbone.name,
        classes=cut.classes,
        available=len(cut.train),
        folds=task.count,
        seed=seed,
        stages=stages,
        chosen=chosen,
        grown_on=selection.candidate.stages,
        baselines=baselines,
        random_stages=random_stages,
        distance=distance(backbone, batch_moments(backbone, pixels), len(pixels)),
        likeness=likeness(found.values[LOGITS][at], task.labels, cut.classes, backbone.labels)
        if backbone.labels
        else None,
        curve=curve,
        verdict=verdict,
        skipped=(*learned.skipped, *found.skipped, *cut.skipped),
        conflicts=cut.curated.conflicts,
        duplicates=cut.curated.duplicates,
        seconds=time.perf_counter() - started,
    )


def _drawn(digests: Sequence[str], labels: Labels, images: int, seed: int) -> Labels:
    """Rows of about so many images, from each class the same share and at least one."""
    if len(labels) <= images:
        return np.arange(len(labels))
    return np.flatnonzero(draw(digests, labels, size=images, seed=seed))


def _read(
    paths: Sequence[Path], backbone: Backbone, progress: ProgressCallback
) -> tuple[tuple[Floats, Floats], Pixels]:
    """Thumbnails and descriptors of all pictures, and some of the pictures as they are."""

    def read(place: int) -> tuple[Floats, Floats, Pixels | None]:
        image = decode(read_bytes(paths[place]), least=backbone.preprocessing.least)
        pixels = prepare(image, backbone.preprocessing)
        return thumbnail(pixels).ravel(), describe(pixels), pixels if place < _MOMENTS else None

    small, described, kept = [], [], []
    for place, (thumb, numbers, pixels) in prefetched(read, range(len(paths))):
        small.append(thumb)
        described.append(numbers)
        if pixels is not None:
            kept.append(pixels)
        progress(place + 1, len(paths))
    return (np.stack(small), _balanced(np.stack(described))), np.stack(kept)


def _balanced(described: Floats) -> Floats:
    """Descriptors with their mean at 0, color, texture and shape varying by the same amount."""
    ends = np.cumsum(BLOCKS)
    parts = []
    for part in np.split(described, ends[:-1], axis=1):
        centered = part - part.mean(axis=0)
        parts.append(centered / max(1e-6, float(np.sqrt(np.square(centered).sum(axis=1).mean()))))
    return np.concatenate(parts, axis=1)
