"""One finding of an audit, and the images that findings are about."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from headstart.datasets import ImageDataset
from headstart.types import Labels, Split


class IssueKind(StrEnum):
    """What may be wrong, in the order in which an audit lists it."""

    LABEL_CONFLICT = "label conflict"
    WRONG_LABEL = "wrong label"
    COPY = "copy"
    OUTLIER = "outlier"
    UNREADABLE = "unreadable"
    BLANK = "blank"
    DARK = "dark"
    BRIGHT = "bright"
    BLURRED = "blurred"
    TINY = "tiny"
    SERIES = "series"
    CONFUSED_CLASSES = "confused classes"
    BACKGROUND = "background"


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """A possible problem with an image or a class; a row of audit.csv.

    Attributes:
        path: The image file; "" if the issue is about a class.
        kind: What may be wrong.
        score: How strong the evidence is, in [0, 1]; comparable within a kind only.
        label: Class of the image, or the class that the issue is about.
        suggested_label: The more probable class, or the class that `label` is confused with; "" if
            there is none.
        evidence: The reason, in words.
        other_path: An image to compare with, such as the original of a copy; "" if there is none.
    """

    path: str
    kind: IssueKind
    score: float
    label: str
    suggested_label: str = ""
    evidence: str = ""
    other_path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabeledImages:
    """The images that issues are about.

    Attributes:
        paths: N image files.
        labels: (N,) indices into `classes`.
        classes: K class names.
        splits: N splits; empty if the data set has none.
    """

    paths: tuple[str, ...]
    labels: Labels
    classes: tuple[str, ...]
    splits: tuple[Split, ...] = ()

    @classmethod
    def of(cls, dataset: ImageDataset) -> LabeledImages:
        """Return the images of a data set."""
        return cls(
            paths=tuple(str(path) for path in dataset.paths),
            labels=dataset.labels,
            classes=dataset.classes,
            splits=dataset.splits,
        )

    def label(self, row: int) -> str:
        """Return the class name of an image."""
        return self.classes[int(self.labels[row])]

    def issue(self, row: int, kind: IssueKind, score: float, evidence: str, **more: Any) -> Issue:
        """Return an issue with an image; `more` are further fields of it."""
        return Issue(
            path=self.paths[row],
            kind=kind,
            score=min(1.0, max(0.0, float(score))),
            label=self.label(row),
            evidence=evidence,
            **more,
        )


def in_order(issues: Iterable[Issue]) -> tuple[Issue, ...]:
    """Return issues by kind, the strongest evidence first."""
    kinds = list(IssueKind)
    return tuple(sorted(issues, key=lambda one: (kinds.index(one.kind), -one.score, one.path)))
