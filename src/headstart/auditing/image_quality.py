"""Images without content: blank, dark, overexposed, blurred or tiny.

Each rule has two conditions. The image must be unusable by an absolute measure, and unusual among
the images of its class: handwritten digits of 28 pixels are not tiny, and open water seen from a
satellite is not blank, where all others are the same.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from headstart.auditing.issue import Issue, IssueKind, LabeledImages
from headstart.auditing.measurements import Measurements
from headstart.types import Doubles, Labels

_BLANK: Final = 3.0
"""Standard deviation in gray levels of 255."""
_DARK, _BRIGHT = 40.0, 215.0
"""Gray levels that 99% of the pixels of a dark image are below, and of a bright one above."""
_BLURRED: Final = 0.78
_TINY: Final = 64
"""Pixels of the shorter side."""
_MIN_CLASS: Final = 10
"""Images of the smallest class that is compared with itself."""


@dataclass(frozen=True, slots=True)
class _Rule:
    """Images whose measure is beyond a fixed limit and one that depends on its class.

    Attributes:
        kind: Kind of the issue.
        measure: Returns the measure of each image, (N,).
        text: States the measure, which is formatted into it.
        limit: The fixed limit.
        unusual: Returns the other limit for the median of the image's class.
        stricter: `np.minimum` if the measure of bad images is below both limits, `np.maximum` if
            it is above.
        worst: The most extreme value of the measure, which has the score 1.
    """

    kind: IssueKind
    measure: Callable[[Measurements], Doubles]
    text: str
    limit: float
    unusual: Callable[[Doubles], Doubles]
    stricter: np.ufunc
    worst: float


_RULES: Final = (
    _Rule(
        IssueKind.BLANK,
        lambda found: found.contrast,
        "its gray levels vary by {:.1f} of 255",
        _BLANK,
        lambda median: median / 10,
        np.minimum,
        0,
    ),
    _Rule(
        IssueKind.DARK,
        lambda found: found.brightest,
        "99% of its pixels are darker than {:.0f} of 255",
        _DARK,
        lambda median: median / 2,
        np.minimum,
        0,
    ),
    _Rule(
        IssueKind.BRIGHT,
        lambda found: found.darkest,
        "99% of its pixels are brighter than {:.0f} of 255",
        _BRIGHT,
        lambda median: (median + 255) / 2,
        np.maximum,
        255,
    ),
    _Rule(
        IssueKind.BLURRED,
        lambda found: found.blur,
        "its blur is {:.2f} of 1",
        _BLURRED,
        lambda median: (2 * median + 1) / 3,
        np.maximum,
        1,
    ),
    _Rule(
        IssueKind.TINY,
        lambda found: found.sizes.min(axis=1).astype(np.float64),
        "its shorter side has {:.0f} pixels",
        _TINY,
        lambda median: median / 2,
        np.minimum,
        0,
    ),
)


def quality_issues(images: LabeledImages, found: Measurements) -> list[Issue]:
    """Return the images without content; a blank image is reported as blank only."""
    issues: list[Issue] = []
    blank = np.zeros(len(images.paths), bool)
    for rule in _RULES:
        values = rule.measure(found)
        medians = _class_medians(values, images.labels)
        limits = rule.stricter(rule.limit, rule.unusual(medians))
        bad = (values < limits if rule.stricter is np.minimum else values > limits) & ~blank
        if rule.kind is IssueKind.BLANK:
            blank = bad
        for row in np.flatnonzero(bad).tolist():
            evidence = f"{rule.text.format(values[row])} (median of its class: {medians[row]:.3g})"
            excess = abs(values[row] - limits[row]) / abs(rule.worst - limits[row])
            issues.append(images.issue(row, rule.kind, excess, evidence))
    return issues


def _class_medians(values: Doubles, labels: Labels) -> Doubles:
    """Return the median of each image's class, or of all images if the class is small."""
    medians: Doubles = np.full(len(values), np.median(values))
    for label in np.flatnonzero(np.bincount(labels) >= _MIN_CLASS):
        medians[labels == label] = np.median(values[labels == label])
    return medians
