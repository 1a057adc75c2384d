"""A backbone that takes part in a comparison, and the images that all are measured on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headstart.backbones import Backbone, list_backbones
from headstart.comparison.cost import Cost
from headstart.comparison.result import BackboneResult
from headstart.errors import DataError, MissingExtraError
from headstart.evaluation.paired_tests import Right
from headstart.features.extractor import Extractor, Features
from headstart.heads.candidates import candidates
from headstart.models.fit import FitSettings, choose_stages
from headstart.types import Labels, ProgressCallback


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationImages:
    """Different images with one label each.

    Attributes:
        paths: N files, sorted by digest.
        digests: N, of their bytes.
        labels: (N,) indices into `classes`.
        classes: K names.
    """

    paths: tuple[Path, ...]
    digests: tuple[str, ...]
    labels: Labels
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.paths)


@dataclass(slots=True, kw_only=True)
class BackboneTrial:
    """A backbone, and how far it has come.

    Attributes:
        extractor: the backbone, ready to run.
        cost: of running it.
        on_images: progress over the files.
        inside: (N,) the images that it was last measured on; None before.
        right: which of those it gets right.
        stages: where its head grew best.
        folds: of the cross-validation.
        computed: images that were run through the network.
        seconds: that this took.
    """

    extractor: Extractor
    cost: Cost
    on_images: ProgressCallback | None = None
    inside: Right | None = None
    right: Right | None = None
    stages: tuple[str, ...] = ()
    folds: int = 0
    computed: int = 0
    seconds: float = 0.0

    @property
    def name(self) -> str:
        """The backbone's."""
        return self.extractor.backbone.name

    @property
    def milliseconds(self) -> float:
        """What one picture costs; see `Cost`."""
        return self.cost.milliseconds

    def extract(self, paths: Sequence[Path]) -> Features:
        """Features of files; see `Extractor.extract`. Times what is computed."""
        try:
            features = self.extractor.extract(paths, progress=self.on_images)
        finally:  # of many compiled networks the memory holds one at a time
            self.extractor.release()
        if features.computed:
            self.computed += features.computed
            self.seconds += features.seconds
        return features

    def measure(
        self,
        ground: EvaluationImages,
        inside: Right,
        recipe: FitSettings,
        *,
        on_candidates: ProgressCallback | None = None,
    ) -> None:
        """Cross-validate heads on some of the images.

        Args:
            ground: N images.
            inside: (N,) those to use.
            recipe: how heads are trained.
            on_candidates: progress over the places for a head.

        Raises:
            BackboneError: the network cannot be run.
            DataError: no class has two images, or files have changed.
        """
        features = self._of(ground, inside)
        labels = ground.labels[inside]
        widths = {stage.name: stage.width for stage in self.extractor.backbone.stages}
        selection = choose_stages(
            features.values,
            labels,
            features.digests,
            recipe,
            choices=candidates(widths),
            classes=len(ground.classes),
            cache=self.extractor.cache,
            progress=on_candidates,
        )
        if selection.probabilities is None:
            raise DataError(
                "no class has two images, so that nothing can be measured; give more images"
            )
        self.inside, self.right = inside, selection.probabilities.argmax(1) == labels
        self.stages, self.folds = selection.candidate.stages, selection.folds

    def row(self, ground: EvaluationImages) -> BackboneResult:
        """What was measured, and what is known besides."""
        if self.right is None:
            raise ValueError(f"{self.name} was not measured; call `measure` first")
        backbone = self.extractor.backbone
        known = {info.name: info for info in list_backbones()}.get(self.name)
        return BackboneResult(
            name=self.name,
            right=self.right,
            stages=self.stages,
            complete=len(self.right) == len(ground),
            cost=self.cost,
            pass_images_per_second=self.computed / self.seconds if self.computed else None,
            engine=str(self.extractor.plan.engine),
            precision=str(self.extractor.plan.precision),
            parameters=known.parameters if known else _parameters(backbone),
            multiply_adds=known.multiply_adds if known else None,
            license=backbone.weights.license,
            top1=known.top1 if known else None,
        )

    def _of(self, ground: EvaluationImages, inside: Right) -> Features:
        """Features of some of the images, all of which are as they were."""
        rows = np.flatnonzero(inside)
        features = self.extract([ground.paths[row] for row in rows])
        if list(features.digests) != [ground.digests[row] for row in rows]:
            raise DataError("files changed while backbones were compared on them; start again")
        return features


def _parameters(backbone: Backbone) -> int | None:
    """Numbers in a network's weights; None where only its PyTorch form would tell."""
    try:
        return sum(one.numel() for one in backbone.network().model.parameters())
    except MissingExtraError:
        return None
