"""The interfaces of all heads: the trained classifier, and the family that trains it.

A head maps features to logits. Their softmax, after division by a temperature, gives its
probabilities (see `headstart.heads.calibration`). A family is registered under its name in
`headstart.heads.families.FAMILIES`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol, Self

import numpy as np

from headstart.heads.rows import Rows
from headstart.types import Floats, Labels, ProgressCallback, no_progress

if TYPE_CHECKING:
    from torch import Tensor


class Head(Protocol):
    """A trained head: arrays and a formula. Loading one never runs code from a file."""

    @property
    def kind(self) -> str:
        """Name of its family in `FAMILIES`."""
        ...

    @property
    def width(self) -> int:
        """Number of features D that it takes."""
        ...

    def logits(self, X: Floats) -> Floats:
        """Map features (N, D) to logits (N, K), float32."""
        ...

    def torch_logits(self, X: Tensor) -> Tensor:
        """Map features (B, D) to the same logits (B, K), differentiable with respect to X."""
        ...

    def tensors(self) -> dict[str, np.ndarray]:
        """Return everything that a saved model needs, by name."""
        ...


@dataclass(frozen=True, slots=True)
class LabeledFeatures:
    """Features of images with their labels.

    Attributes:
        X: (N, D) float32 features, not standardized.
        y: (N,) labels in [0, classes).
        classes: number of classes K.
        blocks: widths of the stages side by side in X; None for a single block.
    """

    X: Floats
    y: Labels
    classes: int
    blocks: Sequence[int] | None = None

    @classmethod
    def of(cls, rows: Rows, y: Labels, classes: int) -> Self:
        """Copy rows into memory."""
        return cls(rows.whole(), y, classes, rows.widths)


class HeadFamily(ABC):
    """A kind of head with one hyperparameter, its setting, that cross-validation chooses.

    Attributes:
        description: name of the head in the model card.
        symbol: symbol of the setting, such as "C"; empty if there is no setting.
        settings: G values to choose from, most strongly regularized first: ties go to the earlier.
        default: index of the setting for data sets too small for cross-validation.
        caution: standard errors by which a candidate or setting may be worse than the best and
            still be chosen, if it is deeper, of fewer stages or more strongly regularized.
    """

    description: ClassVar[str]
    symbol: ClassVar[str] = ""
    settings: tuple[float, ...] = (0.0,)
    default: int = 0
    caution: ClassVar[float] = 1.0

    @abstractmethod
    def fit(self, data: LabeledFeatures, weights: Floats, setting: float) -> Head:
        """Train a head on the rows with a positive weight; some classes may have none."""

    @abstractmethod
    def load(self, tensors: Mapping[str, np.ndarray]) -> Head:
        """Return the head that `Head.tensors` was called on.

        Raises:
            KeyError: a tensor is missing.
            ValueError: the tensors do not fit one another; see `check_tensors`.
        """

    def fit_rows(
        self,
        rows: Rows,
        y: Labels,
        weights: Floats,
        setting: float,
        *,
        classes: int,
        progress: ProgressCallback = no_progress,
    ) -> Head:
        """Train as `fit` does on N rows with labels (N,) out of `classes` classes.

        The rows may be in a file; by default they are copied into memory. `progress` is called with
        (iterations, maximum) where training takes long.
        """
        del progress
        return self.fit(LabeledFeatures.of(rows, y, classes), weights, setting)

    def held_out(
        self, data: LabeledFeatures, weights: Floats, settings: Sequence[float] | None = None
    ) -> list[Floats]:
        """Return logits for the held-out rows of each fold: F arrays (G, K, rows with weight 0).

        Args:
            data: features and labels of N images.
            weights: (F, N) weight of each row in each fold; 0 for held-out rows.
            settings: G of the family's settings; all by default.
        """
        wanted = self.settings if settings is None else settings
        folds = []
        for row in weights:
            heads = [self.fit(data, row, setting) for setting in wanted]
            folds.append(np.stack([head.logits(data.X[row == 0]).T for head in heads]))
        return folds


def check_tensors(
    tensors: Mapping[str, np.ndarray], shapes: Mapping[str, str], *, masks: Sequence[str] = ()
) -> None:
    """Check that tensors are finite and have shapes that fit one another.

    Args:
        tensors: arrays by name.
        shapes: a letter for each axis by name, such as {"weights": "KD", "biases": "K"}. The same
            letter stands for the same positive length everywhere; "1" is a length of 1.
        masks: names of those that are booleans; the others are numbers.

    Raises:
        KeyError: a tensor is missing.
        ValueError: a shape or a number format does not fit, or a value is NaN or infinite.
    """
    sizes = {"1": 1}
    for name, letters in shapes.items():
        array = tensors[name]
        shape = tuple(sizes.setdefault(*pair) for pair in zip(letters, array.shape, strict=False))
        if array.shape != shape or len(shape) != len(letters) or 0 in shape:
            raise ValueError(f"{name} has the shape {array.shape}")
        if array.dtype.kind not in ("b" if name in masks else "fiu"):
            raise ValueError(f"{name} has the number format {array.dtype}")
        if not np.isfinite(array).all():
            raise ValueError(f"{name} contains NaN or infinity")
