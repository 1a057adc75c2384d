"""The result of a comparison of backbones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from headstart.comparison.cost import Cost
from headstart.evaluation.breakdown import LargestClass
from headstart.evaluation.metrics import Accuracy
from headstart.evaluation.paired_tests import PairedTest, Right, paired_difference
from headstart.series.series import SeriesSummary
from headstart.system.display import Plotted
from headstart.system.text import pluralize
from headstart.types import Conflict, Labels, Skipped


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BackboneResult:
    """The accuracy and the cost of one backbone.

    Attributes:
        name: name of the backbone, for `load_backbone`.
        right: (n,) bool, whether a head predicts each image correctly; stages, setting and head
            were chosen and trained without the image (nested cross-validation, as in
            `headstart fit`).
        stages: the stages that the head uses, chosen on all n images; shallow to deep.
        complete: whether n is all images. Otherwise the backbone was eliminated on a sample, and
            its accuracy cannot be compared with the others'.
        cost: speed and memory on this machine.
        pass_images_per_second: speed over the files, reading and decoding included; None if all
            features came from the cache.
        engine: name of the engine that ran it.
        precision: numeric precision that it ran in.
        parameters: number of parameters; None if unknown.
        multiply_adds: number of multiply-adds per image; None if unknown.
        license: license of the weights.
        top1: published ImageNet accuracy, 0 to 1; None if unknown.
        clusters: (n,) the series of each image; None if all are independent.
    """

    name: str
    right: Right
    stages: tuple[str, ...]
    complete: bool
    cost: Cost
    pass_images_per_second: float | None
    engine: str
    precision: str
    parameters: int | None
    multiply_adds: int | None
    license: str
    top1: float | None
    clusters: Labels | None = None

    @property
    def accuracy(self) -> Accuracy:
        """Cross-validated accuracy."""
        return Accuracy.of(self.right, self.clusters)

    def minus(self, other: BackboneResult) -> PairedTest:
        """Compare with another backbone on the same images."""
        return paired_difference(self.right, other.right, clusters=self.clusters)

    @property
    def milliseconds(self) -> float:
        """Core-milliseconds of the prediction of an image; see `Cost`."""
        return self.cost.milliseconds


@dataclass(frozen=True, slots=True)
class ExcludedBackbone:
    """A backbone that could not be compared, and why.

    Attributes:
        name: name of the backbone.
        reason: why it could not be compared.
    """

    name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recommendation:
    """The recommended backbone, and the evidence.

    Attributes:
        backbone: name of the cheapest one that is not significantly less accurate than the best.
        sentence: the recommendation and its reasons.
        against: by name, for each other backbone that was measured on all images, its accuracy
            minus that of the recommended one.
        choice: (N,) bool, whether each image is predicted correctly when the backbone is chosen
            without the image's fold as well, by the same rule from the predictions for the other
            folds. (Heads that made those predictions were trained on images of this fold, but the
            choice itself never saw the fold scored.)
        clusters: (N,) the series of each image; None if all are independent.
    """

    backbone: str
    sentence: str
    against: dict[str, PairedTest]
    choice: Right
    clusters: Labels | None = None

    @property
    def accuracy(self) -> Accuracy:
        """Accuracy when the backbone is also chosen without the image's fold."""
        return Accuracy.of(self.choice, self.clusters)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Comparison(Plotted):
    """Backbones measured on the same images.

    Attributes:
        data: name of the data set.
        classes: K class names, sorted.
        images: number of images compared on: the training part without copies.
        series: the series among the images; None if there is none.
        duplicates: number of copies that were excluded.
        conflicts: identical files with different labels, which are excluded.
        skipped: files that could not be used, with reasons.
        backbones: one result each, cheapest first.
        frontier: names of the Pareto-optimal backbones in accuracy and cost.
        recommendation: which backbone to use.
        left_out: backbones that could not be compared, with reasons.
        folds: number of folds of the cross-validation on all images.
        seed: random seed of folds and samples.
        cores: number of processor cores that the speeds were measured with.
        seconds: wall-clock time of the whole comparison.
        warnings: warnings for the user, one sentence each.
        largest_class: what always answering the largest class gets right, and whether the
            recommended backbone is clearly better; None if unknown.
    """

    data: str
    classes: tuple[str, ...]
    images: int
    series: SeriesSummary | None = None
    duplicates: int
    conflicts: tuple[Conflict, ...]
    skipped: tuple[Skipped, ...]
    backbones: tuple[BackboneResult, ...]
    frontier: frozenset[str]
    recommendation: Recommendation
    left_out: tuple[ExcludedBackbone, ...]
    folds: int
    seed: int
    cores: int
    seconds: float
    warnings: tuple[str, ...] = ()
    largest_class: LargestClass | None = None

    def __repr__(self) -> str:
        count = pluralize(len(self.backbones), "backbone")
        return f"<Comparison of {count} on {self.data}: {self.recommendation.backbone} recommended>"

    def as_dict(self) -> dict[str, Any]:
        """Return all numbers as JSON types, always with the same keys.

        Accuracies and intervals are shares in [0, 1], memory is in bytes, `seconds` is that of the
        whole comparison; what is not known is None. Of a backbone `images` is what its accuracy was
        measured on; `images_per_second`, `core_milliseconds` and `memory_bytes` are its `Cost`,
        and `pass_images_per_second` includes reading and decoding.
        """
        recommended = self.recommendation
        return {
            "data": self.data,
            "images": self.images,
            "classes": self.classes,
            "series": self.series,
            "duplicates": self.duplicates,
            "conflicts": self.conflicts,
            "skipped": self.skipped,
            "folds": self.folds,
            "seed": self.seed,
            "cores": self.cores,
            "largest_class": self.largest_class,
            "backbones": self._rows(),
            "recommendation": {
                "backbone": recommended.backbone,
                "sentence": recommended.sentence,
                "choice": recommended.accuracy,
                "against": recommended.against,
            },
            "left_out": self.left_out,
            "seconds": self.seconds,
        }

    def _rows(self) -> list[dict[str, Any]]:
        return [
            {
                "name": one.name,
                **one.accuracy.as_dict(),
                "complete": one.complete,
                "stages": one.stages,
                "images_per_second": one.cost.images_per_second,
                "core_milliseconds": one.milliseconds,
                "pass_images_per_second": one.pass_images_per_second,
                "engine": one.engine,
                "precision": one.precision,
                "parameters": one.parameters,
                "multiply_adds": one.multiply_adds,
                "memory_bytes": one.cost.memory_bytes,
                "license": one.license,
                "top1": one.top1,
                "frontier": one.name in self.frontier,
            }
            for one in self.backbones
        ]
