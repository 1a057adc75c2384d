"""What a comparison of backbones found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from headstart.comparison.cost import Cost
from headstart.evaluation.metrics import wilson
from headstart.evaluation.paired_tests import PairedTest, Right
from headstart.types import Conflict, Interval, Skipped


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BackboneResult:
    """A backbone as it was measured.

    Attributes:
        name: for `load_backbone`.
        right: (n,) which of its images a head predicts right; stages, setting and head were chosen
            and trained without the image (nested cross-validation, as `headstart fit` has it).
        stages: where a head grows best, chosen on all n images; shallow to deep.
        complete: whether n is all images. Otherwise it left early, and its accuracy is not that of
            the same images as the others'.
        cost: of running it here.
        pass_images_per_second: of the pass over the files, reading and decoding included; None if
            all features were known.
        engine: what ran it.
        precision: in which arithmetic.
        parameters: numbers in its weights; None if unknown.
        multiply_adds: for one picture; None if unknown.
        license: of its weights.
        top1: published ImageNet accuracy, 0 to 1; None if unknown.
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

    @property
    def images(self) -> int:
        """How many the accuracy was measured on."""
        return len(self.right)

    @property
    def accuracy(self) -> float:
        """Share predicted right, cross-validated."""
        return float(self.right.mean())

    @property
    def interval(self) -> Interval:
        """95% interval of the accuracy (Wilson)."""
        return wilson(int(self.right.sum()), len(self.right))

    @property
    def milliseconds(self) -> float:
        """What one picture costs; see `Cost`."""
        return self.cost.milliseconds


@dataclass(frozen=True, slots=True)
class ExcludedBackbone:
    """A backbone that could not be compared, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recommendation:
    """Which backbone to take.

    Attributes:
        backbone: its name: the cheapest that is not measurably less accurate than the best.
        sentence: with the evidence.
        against: by name, the paired difference of each other backbone that was measured on all
            images: its accuracy less that of the recommended one.
        choice: (N,) whether each image is right if the backbone, too, is chosen without its fold:
            by the same rule from the predictions for the other folds. (These were made by heads
            whose training images included the fold's own; the choice itself never saw its labels
            scored.)
    """

    backbone: str
    sentence: str
    against: dict[str, PairedTest]
    choice: Right


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Comparison:
    """Several backbones on the same images.

    Attributes:
        data: name of the data set.
        classes: K names.
        images: how many were compared on: the training part without copies.
        duplicates: copies that were left out.
        conflicts: identical files with different labels; none was used.
        skipped: files that could not be used, with reasons.
        backbones: the cheapest first.
        frontier: names of those that no other is at least as good as in accuracy and cost, and
            better in one.
        recommendation: which to take.
        left_out: backbones that could not be compared.
        folds: of the cross-validation on all images.
        seed: of folds and draws.
        cores: that the speeds were measured with.
        seconds: that it all took.
        warnings: sentences for the user that came up.
    """

    data: str
    classes: tuple[str, ...]
    images: int
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

    def as_dict(self) -> dict[str, Any]:
        """All numbers, as JSON knows them; always the same keys.

        Accuracies and intervals are shares in [0, 1], memory is in bytes, `seconds` is that of the
        whole comparison; what is not known is None. Of a backbone `images` is what its accuracy was
        measured on; `images_per_second`, `core_milliseconds` and `memory_bytes` are its `Cost`,
        and `pass_images_per_second` includes reading and decoding.
        """
        choice = self.recommendation.choice
        return {
            "data": self.data,
            "images": self.images,
            "classes": list(self.classes),
            "duplicates": self.duplicates,
            "conflicts": [
                {"paths": list(one.paths), "labels": list(one.labels)} for one in self.conflicts
            ],
            "skipped": [{"path": one.path, "reason": one.reason} for one in self.skipped],
            "folds": self.folds,
            "seed": self.seed,
            "cores": self.cores,
            "backbones": self.rows(),
            "recommendation": {
                "backbone": self.recommendation.backbone,
                "sentence": self.recommendation.sentence,
                "choice": {**_share(choice), "images": len(choice)},
                "against": {
                    name: {
                        "difference": one.difference,
                        "interval": [one.low, one.high],
                        "p_value": one.p_value,
                    }
                    for name, one in self.recommendation.against.items()
                },
            },
            "left_out": [{"name": one.name, "reason": one.reason} for one in self.left_out],
            "seconds": self.seconds,
        }

    def rows(self) -> list[dict[str, Any]]:
        """A table: one line a backbone, the cheapest first."""
        return [
            {
                "name": one.name,
                **_share(one.right),
                "images": one.images,
                "complete": one.complete,
                "stages": list(one.stages),
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


def _share(right: Right) -> dict[str, Any]:
    interval = wilson(int(right.sum()), len(right))
    return {"accuracy": float(right.mean()), "interval": [interval.low, interval.high]}
