"""The result of measuring how well a backbone transfers to a data set."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from headstart.evaluation.paired_tests import PairedTest
from headstart.series.series import SeriesSummary
from headstart.system.display import Plotted
from headstart.transfer.advice import Advice
from headstart.transfer.imagenet_distance import ImageNetDistance, NearestClasses
from headstart.transfer.learning_curve import LearningCurve
from headstart.transfer.paired_scores import ClassifierScore, better_than
from headstart.types import Conflict, Skipped

_NO_MOMENTS = (
    "the network has no batch normalization, so it stores no statistics of its training images"
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TransferReport(Plotted):
    """How well a backbone transfers to a data set.

    Attributes:
        data: name of the data set.
        backbone: name of the backbone.
        classes: K class names, sorted.
        available: number of images that could be used.
        folds: number of cross-validation folds.
        seed: random seed of folds, samples and random weights.
        stages: score of a head on each single stage, shallow to deep; the last is the last layer.
        chosen: score of a head on the chosen stages, chosen again for every fold.
        chosen_stages: the stages chosen on all images, shallow to deep.
        baselines: scores of raw pixels, descriptors, and the same network with random weights.
        random_stages: score of a head on each stage of the network with random weights.
        distance: distance from the pre-training data; None without stored moments.
        nearest_classes: the network's own classes that the images look like; None if it has none.
        curve: accuracy by number of training images.
        advice: the recommended next step.
        skipped: files that could not be used, with reasons.
        conflicts: identical files with different labels, which are excluded.
        series: the series among the images; None if there is none.
        duplicates: number of copies that were excluded.
        seconds: wall-clock time of all measurements.
    """

    data: str
    backbone: str
    classes: tuple[str, ...]
    available: int
    folds: int
    seed: int
    stages: tuple[ClassifierScore, ...]
    chosen: ClassifierScore
    chosen_stages: tuple[str, ...]
    baselines: tuple[ClassifierScore, ...]
    random_stages: tuple[ClassifierScore, ...]
    distance: ImageNetDistance | None
    nearest_classes: NearestClasses | None
    curve: LearningCurve
    advice: Advice
    skipped: tuple[Skipped, ...]
    conflicts: tuple[Conflict, ...]
    series: SeriesSummary | None = None
    duplicates: int
    seconds: float

    def __repr__(self) -> str:
        return f"<TransferReport of {self.backbone} on {self.data}: {self.chosen.accuracy}>"

    @property
    def last(self) -> ClassifierScore:
        """Score of the head on the last layer."""
        return self.stages[-1]

    @property
    def images(self) -> int:
        """Number of images used for the measurements."""
        return len(self.chosen.correct)

    @property
    def gain(self) -> PairedTest:
        """Gain of pre-training: the chosen head minus that on the network with random weights."""
        return self.chosen.minus(self.baselines[-1])

    def better_baselines(self, reference: ClassifierScore) -> tuple[ClassifierScore, ...]:
        """Return the baselines that are significantly better than a reference."""
        return better_than(reference, self.baselines)

    def as_dict(self) -> dict[str, Any]:
        """Return all numbers for JSON; always with the same keys.

        `stages`, `chosen`, `raw_pixels`, `descriptors` and `random_weights` have accuracy, interval
        and images. The last three also have `over_last` and `over_chosen`, which are differences of
        accuracies with 95% intervals, as are `gain` and `stage_gain`, which name the two that they
        compare as `of` and `over`. `distance` is null where the
        network has no batch normalization, with the reason in `distance_unknown`;
        `nearest_classes` is null where it has no classes of its own; `learning_curve.fit` is null
        with fewer than three sizes, and `learning_curve.images_for_one_point.images` where no
        realistic number of images is enough.
        """
        raw, descriptors, random = self.baselines
        beat_last = self.better_baselines(self.last)
        return {
            "data": self.data,
            "backbone": self.backbone,
            "images": self.images,
            "available": self.available,
            "classes": self.classes,
            "folds": self.folds,
            "seed": self.seed,
            "stages": _named(self.stages),
            "chosen": {"stages": self.chosen_stages, **self.chosen.accuracy.as_dict()},
            "stage_gain": {
                **_difference(self.chosen, self.last),
                "of": "chosen layer",
                "over": "last layer",
            },
            "raw_pixels": {"classifier": raw.detail, **self._baseline(raw)},
            "descriptors": {"classifier": descriptors.detail, **self._baseline(descriptors)},
            "random_weights": {
                "stages": _named(self.random_stages),
                "chosen": random.detail.split(" + "),
                **self._baseline(random),
            },
            "gain": {
                **_difference(self.chosen, random),
                "of": "chosen layer",
                "over": "random weights",
            },
            "negative_transfer": {
                "found": bool(beat_last),
                "beat_last": [_key(one) for one in beat_last],
                "beat_chosen": [_key(one) for one in self.better_baselines(self.chosen)],
            },
            "distance": self.distance,
            "distance_unknown": None if self.distance else _NO_MOMENTS,
            "nearest_classes": self.nearest_classes,
            "learning_curve": self.curve,
            "advice": self.advice,
            "skipped": self.skipped,
            "conflicts": self.conflicts,
            "series": self.series,
            "duplicates": self.duplicates,
            "seconds": self.seconds,
        }

    def _baseline(self, score: ClassifierScore) -> dict[str, Any]:
        return {
            **score.accuracy.as_dict(),
            "over_last": _difference(score, self.last),
            "over_chosen": _difference(score, self.chosen),
        }


def _named(scores: Sequence[ClassifierScore]) -> list[dict[str, Any]]:
    return [{"name": one.name, **one.accuracy.as_dict()} for one in scores]


def _difference(first: ClassifierScore, second: ClassifierScore) -> dict[str, Any]:
    found = first.minus(second)
    return {"value": found.difference, "interval": (found.low, found.high)}


def _key(score: ClassifierScore) -> str:
    return score.name.replace(" ", "_")
