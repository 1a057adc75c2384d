"""The picture that a network likes best, by gradient ascent on the picture itself.

A picture is made of parameters (`parameterization`), looked at from changing points of view
(`transforms`), judged by an `objective`, and improved step by step (`ascent`). All take callables
from pixels in [0, 1] and know nothing of files or classes.
"""

from headstart.inspection.synthesis.ascent import (
    AscentResult,
    AscentSettings,
    StopCriterion,
    ascend,
)
from headstart.inspection.synthesis.objective import (
    Objective,
    activation,
    log_likelihood,
    log_odds,
    probability,
    total_variation,
)
from headstart.inspection.synthesis.parameterization import Latent, Phases, PlainPixels
from headstart.inspection.synthesis.transforms import TransformRanges

__all__ = [
    "AscentResult",
    "AscentSettings",
    "Latent",
    "Objective",
    "Phases",
    "PlainPixels",
    "StopCriterion",
    "TransformRanges",
    "activation",
    "ascend",
    "log_likelihood",
    "log_odds",
    "probability",
    "total_variation",
]
