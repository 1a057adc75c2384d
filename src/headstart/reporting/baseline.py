"""What always answering the largest class would get right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from headstart.pages.page import Cell
from headstart.types import Interval, Labels


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """The accuracy of always answering the largest class.

    Attributes:
        label: Name of the class.
        accuracy: Share of the images that are of this class, (0, 1).
        better: Whether the model is surely better.
    """

    label: str
    accuracy: float
    better: bool

    @classmethod
    def of(cls, counts: Labels, classes: tuple[str, ...], accuracy: Interval) -> Self | None:
        """Return the baseline of (K,) images of each class; None if all are of one class.

        `accuracy` is the 95% interval of the model's accuracy. The model is surely better if it is
        above the baseline, a stricter test than that of the differences image by image.
        """
        largest = int(counts.argmax())
        share = float(counts[largest] / np.sum(counts))
        if share == 1:
            return None
        return cls(label=classes[largest], accuracy=share, better=accuracy.low > share)

    @property
    def text(self) -> str:
        """The baseline in a sentence."""
        always = (
            f"Always answering the largest class, {self.label}, would be right on "
            f"{self.accuracy:.1%}"
        )
        return f"{always}." if self.better else f"{always}: the model is not surely better."

    @property
    def row(self) -> tuple[str, Cell, Cell]:
        """The row of `accuracy_section` about it."""
        return f"always answering {self.label}", Cell.percent(self.accuracy), Cell.of(None)
