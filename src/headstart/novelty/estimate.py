"""What to expect of a novelty detector: how much of what it does not know it finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Self

import numpy as np
from pydantic import Field, NonNegativeInt

from headstart.novelty.calibration import ScoreDistribution
from headstart.types import Floats

Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """How well images of one kind are told from images of the known classes.

    Attributes:
        auroc: probability that such an image gets a higher score than an image of a known class
            (area under the ROC curve, Hanley & McNeil 1982); 0.5 is chance.
        caught: share of them that is called unknown at the rate of the estimate.
        images: number of images that this was measured on.
    """

    auroc: Share
    caught: Share
    images: NonNegativeInt

    @classmethod
    def of(cls, known: ScoreDistribution, unknown: Floats, *, rate: float) -> Self:
        """Measure it on the scores (m,) of images of unknown things, m > 0."""
        below = np.searchsorted(known.scores, unknown, side="left")
        not_above = np.searchsorted(known.scores, unknown, side="right")
        return cls(
            auroc=float((below + not_above).mean() / (2 * len(known.scores))),
            caught=float((known.p_values(unknown) <= rate).mean()),
            images=len(unknown),
        )

    @classmethod
    def mean(cls, kinds: list[Detection]) -> Detection:
        """Average over kinds of images, all with the same weight."""
        return cls(
            auroc=float(np.mean([one.auroc for one in kinds])),
            caught=float(np.mean([one.caught for one in kinds])),
            images=sum(one.images for one in kinds),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NoveltyEstimate:
    """What to expect of a model's novelty detector. Part of the manifest of a saved model.

    Attributes:
        rate: share of images of known classes that are called unknown by mistake, to which the
            shares of what is caught belong.
        images: number of held-out images that the p-values are calibrated on.
        left_out: mean over `by_class`; None if there are fewer than three classes.
        by_class: by class, how well its images are told from the others by a detector that was not
            shown the class; a sample if there are many classes.
        others: by kind ("photos", "noise", "blank"), how well images of other things are told;
            empty for backbones other than the default.
    """

    rate: Share
    images: NonNegativeInt
    left_out: Detection | None
    by_class: Mapping[str, Detection]
    others: Mapping[str, Detection]
