"""What always answering the largest class would get right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from headstart.evaluation.breakdown import LargestClass
from headstart.pages.page import Cell
from headstart.types import Labels


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """The accuracy of always answering the largest class.

    Attributes:
        label: Name of the class.
        accuracy: Share of the images that are of this class, (0, 1).
        better: Whether the model is clearly better; None if the two were not compared image by
            image.
    """

    label: str
    accuracy: float
    better: bool | None

    @classmethod
    def of_counts(cls, counts: Sequence[int], classes: Sequence[str]) -> Self | None:
        """Return the baseline of K classes with so many images; None if all are of one class."""
        largest, images = int(np.argmax(counts)), sum(counts)
        if counts[largest] == images:
            return None
        return cls(label=classes[largest], accuracy=counts[largest] / images, better=None)

    @classmethod
    def of_confusion(cls, confusion: Labels, classes: Sequence[str]) -> Self | None:
        """Return the baseline of images in a confusion matrix (K, K) that are independent.

        None if all are of one class.
        """
        cells = np.repeat(np.arange(confusion.size), confusion.ravel())  # that of each image
        labels, predicted = np.divmod(cells, len(confusion))
        found = LargestClass.of(labels, predicted, classes)
        if found is None:
            return None
        return cls(label=found.label, accuracy=found.accuracy, better=found.gain.better)

    @property
    def text(self) -> str:
        """The baseline in a sentence."""
        always = (
            f"Always answering the largest class, {self.label}, would be right on "
            f"{self.accuracy:.1%}."
        )
        if self.better is False:
            return (
                f"{always} The model is not clearly better than that: it may have learned nothing. "
                "Give it more images, and check the labels with 'headstart audit'."
            )
        return always

    @property
    def row(self) -> tuple[str, Cell, Cell]:
        """The row of `accuracy_section` about it."""
        return f"always answering {self.label}", Cell.percent(self.accuracy), Cell.of(None)
