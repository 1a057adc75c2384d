"""How well a pre-trained network transfers to some images, and what to do next.

All classifiers are tested on the same folds of the same images, which depend on nothing but the
contents of the files. So they are compared image by image, and every gain has the interval of a
paired difference.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from headstart import learning_curve
from headstart.backbones import Backbone, list_backbones
from headstart.baselines import best_of
from headstart.datasets import ImageDataset
from headstart.descriptors import BLOCKS, THUMBNAIL, describe, thumbnail
from headstart.engines.moments import batch_moments
from headstart.errors import DataError
from headstart.familiarity import distance, likeness
from headstart.features import LOGITS, Extractor
from headstart.heads.families import LogisticFamily
from headstart.heads.selection import MIN_FOLDS, Selection, candidates, fold_count, select
from headstart.images import decode, read_bytes
from headstart.metrics import paired_difference
from headstart.prefetch import prefetched
from headstart.preprocessing import prepare
from headstart.splits import fold_of, holdout
from headstart.training import Cut, Recipe, learnable
from headstart.transfer_result import Scored, Transfer, beating
from headstart.types import Floats, Labels, Pixels
from headstart.untrained import untrained
from headstart.verdict import Evidence, judge

IMAGES: Final = 2_000
"""Images that are measured on, unless asked otherwise: enough for intervals of a point or two."""
_MOMENTS: Final = 128
"""Images whose moments are measured; their standard error is then 1/11 of the images' spread."""

Progress = Callable[[int, int], None]
Watch = Callable[[str, str], Progress]
"""Asked for a progress bar by what is done and the unit of the rate."""


def measure_transfer(
    dataset: ImageDataset,
    extractor: Extractor,
    *,
    images: int = IMAGES,
    seed: int = 0,
    named: str | None = None,
    options: Sequence[str] = (),
    watch: Watch | None = None,
) -> Transfer:
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
    bar = watch or _unwatched
    backbone = extractor.backbone
    usable = learnable(dataset)
    names = [stage.name for stage in backbone.stages]
    wanted = [*names, LOGITS] if backbone.labels else names
    found = extractor.extract(usable.paths, stages=wanted, progress=bar("images", "images"))
    usable = usable.subset(found.rows)
    cut = Cut.of(usable, found, Recipe(seed=seed))
    rows = _drawn([found.digests[row] for row in cut.train], cut.labels, images, seed)
    task = _task(cut, rows, found.digests, seed)
    at = cut.train[rows]
    paths = [usable.paths[row] for row in at]
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
    return Transfer(
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
        skipped=(*usable.skipped, *found.skipped, *cut.skipped),
        conflicts=cut.curated.conflicts,
        duplicates=cut.curated.duplicates,
        seconds=time.perf_counter() - started,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """What all classifiers have in common.

    Attributes:
        labels: (N,).
        digests: N.
        folds: (N,).
        count: of the folds.
        classes: K.
    """

    labels: Labels
    digests: list[str]
    folds: Labels
    count: int
    classes: int

    def grown(
        self, values: Mapping[str, Floats], progress: Progress
    ) -> tuple[Selection, tuple[Scored, ...], Scored]:
        """Heads on every stage, and on the stages that are chosen."""
        selection = select(
            values,
            self.labels,
            self.folds,
            family=LogisticFamily(),
            choices=candidates({name: part.shape[1] for name, part in values.items()}),
            classes=self.classes,
            row_weights=np.ones(len(self.labels), np.float32),
            progress=progress,
        )
        assert selection.probabilities is not None  # there are folds
        right = selection.probabilities.argmax(axis=1) == self.labels
        stages = tuple(
            Scored(name=name, detail=name, correct=correct)
            for name, correct in selection.correct_by_stage.items()
        )
        detail = " + ".join(selection.candidate.stages)
        return selection, stages, Scored(name="chosen", detail=detail, correct=right)

    def plain(self, name: str, X: Floats, progress: Progress, *, pixels: bool = False) -> Scored:
        """The best plain classifier on some numbers a picture."""
        best = best_of(
            X,
            self.labels,
            self.folds,
            classes=self.classes,
            shape=(THUMBNAIL, THUMBNAIL, 3) if pixels else None,
            progress=progress,
        )
        return Scored(name=name, detail=best.classifier, correct=best.correct)


def _drawn(digests: Sequence[str], labels: Labels, images: int, seed: int) -> Labels:
    """Rows of about so many images, from each class the same share and at least one."""
    if len(labels) <= images:
        return np.arange(len(labels))
    return np.flatnonzero(holdout(digests, labels, fraction=images / len(labels), seed=seed))


def _task(cut: Cut, rows: Labels, digests: Sequence[str], seed: int) -> _Task:
    labels = cut.labels[rows]
    own = [digests[row] for row in cut.train[rows]]
    count = fold_count(labels, classes=len(cut.classes))
    if count < MIN_FOLDS:
        raise DataError(
            f"{len(labels):,} images of {len(cut.classes):,} classes are too few to compare "
            f"classifiers by cross-validation; give at least {MIN_FOLDS} images of most classes"
        )
    folds = fold_of(own, labels, folds=count, seed=seed)
    return _Task(labels=labels, digests=own, folds=folds, count=count, classes=len(cut.classes))


def _read(
    paths: Sequence[Path], backbone: Backbone, progress: Progress
) -> tuple[tuple[Floats, Floats], Pixels]:
    """Thumbnails and descriptors of all pictures, and some of the pictures as they are."""

    def read(place: int) -> tuple[Floats, Floats, Pixels | None]:
        pixels = prepare(decode(read_bytes(paths[place])), backbone.preprocessing)
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
    """Descriptors with their mean at 0, colour, texture and shape varying by the same amount."""
    ends = np.cumsum(BLOCKS)
    parts = []
    for part in np.split(described, ends[:-1], axis=1):
        centred = part - part.mean(axis=0)
        parts.append(centred / max(1e-6, float(np.sqrt(np.square(centred).sum(axis=1).mean()))))
    return np.concatenate(parts, axis=1)


def _unwatched(what: str, unit: str) -> Progress:
    """Progress that nobody watches."""
    del what, unit

    def ignore(done: int, total: int) -> None:
        del done, total

    return ignore
