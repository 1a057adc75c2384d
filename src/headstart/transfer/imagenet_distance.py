"""How far pictures are from those that a network was trained on.

No picture of the pre-training data is needed: batch normalization has stored the mean and the
variance of every channel over them. And the network's own classifier says what the pictures look
most like to it, and how sure it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from headstart.backbones.backbone import Backbone, Tensors, stages_of_modules
from headstart.transfer.batch_norm_statistics import Moments
from headstart.types import Doubles, Floats, Labels

_EPSILON: Final = 1e-5
"""Keeps quotients finite where a channel never varied."""
NEAREST: Final = 5
"""Classes named."""


@dataclass(frozen=True, slots=True)
class StageShift:
    """How the inputs of batch normalization in one stage differ from pre-training.

    Attributes:
        stage: its name; what comes before the first stage counts to that.
        shift: root mean square over channels of the difference of the means, in standard
            deviations of the pre-training data. 0 for those data themselves.
        spread: geometric mean of the ratio of the standard deviations; below 1 the pictures
            are less varied than the pre-training data.
    """

    stage: str
    shift: float
    spread: float


@dataclass(frozen=True, slots=True)
class ImageNetDistance:
    """How far pictures are from the pre-training data.

    Attributes:
        stages: shallow to deep.
        images: how many were looked at.
    """

    stages: tuple[StageShift, ...]
    images: int

    @property
    def shift(self) -> float:
        """The mean over stages."""
        return float(np.mean([one.shift for one in self.stages]))

    def as_dict(self) -> dict[str, Any]:
        """All numbers, as JSON knows them."""
        return {
            "shift": self.shift,
            "images": self.images,
            "stages": [
                {"name": one.stage, "shift": one.shift, "spread": one.spread} for one in self.stages
            ],
        }


@dataclass(frozen=True, slots=True)
class NearestClasses:
    """What the network's own classifier takes pictures for.

    Attributes:
        overall: names of the nearest classes with their mean probability, largest first.
        by_class: likewise for the pictures of each class of the data.
        confidence: mean of the largest probability, [0, 1].
        entropy: mean entropy over that of a uniform guess, [0, 1].
    """

    overall: tuple[tuple[str, float], ...]
    by_class: Mapping[str, tuple[tuple[str, float], ...]]
    confidence: float
    entropy: float

    def as_dict(self) -> dict[str, Any]:
        """All numbers, as JSON knows them."""

        def listed(pairs: tuple[tuple[str, float], ...]) -> list[dict[str, Any]]:
            return [{"name": name, "probability": share} for name, share in pairs]

        return {
            "overall": listed(self.overall),
            "by_class": {name: listed(pairs) for name, pairs in self.by_class.items()},
            "confidence": self.confidence,
            "entropy": self.entropy,
        }


def distance(
    backbone: Backbone, moments: Mapping[str, Moments], images: int
) -> ImageNetDistance | None:
    """Compare moments of pictures with those that the network has stored.

    Args:
        backbone: the network.
        moments: as `headstart.transfer.batch_norm_statistics` measured them.
        images: on how many pictures.

    Returns:
        None where the network has no batch normalization, and so stored nothing.
    """
    if not moments:
        return None
    tensors = backbone.tensors()
    found: dict[str, list[tuple[Doubles, Doubles]]] = {}
    names = [stage.name for stage in backbone.stages]
    for name, stage in stages_of_modules(list(moments), names).items():
        found.setdefault(stage, []).append(_compared(moments[name], tensors, name))
    return ImageNetDistance(
        tuple(
            StageShift(
                stage,
                float(np.sqrt(np.mean(np.square(np.concatenate([z for z, _ in parts]))))),
                float(np.exp(np.mean(np.concatenate([ratio for _, ratio in parts])))),
            )
            for stage, parts in ((name, found[name]) for name in names if name in found)
        ),
        images,
    )


def _compared(here: Moments, tensors: Tensors, name: str) -> tuple[Doubles, Doubles]:
    """By channel: the standardized difference of the means, and the log of the ratio of spreads."""
    mean = tensors[f"{name}.running_mean"].astype(np.float64)
    variance = tensors[f"{name}.running_var"].astype(np.float64) + _EPSILON
    z = (here.mean - mean) / np.sqrt(variance)
    return z, 0.5 * np.log((here.variance + _EPSILON) / variance)


def likeness(
    logits: Floats, labels: Labels, classes: Sequence[str], names: Sequence[str]
) -> NearestClasses:
    """The nearest of the network's own classes.

    Args:
        logits: (N, M) of the network's classifier.
        labels: (N,) indices into `classes`.
        classes: of the data.
        names: M, of the network.
    """
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    p = np.exp(shifted)
    p /= p.sum(axis=1, keepdims=True)
    entropy = -np.sum(p * np.log(np.maximum(p, 1e-300)), axis=1)

    def nearest(rows: np.ndarray) -> tuple[tuple[str, float], ...]:
        mean = p[rows].mean(axis=0)
        order = np.argsort(-mean, kind="stable")[:NEAREST]
        return tuple((names[place], float(mean[place])) for place in order)

    return NearestClasses(
        overall=nearest(np.ones(len(p), dtype=bool)),
        by_class={name: nearest(labels == index) for index, name in enumerate(classes)},
        confidence=float(p.max(axis=1).mean()),
        entropy=float(entropy.mean() / np.log(len(names))),
    )
