"""Measure how different images are from those that a network was pre-trained on.

No pre-training image is needed: batch normalization has stored the mean and the variance of every
channel over them. The network's own classifier also shows which of its classes the images look
like, and how confident it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from headstart.backbones.backbone import Backbone, Tensors
from headstart.backbones.stages import stages_of_modules
from headstart.heads.calibration import log_softmax
from headstart.transfer.batch_norm_statistics import Moments
from headstart.types import Doubles, Floats, Labels

_EPSILON: Final = 1e-5
"""Keeps quotients finite where a channel is constant."""
NEAREST: Final = 5
"""Number of nearest classes to report."""


@dataclass(frozen=True, slots=True)
class StageShift:
    """How the inputs of batch normalization in one stage differ from pre-training.

    Attributes:
        name: name of the stage; what comes before the first stage counts as part of it.
        shift: root mean square over channels of the difference of the means, in standard deviations
            of the pre-training data; 0 for the pre-training data.
        spread: geometric mean over channels of the ratio of standard deviations; below 1 the images
            vary less than the pre-training data.
    """

    name: str
    shift: float
    spread: float


@dataclass(frozen=True, slots=True)
class ImageNetDistance:
    """How different images are from the pre-training data.

    Attributes:
        stages: shift and spread of each stage, shallow to deep.
        images: number of images that were measured.
    """

    stages: tuple[StageShift, ...]
    images: int

    @property
    def shift(self) -> float:
        """Mean shift over the stages, in standard deviations."""
        return float(np.mean([one.shift for one in self.stages]))

    def as_dict(self) -> dict[str, Any]:
        """Return all numbers for JSON."""
        return {"shift": self.shift, "images": self.images, "stages": self.stages}


class NearestClass(NamedTuple):
    """One of the network's own classes.

    Attributes:
        name: name of the class.
        probability: its mean probability, [0, 1].
    """

    name: str
    probability: float


@dataclass(frozen=True, slots=True)
class NearestClasses:
    """Which of the network's own classes images look like.

    Attributes:
        overall: the nearest classes for all images, the most probable first.
        by_class: nearest classes for the images of each class of the data set.
        confidence: mean of the largest probability, [0, 1].
        entropy: mean entropy, relative to that of a uniform distribution, [0, 1].
    """

    overall: tuple[NearestClass, ...]
    by_class: Mapping[str, tuple[NearestClass, ...]]
    confidence: float
    entropy: float


def imagenet_distance(
    backbone: Backbone, moments: Mapping[str, Moments], images: int
) -> ImageNetDistance | None:
    """Compare moments with the stored ones; None for a network without batch normalization."""
    if not moments:
        return None
    tensors = backbone.tensors()
    names = [stage.name for stage in backbone.stages]
    by_stage: dict[str, list[tuple[Doubles, Doubles]]] = {name: [] for name in names}
    for module, stage in stages_of_modules(list(moments), names).items():
        by_stage[stage].append(_compare(moments[module], tensors, module))
    stages = []
    for name, pairs in by_stage.items():
        if pairs:
            z, ratio = (np.concatenate(values) for values in zip(*pairs, strict=True))
            shift, spread = np.sqrt(np.mean(np.square(z))), np.exp(np.mean(ratio))
            stages.append(StageShift(name, float(shift), float(spread)))
    return ImageNetDistance(tuple(stages), images)


def _compare(measured: Moments, tensors: Tensors, module: str) -> tuple[Doubles, Doubles]:
    """Return, by channel, standardized differences of means and log ratios of deviations."""
    mean = tensors[f"{module}.running_mean"].astype(np.float64)
    variance = tensors[f"{module}.running_var"].astype(np.float64) + _EPSILON
    z = (measured.mean - mean) / np.sqrt(variance)
    return z, 0.5 * np.log((measured.variance + _EPSILON) / variance)


def nearest_classes(
    logits: Floats, labels: Labels, classes: Sequence[str], names: Sequence[str]
) -> NearestClasses:
    """Find the network's own classes that images look most like.

    The logits (N, M) are of the network's classifier, whose M classes have these `names`; labels
    (N,) are indices into the data set's classes.
    """
    log_p = log_softmax(logits.astype(np.float64), axis=1)
    p = np.exp(log_p)
    entropy = -np.sum(p * log_p, axis=1)

    def nearest(rows: np.ndarray) -> tuple[NearestClass, ...]:
        mean = p[rows].mean(axis=0)
        order = np.argsort(-mean, kind="stable")[:NEAREST]
        return tuple(NearestClass(names[place], float(mean[place])) for place in order)

    return NearestClasses(
        overall=nearest(np.ones(len(p), dtype=bool)),
        by_class={name: nearest(labels == index) for index, name in enumerate(classes)},
        confidence=float(p.max(axis=1).mean()),
        entropy=float(entropy.mean() / np.log(len(names))),
    )
