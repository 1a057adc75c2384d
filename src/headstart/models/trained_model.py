"""A trained classifier: a head, where it grows, and what is known of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field, NonNegativeInt

from headstart.backbones.backbone import LOGITS, Backbone, Tensors
from headstart.errors import BackboneError, SavedModelError
from headstart.heads.calibration import probabilities
from headstart.heads.head import Head
from headstart.types import EstimateMethod, Floats, Interval, Labels


@dataclass(frozen=True, slots=True, kw_only=True)
class AccuracyEstimate:
    """An accuracy with what it rests on. The manifest of a saved model holds it as it is.

    Attributes:
        accuracy: share predicted right; None where nothing could be held out.
        interval: 95% interval of it (Wilson); None likewise.
        images: how many it was measured on.
        estimate: how.
    """

    accuracy: Annotated[float, Field(ge=0, le=1)] | None
    interval: Interval | None
    images: NonNegativeInt
    estimate: EstimateMethod

    def as_dict(self) -> dict[str, Any]:
        """As every verb's JSON holds it."""
        return {
            "accuracy": self.accuracy,
            "interval": self.interval and [self.interval.low, self.interval.high],
            "images": self.images,
            "estimate": str(self.estimate),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneOrigin:
    """The backbone that a head belongs to; it works with no other. In the manifest as it is.

    Attributes:
        backbone: its name.
        weights: digest of its weights, 32 hex digits.
        source: where the weights came from.
        license: of the weights.
        stages: names of the stages whose features the head sees, shallow to deep.
        engine: what computed the features in training.
        precision: in which arithmetic.
    """

    backbone: str
    weights: str
    source: str
    license: str
    stages: Annotated[tuple[str, ...], Field(min_length=1)]
    engine: str
    precision: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FineTuning:
    """How part of the backbone was trained further. In the manifest as it is.

    Attributes:
        depth: stages trained, counted from the end.
        cut: name of the last stage that stayed as it was; "" where all was trained.
        epochs: passes over the images, those after the best one and the closing ones included.
        share: of the way from the probe's weights to the fine-tuned ones.
        weights: digest of the whole network's weights, 32 hex digits.
        probe: accuracy of the probe on the validation images that chose.
        tuned: of the fine-tuned network on the same images.
    """

    depth: NonNegativeInt
    cut: str
    epochs: NonNegativeInt
    share: Annotated[float, Field(ge=0, le=1)]
    weights: str
    probe: AccuracyEstimate
    tuned: AccuracyEstimate


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingData:
    """What a model was trained on.

    Attributes:
        name: what the user called the data.
        license: what its source says.
        images: (K,) training images of each class.
        duplicates: identical images left out.
        conflicts: groups of identical images with different labels, left out.
        skipped: files that could not be used.
        digests: (N, 16) uint8, sorted digests of the training files, so that a test can leave
            them out.
    """

    name: str
    license: str
    images: tuple[int, ...]
    duplicates: int
    conflicts: int
    skipped: int
    digests: np.ndarray

    def contains(self, digests: tuple[str, ...]) -> np.ndarray:
        """(N,) bool: which of these images were trained on."""
        mine = {row.tobytes() for row in self.digests}
        return np.array([bytes.fromhex(digest) in mine for digest in digests], dtype=bool)


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A trained classifier.

    Attributes:
        classes: K names, sorted.
        head: from features to logits.
        temperature: logits are divided by it before the softmax.
        setting: of the head's family, as cross-validation chose it.
        balanced: whether classes counted equally in training, however many images they had.
        seed: that it was trained with.
        origin: the backbone.
        data: what it was trained on.
        measured: how good it is.
        by_stage: how good a head on each stage alone would be, before any fine-tuning.
        tail: those weights of the network that fine-tuning changed, by their names in it.
        tuning: how they were changed; None where the network is as it came.
    """

    classes: tuple[str, ...]
    head: Head
    temperature: float
    setting: float
    balanced: bool
    seed: int
    origin: BackboneOrigin
    data: TrainingData
    measured: AccuracyEstimate
    by_stage: Mapping[str, AccuracyEstimate]
    tail: Tensors = field(default_factory=dict)
    tuning: FineTuning | None = None

    def probabilities(self, values: Mapping[str, Floats]) -> Floats:
        """Class probabilities.

        Args:
            values: features by stage, (N, width) each; `origin.stages` must be there.

        Returns:
            (N, K), rows sum to 1.
        """
        parts = [values[stage] for stage in self.origin.stages]
        X = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
        return probabilities(self.head.logits(X), self.temperature)


def class_counts(labels: Labels, classes: int) -> tuple[int, ...]:
    """Images of each class."""
    return tuple(np.bincount(labels, minlength=classes).tolist())


def check_file_given(model: Model, weights: Path | None) -> None:
    """Ask for the weights' file of a model that was trained with one, before looking elsewhere.

    Raises:
        BundleError: it was, and `weights` names none.
    """
    source = model.origin.source
    if weights is None and ":" not in source:  # neither a package nor a URL
        raise SavedModelError(
            f"the model was trained with the weights in a file named {source} (digest "
            f"{model.origin.weights}); give it with --weights FILE"
        )


def check_weights(model: Model, backbone: Backbone) -> None:
    """Refuse to run a head on features that it was not trained on.

    Raises:
        BundleError: the backbone's weights are others, or it lacks the head's stages.
    """
    here = backbone.weights
    if here.digest != model.origin.weights:
        raise SavedModelError(
            f"the model was trained on {model.origin.backbone} with weights "
            f"{model.origin.weights} (from {model.origin.source}), and those here are "
            f"{here.digest} (from {here.source}); give the right ones with --weights FILE"
        )
    widths = {stage.name: stage.width for stage in backbone.stages} | {LOGITS: len(backbone.labels)}
    wanted = sum(widths.get(stage, 0) for stage in model.origin.stages)
    if not widths.keys() >= set(model.origin.stages) or wanted != model.head.width:
        raise SavedModelError(
            f"the model's stages ({', '.join(model.origin.stages)}) do not fit its head and "
            f"{backbone.name}; it is damaged: copy or fit it again"
        )


def own_backbone(model: Model, backbone: Backbone) -> Backbone:
    """The network that a model runs on: the backbone, with the weights that fine-tuning changed.

    Args:
        model: trained.
        backbone: as it came, or as this function gave it.

    Raises:
        BundleError: the backbone is not the model's.
    """
    if model.tuning is not None and backbone.weights.digest == model.tuning.weights:
        return backbone
    check_weights(model, backbone)
    if model.tuning is None:
        return backbone
    try:
        own = backbone.with_tensors({**backbone.tensors(), **model.tail})
    except BackboneError as error:
        raise SavedModelError(f"the model is damaged ({error}); copy or fit it again") from error
    if own.weights.digest != model.tuning.weights:
        raise SavedModelError(
            f"the model's weights have the digest {own.weights.digest} where its manifest says "
            f"{model.tuning.weights}; it is damaged: copy or fit it again"
        )
    return own
