"""What was found on how well a network transfers, and how it is written down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.familiarity import Distance, Likeness
from headstart.learning_curve import LearningCurve
from headstart.metrics import Difference, paired_difference, wilson
from headstart.types import Conflict, Interval, Skipped
from headstart.verdict import Verdict


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scored:
    """A classifier, cross-validated.

    Attributes:
        name: what it is.
        detail: how it was chosen to be: stages, or a plain classifier.
        correct: (N,) bool, whether it is right on each image that it has not seen.
    """

    name: str
    detail: str
    correct: np.ndarray

    @property
    def accuracy(self) -> float:
        """Share right, [0, 1]."""
        return float(self.correct.mean())

    @property
    def interval(self) -> Interval:
        """95% interval of it (Wilson)."""
        return wilson(int(self.correct.sum()), len(self.correct))

    def as_dict(self) -> dict[str, Any]:
        """Accuracy, interval and number of images."""
        span = self.interval
        return {
            "accuracy": self.accuracy,
            "interval": [span.low, span.high],
            "images": len(self.correct),
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Transfer:
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
    stages: tuple[Scored, ...]
    chosen: Scored
    grown_on: tuple[str, ...]
    baselines: tuple[Scored, ...]
    random_stages: tuple[Scored, ...]
    distance: Distance | None
    likeness: Likeness | None
    curve: LearningCurve
    verdict: Verdict
    skipped: tuple[Skipped, ...]
    conflicts: tuple[Conflict, ...]
    duplicates: int
    seconds: float

    @property
    def last(self) -> Scored:
        """The head on the last layer."""
        return self.stages[-1]

    @property
    def images(self) -> int:
        """How many were measured on."""
        return len(self.chosen.correct)

    @property
    def gain(self) -> Difference:
        """Of pre-training: the chosen head over that on the network with random weights."""
        return paired_difference(self.chosen.correct, self.baselines[-1].correct)

    def ahead(self, of: Scored) -> tuple[Scored, ...]:
        """The baselines that are better, by more than the interval of the difference."""
        return beating(self.baselines, of)

    def as_dict(self) -> dict[str, Any]:
        """All numbers, as JSON knows them; always the same keys.

        `stages`, `chosen`, `raw_pixels`, `descriptors` and `random_weights` hold accuracy,
        interval and images each; the last three also `over_last` and `over_chosen`, which are
        differences of accuracies, as `gain` and `graft_gain` are: value and 95% interval.
        `distance` is null where the network has no batch normalisation, with the reason in
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

    def _compared(self, one: Scored) -> dict[str, Any]:
        return {
            **one.as_dict(),
            "over_last": _difference(one, self.last),
            "over_chosen": _difference(one, self.chosen),
        }


_NO_MOMENTS = "the network has no batch normalisation, and so stored nothing of its training images"


def _difference(first: Scored, second: Scored) -> dict[str, Any]:
    found = paired_difference(first.correct, second.correct)
    return {"value": found.value, "interval": [found.low, found.high]}


def _key(one: Scored) -> str:
    return one.name.replace(" ", "_")


def beating(some: Sequence[Scored], of: Scored) -> tuple[Scored, ...]:
    """Those that are better than another, by more than the interval of the difference."""
    return tuple(one for one in some if paired_difference(one.correct, of.correct).low > 0)
