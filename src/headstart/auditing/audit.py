"""Audit labeled images: find what is probably wrong with them, without changing anything."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from headstart.auditing.background import SurroundingsScore, background_issues, score_surroundings
from headstart.auditing.confused_classes import confusion_issues
from headstart.auditing.copies import Copies, conflict_issues, copy_issues
from headstart.auditing.image_quality import quality_issues
from headstart.auditing.issue import Issue, IssueKind, LabeledImages, in_order
from headstart.auditing.measurements import measure_images
from headstart.auditing.outliers import outlier_issues
from headstart.auditing.series_issues import series_issues
from headstart.auditing.wrong_labels import (
    HEAD,
    LabelCheck,
    label_issues,
    label_probabilities,
    likely_classes,
)
from headstart.datasets import ImageDataset
from headstart.datasets.duplicates import deduplicate
from headstart.datasets.review import was_dropped
from headstart.datasets.splits import assign_folds, stratified_sample
from headstart.features.extraction import Features
from headstart.features.extractor import Extractor
from headstart.heads.candidates import candidates
from headstart.heads.rows import Rows
from headstart.heads.selection import MIN_FOLDS, fold_count
from headstart.models.fit import select_stages
from headstart.models.fit_settings import FitSettings
from headstart.series.series import Series, series_of
from headstart.series.union_find import UnionFind
from headstart.system.display import Plotted
from headstart.system.text import pluralize
from headstart.types import Labels, ProgressBarFactory, Skipped, no_progress_bars

_SAMPLE: Final = 3_000
_SAMPLE_PER_CLASS: Final = 20
"""Images that suffice to choose stages, and to compare the surroundings with the network."""
_DEEP: Final = 2
"""Number of the last stages whose features tell outliers."""
_TOP: Final = 3
"""Issues of each kind in the JSON document."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit(Plotted):
    """The findings about a data set.

    Attributes:
        data: Name of the data set.
        images: Number of readable images.
        classes: Number of classes.
        issues: What is probably wrong, by kind, the strongest evidence first.
        label_check: How probable the labels are; None with too few images to hold any out.
        surroundings: How well border and colors predict the classes; None with too few images.
        seconds: Duration of the audit.
    """

    data: str
    images: int
    classes: int
    issues: tuple[Issue, ...]
    label_check: LabelCheck | None
    surroundings: SurroundingsScore | None
    seconds: float

    def __repr__(self) -> str:
        return f"<Audit of {self.data}: {pluralize(len(self.issues), 'issue')}>"

    @property
    def counts(self) -> dict[str, int]:
        """Number of issues of each kind that occurs."""
        return dict(Counter(one.kind.value for one in self.issues))

    def of_kind(self, kind: IssueKind | str) -> list[Issue]:
        """Return the issues of one kind, the strongest evidence first."""
        return [one for one in self.issues if one.kind == kind]

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON document: counts by kind, and the strongest findings of each kind."""
        return {
            "data": self.data,
            "images": self.images,
            "classes": self.classes,
            "kinds": self.counts,
            "top": {kind: self.of_kind(kind)[:_TOP] for kind in self.counts},
            "surroundings": self.surroundings,
            "seconds": self.seconds,
        }


def audit(
    dataset: ImageDataset,
    extractor: Extractor,
    *,
    seed: int = 0,
    watch: ProgressBarFactory = no_progress_bars,
) -> Audit:
    """Search a data set for wrong labels, copies, outliers, unusable images and shortcuts.

    All parts of the data set are searched together.

    Args:
        dataset: Images with labels.
        extractor: Computes the features, or finds them in the store.
        seed: Random seed of the folds and samples.
        watch: Creates the progress bars.

    Raises:
        UnreadableImageError: No image can be read.
    """
    started = time.perf_counter()
    features = extractor.extract(dataset.paths, progress=watch("images", "images"))
    usable = dataset.subset(features.rows)
    measured = measure_images(usable.paths, progress=watch("pixels", "images"))
    images = LabeledImages.of(usable.subset(measured.rows))
    identities = features.identities(usable.paths)
    copies = Copies.of(
        measured.thumbnails,
        images.labels,
        [identities[row] for row in measured.rows],
        seed=seed,
    )
    deep = tuple(features.values[one.name] for one in extractor.backbone.stages[-_DEEP:])
    skipped = (*dataset.skipped, *features.skipped, *measured.skipped)
    issues = [
        *(_unreadable(one) for one in skipped if not was_dropped(one)),
        *quality_issues(images, measured),
        *outlier_issues(images, Rows(deep, measured.rows)),
    ]
    check = surroundings = None
    held_out = _HeldOut.of(usable, copies, features, measured.rows, seed=seed)
    outside = copies.outside(held_out.series, held_out.rows, images.labels)
    issues += copy_issues(images, outside)
    issues += series_issues(images, held_out.rows, held_out.series, copies=outside.groups)
    if held_out.folds is not None:
        check = held_out.check_labels(extractor, seed=seed, watch=watch)
        issues += label_issues(images, check)
        issues += confusion_issues(check.probabilities, check.labels, check.classes)
        if held_out.folds.max() + 1 >= MIN_FOLDS:
            sample = held_out.sample(seed)
            surroundings = score_surroundings(
                measured.surroundings[check.rows[sample]],
                check.labels[sample],
                held_out.folds[sample],
                check.probabilities[sample].argmax(axis=1),
                classes=len(check.classes),
            )
            issues += background_issues(surroundings, check.classes)
    issues += conflict_issues(images, copies, check.likely if check else {})
    return Audit(
        data=dataset.name,
        images=len(images.paths),
        classes=len(dataset.classes),
        issues=in_order(issues),
        label_check=check,
        surroundings=surroundings,
        seconds=time.perf_counter() - started,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _HeldOut:
    """Different images in folds that keep copies and series together.

    Attributes:
        rows: (N,) their rows among the readable images.
        values: Stage name -> their features.
        labels: (N,) indices into `classes`.
        classes: Names of the classes that have an image.
        series: Which of the images are of the same scene.
        keys: N digests, equal for copies and for images of a series.
        folds: (N,) fold of each image; None with too few images or classes.
        readable: Rows of the readable images among those that have features.
        conflicting: (M,) rows of images whose identical copies have other labels, one of each.
    """

    rows: Labels
    values: dict[str, Rows]
    labels: Labels
    classes: tuple[str, ...]
    series: Series
    keys: Sequence[str]
    folds: Labels | None
    readable: Labels
    conflicting: Labels

    @classmethod
    def of(
        cls,
        dataset: ImageDataset,
        copies: Copies,
        features: Features,
        readable: Labels,
        *,
        seed: int,
    ) -> "_HeldOut":
        """Find series, and assign folds.

        Args:
            dataset: The images that have features.
            copies: The copies among the readable ones.
            features: The features, row by row.
            readable: Rows of the images that could be read again.
            seed: Random seed of the folds.
        """
        digests = [features.digests[row] for row in readable]
        images = dataset.subset(readable)
        rows = deduplicate(images, digests, identities=copies.identities).rows
        present, labels = np.unique(images.labels[rows], return_inverse=True)
        series = series_of(dataset, features, readable[rows], seed=seed)
        together = UnionFind(len(rows))
        together.link(enumerate(series.groups.tolist()))
        first: dict[int, int] = {}
        together.link(
            (place, first.setdefault(group, place))
            for place, group in enumerate(copies.groups[rows].tolist())
        )
        groups = Series(source=series.source, groups=together.groups())
        keys = groups.keys([digests[row] for row in rows])
        count = fold_count(labels, classes=len(present), keys=keys) if len(present) > 1 else 0
        return cls(
            rows=rows,
            values={
                stage: Rows((array,), readable[rows]) for stage, array in features.values.items()
            },
            labels=labels,
            classes=tuple(dataset.classes[index] for index in present),
            series=series,
            keys=keys,
            folds=assign_folds(keys, labels, folds=count, seed=seed) if count else None,
            readable=readable,
            conflicting=np.array([one[0] for one in copies.conflicts(images.labels)], np.int64),
        )

    def sample(self, seed: int) -> Labels:
        """Return the places of a stratified sample; of all images if they are few."""
        size = max(_SAMPLE, _SAMPLE_PER_CLASS * len(self.classes))
        if len(self.rows) <= size:
            return np.arange(len(self.rows))
        return np.flatnonzero(stratified_sample(self.keys, self.labels, size=size, seed=seed))

    def check_labels(
        self, extractor: Extractor, *, seed: int, watch: ProgressBarFactory
    ) -> LabelCheck:
        """Choose stages on a sample, and compute how probable each label is."""
        sample = self.sample(seed)
        selection = select_stages(
            {stage: rows.picked(sample).whole() for stage, rows in self.values.items()},
            self.labels[sample],
            [self.keys[place] for place in sample],
            FitSettings(head=HEAD, seed=seed),
            choices=candidates({stage: rows.widths[0] for stage, rows in self.values.items()}),
            classes=len(self.classes),
            cache=extractor.cache,
            progress=watch("choosing stages", "candidates"),
        )
        stages = selection.candidate.stages
        chosen = [self.values[stage] for stage in stages]
        assert self.folds is not None
        parts = tuple(part for rows in chosen for part in rows.parts)
        features = Rows(parts, chosen[0].chosen)
        found = label_probabilities(
            features,
            self.labels,
            self.folds,
            setting=selection.setting,
            classes=len(self.classes),
            progress=watch("checking labels", "rounds"),
        )
        likely: dict[int, str] = {}
        if len(self.conflicting):
            others = Rows(parts, self.readable[self.conflicting])
            setting = selection.setting
            best = likely_classes(features, self.labels, found, others, setting=setting)
            likely = {
                row: self.classes[index]
                for row, index in zip(self.conflicting.tolist(), best.tolist(), strict=True)
            }
        return LabelCheck(
            stages=stages,
            rows=self.rows,
            labels=self.labels,
            classes=self.classes,
            probabilities=found,
            likely=likely,
        )


def _unreadable(skipped: Skipped) -> Issue:
    return Issue(
        path=skipped.path, kind=IssueKind.UNREADABLE, score=1.0, label="", evidence=skipped.reason
    )
