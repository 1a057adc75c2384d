"""Divide a data set into training and test images, without duplicates or conflicting labels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from headstart.backbones.stages import LOGITS
from headstart.datasets import ImageDataset
from headstart.datasets.duplicates import Deduplication, deduplicate
from headstart.datasets.splits import holdout_mask
from headstart.errors import DataError
from headstart.features.extraction import Features
from headstart.features.extractor import Extractor
from headstart.features.views import view_and_stage
from headstart.models.fit_settings import FitSettings
from headstart.series.series import Series, series_of
from headstart.system.text import count_reasons, pluralize
from headstart.types import Labels, ProgressCallback, Skipped, Split, no_progress


def train_test_parts(dataset: ImageDataset) -> ImageDataset:
    """Return the data set with at most two parts: one to train on, one to test on.

    The validation part is the test part; if there is a test part as well, it is added to the
    training part, since cross-validation selects stages and settings.

    Raises:
        DataError: The data set has parts, but no training part.
    """
    if not dataset.splits:
        return dataset
    if Split.TRAIN not in dataset.splits:
        raise DataError(
            f"{dataset.name} has no training part; put the training images in a folder named "
            "'train', or mark them 'train' in the table"
        )
    if Split.TEST not in dataset.splits or Split.VALIDATION not in dataset.splits:
        return dataset
    splits = tuple(s if s is Split.TEST else Split.TRAIN for s in dataset.splits)
    return replace(dataset, splits=splits)


def hold_out_warnings(
    dataset: ImageDataset, hold_out: float | None, *, setting: str = "hold_out"
) -> list[str]:
    """Return a sentence if nothing is held out since the data set has a test part; else nothing.

    `setting` is how the user gave `hold_out`, the share of the images that was asked for.
    """
    if not hold_out or not dataset.splits:
        return []
    return [f"{dataset.name} has its own test images, so {setting} has no effect"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainTestSplit:
    """Rows of a data set to train on and to test on.

    Attributes:
        curated: The rows that may be used: no duplicates, no conflicting labels.
        train_digests: Sorted digests of the training files and of all copies of them.
        train: (N,) training rows, sorted by digest.
        labels: (N,) their labels, as indices into `classes`.
        test: (M,) test rows, sorted by digest; empty if the accuracy is to be cross-validated.
        test_labels: (M,) their labels, as indices into `classes`.
        classes: Names of the classes that have a training image, sorted.
        series: Which of the N training images belong together.
        test_series: Which of the M test images belong together.
        new_scene: (M,) bool, whether a test image shares no series with a training image.
        skipped: Test images of other classes, with the reason.
    """

    curated: Deduplication
    train_digests: list[str]
    train: Labels
    labels: Labels
    test: Labels
    test_labels: Labels
    classes: tuple[str, ...]
    series: Series
    test_series: Series
    new_scene: np.ndarray
    skipped: tuple[Skipped, ...]

    @classmethod
    def of(
        cls, dataset: ImageDataset, features: Features, *, hold_out: float, seed: int
    ) -> TrainTestSplit:
        """Exclude duplicates and conflicts, and divide the rest.

        Args:
            dataset: What `train_test_parts` returned, without the unreadable files.
            features: The features of its images, which identify duplicates.
            hold_out: Share of the images to test on, in [0, 1), if the data set has no test part.
            seed: Random seed of that share.

        Raises:
            DataError: Fewer than two classes have a training image.
        """
        parts = dataset.splits or (Split.TRAIN,) * len(dataset)
        in_test_part = np.array([part is not Split.TRAIN for part in parts], dtype=bool)
        identities = features.identities(dataset.paths)
        curated = deduplicate(
            dataset,
            features.digests,
            identities=identities,
            preferred=in_test_part if dataset.splits else None,
        )
        rows = curated.rows
        series = series_of(dataset, features, rows, seed=seed)
        if dataset.splits:
            held_out = in_test_part[rows]
        else:
            keys = series.keys([features.digests[row] for row in rows])
            held_out = holdout_mask(keys, dataset.labels[rows], fraction=hold_out, seed=seed)
        train, test = rows[~held_out], rows[held_out]
        present = np.unique(dataset.labels[train])
        if len(present) < 2:
            raise DataError(
                _too_few_classes(dataset, present, features, identities, curated, in_test_part)
            )
        known = np.isin(dataset.labels[test], present)
        trained = {identities[row] for row in train}
        return cls(
            curated=curated,
            train_digests=sorted(
                {d for d, name in zip(features.digests, identities, strict=True) if name in trained}
            ),
            train=train,
            labels=np.searchsorted(present, dataset.labels[train]),
            test=test[known],
            test_labels=np.searchsorted(present, dataset.labels[test[known]]),
            classes=tuple(dataset.classes[index] for index in present),
            series=series.subset(np.flatnonzero(~held_out)),
            test_series=series.subset(np.flatnonzero(held_out)[known]),
            new_scene=~np.isin(series.groups[held_out], series.groups[~held_out])[known],
            skipped=tuple(_untrained_class(dataset, row) for row in test[~known]),
        )

    def keys(self, features: Features) -> list[str]:
        """Return N strings that decide how training images are divided further.

        They are the digests of the files; the images of a series share one.
        """
        return self.series.keys([features.digests[row] for row in self.train])


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitFeatures:
    """The features of a data set, divided into training and test.

    Attributes:
        dataset: The images that can be read.
        features: Their features, row by row.
        split: Which rows to train on and to test on.
    """

    dataset: ImageDataset
    features: Features
    split: TrainTestSplit

    @classmethod
    def extract(
        cls,
        dataset: ImageDataset,
        extractor: Extractor,
        settings: FitSettings,
        *,
        progress: ProgressCallback = no_progress,
    ) -> SplitFeatures:
        """Compute the features of all stages of all views, and the logits if named; divide.

        Raises:
            DataError: Fewer than two classes have a readable training image.
        """
        dataset = train_test_parts(dataset)
        stages = [name for name in extractor.widths() if view_and_stage(name)[1] != LOGITS]
        if LOGITS in settings.stages:
            stages.append(LOGITS)
        features = extractor.extract(dataset.paths, stages=stages, progress=progress)
        dataset = dataset.subset(features.rows)
        split = TrainTestSplit.of(
            dataset, features.own(), hold_out=settings.hold_out, seed=settings.seed
        )
        return cls(dataset=dataset, features=features, split=split)

    @property
    def weights(self) -> np.ndarray:
        """(N,) the given weights of the N training images; empty if none are given."""
        given = np.array(self.dataset.weights)
        return given[self.split.train] if len(given) else given

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """Files that could not be used, with reasons."""
        return (*self.dataset.skipped, *self.features.skipped, *self.split.skipped)


def _untrained_class(dataset: ImageDataset, row: int) -> Skipped:
    name = dataset.classes[dataset.labels[row]]
    return Skipped(str(dataset.paths[row]), f"no training image of its class ({name})")


def _too_few_classes(
    dataset: ImageDataset,
    present: Labels,
    features: Features,
    identities: list[str],
    curated: Deduplication,
    in_test_part: np.ndarray,
) -> str:
    """Return the message for fewer than two classes, with the possible causes."""
    training = {identities[row] for row in np.flatnonzero(~in_test_part)}
    tested = curated.rows[in_test_part[curated.rows]]
    shared = sum(identities[row] in training for row in tested)
    names = [dataset.classes[index] for index in present]
    left = f"only the class {names[0]!r} has a training image" if names else "no training images"
    skipped = (*dataset.skipped, *features.skipped)
    files = pluralize(len(skipped) + len(features), "file")
    reasons = f" ({count_reasons(one.reason for one in skipped)})" if skipped else ""
    causes = []
    if skipped:
        causes.append(f"{len(skipped):,} of {files} could not be used{reasons}")
    if count := len(curated.conflicts):
        causes.append(pluralize(count, "image has", "images have") + " two different labels")
    if shared:
        causes.append(
            pluralize(shared, "test image is", "test images are") + " also in the training part"
        )
    facts = "; ".join([left, *causes])
    return f"{dataset.name}: {facts}; give readable images of at least two classes"
