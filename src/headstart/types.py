"""Types and enumerations used by every layer."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Pixels: TypeAlias = npt.NDArray[np.uint8]
    """RGB images, channels last: (H, W, 3) or (N, H, W, 3); 0 to 255 stand for [0, 1]."""
    Floats: TypeAlias = npt.NDArray[np.float32]
    Doubles: TypeAlias = npt.NDArray[np.float64]
    Labels: TypeAlias = npt.NDArray[np.int64]
    """(N,) indices into a list of class names; also used for other arrays of row indices."""
_ARRAYS = {"Pixels": "uint8", "Floats": "float32", "Doubles": "float64", "Labels": "int64"}
DEFAULT_BACKBONE = "efficientnet-lite0"
AUTO = "auto"
"""The value of options that are chosen automatically."""
ProgressCallback: TypeAlias = Callable[[int, int], None]
"""Called with the number of items done so far and in total."""
ProgressBarFactory: TypeAlias = Callable[[str, str], ProgressCallback]
"""Creates a progress bar, given what is being done and the unit of its items."""


def __getattr__(name: str) -> Any:
    # On first use, so that `headstart --help` does not wait for NumPy.
    if name not in _ARRAYS:
        raise AttributeError(f"module 'headstart.types' has no attribute {name!r}")
    import numpy as np
    import numpy.typing as npt

    array: Any = npt.NDArray
    return array[getattr(np, _ARRAYS[name])]


class EngineName(StrEnum):
    """The library that runs the frozen network."""

    AUTO = "auto"
    OPENVINO = "openvino"
    PYTORCH = "pytorch"


class Device(StrEnum):
    """The device that networks run on."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    """A GPU of NVIDIA, or one of AMD with PyTorch for ROCm."""
    MPS = "mps"
    """The GPU of an Apple computer."""


class Precision(StrEnum):
    """Numeric precision of the frozen network."""

    AUTO = "auto"
    FLOAT32 = "f32"
    BFLOAT16 = "bf16"


class Split(StrEnum):
    """The part of a data set that an image belongs to."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


class ClassLevel(StrEnum):
    """What names the class of an image: part of its folder's path, or its own name.

    In the examples the folder is "ants/camera 1".
    """

    PATH = "path"
    """The whole path: each folder of images is a class."""
    FIRST = "first"
    """The outermost folder: "ants"."""
    LAST = "last"
    """The innermost folder: "camera 1"."""
    NAME = "name"
    """The word before the number in the file's name: "ant" of ant.12.jpg."""


class Quality(StrEnum):
    """How much computation a training may spend."""

    FAST = "fast"
    """One view."""
    BALANCED = "balanced"
    """A second view at a larger size: at most 4 times the cost."""
    BEST = "best"
    """Those, and two views of a second network."""


class Placement(StrEnum):
    """How an image gets into the folder of its label."""

    LINK = "link"
    """A symbolic link to it, or a copy where links are not possible."""
    COPY = "copy"
    MOVE = "move"


class EstimateMethod(StrEnum):
    """How an accuracy was estimated."""

    CROSS_VALIDATION = "cross-validation"
    HELD_OUT = "held-out"
    VALIDATION = "validation"
    """On images that selected the model without training it, so it is slightly optimistic."""
    UNKNOWN = "unknown"


class Norm(StrEnum):
    """The norm that measures a perturbation of an image."""

    LINF = "linf"
    """The largest change of any value."""
    L2 = "l2"
    """The root of the sum of squared changes, which increases with the number of pixels."""


class ClassProbability(NamedTuple):
    """A class that an image may show.

    Attributes:
        label: name of the class.
        probability: probability of the class, in [0, 1].
    """

    label: str
    probability: float


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that cannot be used.

    Attributes:
        path: the file, or its position in a table or archive.
        reason: why, in a few words to show the user.
    """

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Conflict:
    """Copies of one image with different labels, none of which is used.

    Attributes:
        paths: the files, sorted.
        labels: the class name of each file.
    """

    paths: tuple[str, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95% confidence interval of a proportion.

    Attributes:
        low: lower end, in [0, 1].
        high: upper end, in [0, 1].
    """

    low: float
    high: float


def no_progress(done: int, total: int) -> None:
    """Ignore progress, as the default `ProgressCallback`."""


def no_progress_bars(what: str, unit: str) -> ProgressCallback:
    """Return `no_progress`, as the default `ProgressBarFactory`."""
    del what, unit
    return no_progress
