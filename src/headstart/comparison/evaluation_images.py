"""The images that classifiers are compared on."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np

from headstart.datasets import ImageDataset
from headstart.datasets.splits import stratified_sample
from headstart.features.extraction import Features
from headstart.models.train_test_split import TrainTestSplit
from headstart.series.series import SeriesSummary
from headstart.types import Conflict, Labels, Skipped


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EvaluationImages:
    """Distinct images with one label each.

    Attributes:
        rows: (N,) their rows in the features they were selected by, sorted by digest.
        paths: N image files.
        digests: N digests of the files' bytes.
        keys: N digests of which the images of a series share one; they decide the folds.
        labels: (N,) indices into `classes`.
        classes: K class names, sorted.
        series: the series among the images; None if there is none.
        duplicates: number of copies that were excluded.
        conflicts: identical files with different labels, which are excluded.
        skipped: files that could not be used, with reasons.
    """

    rows: Labels
    paths: tuple[Path, ...]
    digests: tuple[str, ...]
    keys: tuple[str, ...]
    labels: Labels
    classes: tuple[str, ...]
    series: SeriesSummary | None
    duplicates: int
    conflicts: tuple[Conflict, ...]
    skipped: tuple[Skipped, ...]

    def __len__(self) -> int:
        return len(self.paths)

    @classmethod
    def of(cls, dataset: ImageDataset, features: Features, seed: int) -> Self:
        """Select the training images of a data set whose features are given, without copies.

        Raises:
            DataError: fewer than two classes have an image.
        """
        skipped = (*dataset.skipped, *features.skipped)
        dataset = dataset.subset(features.rows)
        split = TrainTestSplit.of(dataset, features, hold_out=0.0, seed=seed)
        return cls(
            rows=split.train,
            paths=tuple(dataset.paths[row] for row in split.train),
            digests=tuple(features.digests[row] for row in split.train),
            keys=tuple(split.keys(features)),
            labels=split.labels,
            classes=split.classes,
            series=split.series.summary([dataset.paths[row] for row in split.train]),
            duplicates=split.curated.duplicates,
            conflicts=split.curated.conflicts,
            skipped=(*skipped, *split.skipped),
        )

    def sample(self, size: int, seed: int) -> Self:
        """Draw about `size` images, in the proportions of the classes; all if there are fewer."""
        if len(self) <= size:
            return self
        drawn = np.flatnonzero(stratified_sample(self.keys, self.labels, size=size, seed=seed))
        return replace(
            self,
            rows=self.rows[drawn],
            paths=tuple(self.paths[row] for row in drawn),
            digests=tuple(self.digests[row] for row in drawn),
            keys=tuple(self.keys[row] for row in drawn),
            labels=self.labels[drawn],
        )
