"""A backbone that takes part in a comparison, and the images that all are measured on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np

from headstart.backbones import Backbone, list_backbones
from headstart.comparison.cost import Cost
from headstart.comparison.result import BackboneResult
from headstart.datasets import ImageDataset
from headstart.errors import DataError, MissingExtraError
from headstart.evaluation.paired_tests import Right
from headstart.features.extractor import Extractor, Features
from headstart.heads.candidates import candidates
from headstart.models.fit import FitSettings, choose_stages
from headstart.models.train_test_split import TrainTestSplit
from headstart.types import Conflict, Labels, ProgressCallback, Skipped


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EvaluationImages:
    """Distinct images with one label each.

    Attributes:
        paths: N files, sorted by digest.
        digests: N digests of the files' bytes.
        labels: (N,) indices into `classes`.
        classes: K names.
        duplicates: number of copies that were left out.
        conflicts: identical files with different labels; none is used.
        skipped: files that could not be used, with reasons.
    """

    paths: tuple[Path, ...]
    digests: tuple[str, ...]
    labels: Labels
    classes: tuple[str, ...]
    duplicates: int
    conflicts: tuple[Conflict, ...]
    skipped: tuple[Skipped, ...]

    def __len__(self) -> int:
        return len(self.paths)

    @classmethod
    def of(cls, dataset: ImageDataset, features: Features, seed: int) -> Self:
        """Select the images of a data set whose features are given, without copies.

        Raises:
            DataError: fewer than two classes have an image.
        """
        skipped = (*dataset.skipped, *features.skipped)
        dataset = dataset.subset(features.rows)
        split = TrainTestSplit.of(dataset, features, hold_out=0.0, seed=seed)
        return cls(
            paths=tuple(dataset.paths[row] for row in split.train),
            digests=tuple(features.digests[row] for row in split.train),
            labels=split.labels,
            classes=split.classes,
            duplicates=split.curated.duplicates,
            conflicts=split.curated.conflicts,
            skipped=(*skipped, *split.skipped),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BackboneTrial:
    """A backbone and its latest measurement.

    Attributes:
        extractor: the backbone, ready to run.
        cost: of running it.
        on_images: progress over the files.
        correct: (n,) whether each image of the latest measurement is predicted right; None before.
        stages: the stages that the head uses, shallow to deep.
        folds: number of folds of the cross-validation.
        computed: number of images that were run through the network so far.
        seconds: time that this took.
    """

    extractor: Extractor
    cost: Cost
    on_images: ProgressCallback | None = None
    correct: Right | None = None
    stages: tuple[str, ...] = ()
    folds: int = 0
    computed: int = 0
    seconds: float = 0.0

    @property
    def name(self) -> str:
        """Name of the backbone."""
        return self.extractor.backbone.name

    def extract(self, paths: Sequence[Path]) -> tuple[Features, Self]:
        """Extract features of files, and add what was computed to the trial."""
        try:
            features = self.extractor.extract(paths, progress=self.on_images)
        finally:  # memory holds one compiled network at a time
            self.extractor.release()
        if not features.computed:
            return features, self
        return features, replace(
            self,
            computed=self.computed + features.computed,
            seconds=self.seconds + features.seconds,
        )

    def measure(
        self,
        images: EvaluationImages,
        inside: Right,
        settings: FitSettings,
        *,
        on_candidates: ProgressCallback | None = None,
    ) -> Self:
        """Cross-validate heads on some of the images.

        Args:
            images: N images.
            inside: (N,) bool, whether to use each image.
            settings: how heads are trained.
            on_candidates: progress over the combinations of stages.

        Raises:
            BackboneError: the network cannot be run.
            DataError: no class has two images, or files have changed.
        """
        rows = np.flatnonzero(inside)
        features, trial = self.extract([images.paths[row] for row in rows])
        if list(features.digests) != [images.digests[row] for row in rows]:
            raise DataError("files changed while backbones were compared on them; start again")
        labels = images.labels[inside]
        selection = choose_stages(
            features.values,
            labels,
            features.digests,
            settings,
            choices=candidates({one.name: one.width for one in self.extractor.backbone.stages}),
            classes=len(images.classes),
            cache=self.extractor.cache,
            progress=on_candidates,
        )
        if selection.probabilities is None:
            raise DataError(
                "no class has two images, so accuracy cannot be measured; give more images"
            )
        return replace(
            trial,
            correct=selection.probabilities.argmax(1) == labels,
            stages=selection.candidate.stages,
            folds=selection.folds,
        )

    def result(self, images: EvaluationImages) -> BackboneResult:
        """Return the latest measurement with what is known about the backbone.

        Raises:
            ValueError: nothing was measured yet.
        """
        if self.correct is None:
            raise ValueError(f"{self.name} was not measured; call `measure` first")
        backbone = self.extractor.backbone
        known = {info.name: info for info in list_backbones()}.get(self.name)
        return BackboneResult(
            name=self.name,
            right=self.correct,
            stages=self.stages,
            complete=len(self.correct) == len(images),
            cost=self.cost,
            pass_images_per_second=self.computed / self.seconds if self.computed else None,
            engine=str(self.extractor.plan.engine),
            precision=str(self.extractor.plan.precision),
            parameters=known.parameters if known else _parameters(backbone),
            multiply_adds=known.multiply_adds if known else None,
            license=backbone.weights.license,
            top1=known.top1 if known else None,
        )


def _parameters(backbone: Backbone) -> int | None:
    """Number of parameters; None where only its PyTorch form would tell."""
    try:
        return sum(one.numel() for one in backbone.network().model.parameters())
    except MissingExtraError:
        return None
