"""A backbone that takes part in a comparison."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np

from headstart.backbones import Backbone, ladder, list_backbones
from headstart.comparison.cost import Cost
from headstart.comparison.evaluation_images import EvaluationImages
from headstart.comparison.result import BackboneResult
from headstart.errors import DataError, MissingExtraError, NoTorchFormError
from headstart.evaluation.paired_tests import Right
from headstart.features.extraction import Features
from headstart.features.extractor import Extractor
from headstart.heads.candidates import candidates
from headstart.heads.selection_problem import clusters_of
from headstart.models.fit import select_stages
from headstart.models.fit_settings import FitSettings
from headstart.types import Labels, ProgressCallback, no_progress


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BackboneTrial:
    """A backbone and its latest measurement.

    Attributes:
        extractor: extractor of the backbone, ready to run.
        cost: cost of running it on this machine.
        on_images: progress callback for feature extraction, with (done, total) images.
        correct: (n,) whether each image of the latest measurement is predicted correctly; None
            before the first.
        clusters: (n,) the series of these images; None if all are independent.
        stages: the stages that the head uses, shallow to deep.
        folds: number of folds of the cross-validation.
        computed: number of images that were run through the network so far.
        seconds: duration of those passes.
    """

    extractor: Extractor
    cost: Cost
    on_images: ProgressCallback = no_progress
    correct: Right | None = None
    clusters: Labels | None = None
    stages: tuple[str, ...] = ()
    folds: int = 0
    computed: int = 0
    seconds: float = 0.0

    @property
    def name(self) -> str:
        """Name of the view, or of the backbone."""
        return self.extractor.name

    def extract(self, paths: Sequence[Path]) -> tuple[Features, Self]:
        """Extract features of files, and add what was computed to the trial."""
        try:
            features = self.extractor.extract(paths, progress=self.on_images)
        finally:  # keep only one compiled network in memory
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
        on_candidates: ProgressCallback = no_progress,
    ) -> Self:
        """Cross-validate heads on some of the images.

        Args:
            images: N distinct images with labels.
            inside: (N,) bool, whether to use each image.
            settings: how heads are trained.
            on_candidates: progress callback with (done, total) combinations of stages.

        Raises:
            BackboneError: the network cannot be run.
            DataError: no class has two images, or files have changed.
        """
        rows = np.flatnonzero(inside)
        features, trial = self.extract([images.paths[row] for row in rows])
        if list(features.digests) != [images.digests[row] for row in rows]:
            raise DataError("files changed while backbones were compared on them; start again")
        labels, keys = images.labels[inside], [images.keys[row] for row in rows]
        selection = select_stages(
            features.values,
            labels,
            keys,
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
            clusters=clusters_of(keys),
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
        known = {info.name: info for info in list_backbones()}
        published = known.get(self.name) or {one.name: one for one in ladder()}.get(self.name)
        counted = published or known.get(backbone.name)  # a view has the parameters of its backbone
        return BackboneResult(
            name=self.name,
            right=self.correct,
            stages=self.stages,
            complete=len(self.correct) == len(images),
            cost=self.cost,
            pass_images_per_second=self.computed / self.seconds if self.computed else None,
            engine=str(self.extractor.effective_plan.engine),
            precision=str(self.extractor.effective_plan.precision),
            parameters=counted.parameters if counted else _parameters(backbone),
            multiply_adds=published.multiply_adds if published else None,
            license=backbone.weights.license,
            clusters=self.clusters,
            top1=known[self.name].top1 if self.name in known else None,
        )


def _parameters(backbone: Backbone) -> int | None:
    """Return the number of parameters; None if only the PyTorch form could be counted."""
    try:
        return sum(one.numel() for one in backbone.network().model.parameters())
    except (MissingExtraError, NoTorchFormError):
        return None
