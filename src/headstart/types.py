"""The small values that every layer speaks in. Knows nothing of the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Pixels: TypeAlias = npt.NDArray[np.uint8]
"""RGB images, channels last: (H, W, 3) or (N, H, W, 3), 0 to 255 standing for [0, 1]."""
Floats: TypeAlias = npt.NDArray[np.float32]
Doubles: TypeAlias = npt.NDArray[np.float64]
Labels: TypeAlias = npt.NDArray[np.int64]
"""Indices into a list of class names: (N,)."""
ProgressCallback: TypeAlias = Callable[[int, int], None]
"""Is told of long work: (done, total)."""
ProgressBarFactory: TypeAlias = Callable[[str, str], ProgressCallback]
"""Gives a progress bar, by what is done and the unit of its rate."""


class EngineName(StrEnum):
    """What runs the frozen network."""

    AUTO = "auto"
    OPENVINO = "openvino"
    PYTORCH = "pytorch"


class Precision(StrEnum):
    """The arithmetic that the frozen network runs in."""

    AUTO = "auto"
    FLOAT32 = "f32"
    BFLOAT16 = "bf16"


class Split(StrEnum):
    """The part of a data set that an image belongs to."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


class ClassLevel(StrEnum):
    """Which part of "ants/camera 1", a folder in a folder, is the class."""

    PATH = "path"
    """All of it: each folder that holds images is a class."""
    FIRST = "first"
    """The outermost folder: "ants"."""
    LAST = "last"
    """The innermost folder: "camera 1"."""


class EstimateMethod(StrEnum):
    """How an accuracy was measured."""

    CROSS_VALIDATION = "cross-validation"
    HELD_OUT = "held-out"
    VALIDATION = "validation"
    """On images that did not train, but decided between models: a little too good."""
    UNKNOWN = "unknown"


class Norm(StrEnum):
    """How the size of a change of a picture is measured."""

    LINF = "linf"
    """The largest change of any number of the picture."""
    L2 = "l2"
    """The root of the sum of all squared changes; it grows with the number of pixels."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that could not be used, and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Conflict:
    """Byte-identical files that carry different labels; none of them is used."""

    paths: tuple[str, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95% confidence interval of a proportion, both ends in [0, 1]."""

    low: float
    high: float


def no_progress(done: int, total: int) -> None:
    """Progress that nobody watches."""


def no_progress_bars(what: str, unit: str) -> ProgressCallback:
    """Bars that nobody watches."""
    del what, unit
    return no_progress
