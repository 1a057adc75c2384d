"""Labels that are probably wrong: images that heads trained without them see as another class.

Wrong labels harm the heads that are to find them. So the heads are trained again, with less weight
on the labels that the first heads doubt; with 10% of the labels wrong, that finds more of them
(docs/decisions/0017-audit.md). Confident learning (Northcutt et al. 2021, "Confident learning:
estimating uncertainty in dataset labels") ranks by the same out-of-fold probabilities.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from headstart.auditing.issue import Issue, IssueKind, LabeledImages
from headstart.heads.calibration import fit_temperatures, probabilities
from headstart.heads.families import head_family
from headstart.heads.head import LabeledFeatures
from headstart.heads.logistic import IN_MEMORY
from headstart.heads.rows import Rows
from headstart.types import Floats, Labels, ProgressCallback, no_progress

HEAD: Final = "logistic"
"""The head's family; it must take weights other than 0 and 1."""
_ROUNDS: Final = 3
_WRONG: Final = 0.1
"""Share of wrong labels assumed for the weights: p / (p + 0.1) for an image whose label has the
probability p. Between 0.03 and 0.3 the results hardly differ (measured)."""
_LEAST_WEIGHT: Final = 0.01
RATIO: Final = 10.0
"""A label is reported if another class is at least this many times as probable."""
MIN_IMAGES: Final = 5
"""Labels of classes with fewer images are not judged, since no head could learn the class."""


def label_probabilities(
    rows: Rows,
    y: Labels,
    folds: Labels,
    *,
    setting: float,
    classes: int,
    progress: ProgressCallback = no_progress,
) -> Floats:
    """Return the class probabilities of each image by a head trained without it.

    Args:
        rows: Features of N images.
        y: (N,) labels in [0, classes), some of which may be wrong.
        folds: (N,) fold of each image, 0 to F - 1.
        setting: Setting of the head's family.
        classes: Number of classes K.
        progress: Called with (done, total) rounds of training.

    Returns:
        (N, K) calibrated probabilities; rows sum to 1.
    """
    weights: Floats = np.ones(len(y), np.float32)
    found = np.zeros((len(y), classes), np.float32)
    for turn in range(_ROUNDS):
        logits = _out_of_fold(rows, y, folds, weights, setting, classes)
        progress(turn + 1, _ROUNDS)
        (temperature,) = fit_temperatures(logits.T[None], y, weights)
        found = probabilities(logits, temperature)
        own = found[np.arange(len(y)), y]
        weights = _weights(own)
    return found


def _weights(own: Floats) -> Floats:
    """Return the weights of images by the probability of their labels, (N,)."""
    weights: Floats = np.maximum(own / (own + _WRONG), _LEAST_WEIGHT).astype(np.float32)
    return weights


def likely_classes(rows: Rows, y: Labels, found: Floats, others: Rows, *, setting: float) -> Labels:
    """Return the most probable classes (M,) of further images, whose labels contradict each other.

    Args:
        rows: Features of N images.
        y: (N,) labels in [0, K), some of which may be wrong.
        found: (N, K) their `label_probabilities`.
        others: Features of the M further images.
        setting: Setting of the head's family.
    """
    weights = _weights(found[np.arange(len(y)), y])
    head = head_family(HEAD).fit_rows(rows, y, weights, setting, classes=found.shape[1])
    best: Labels = head.logits(others.whole()).argmax(axis=1)
    return best


def _out_of_fold(
    rows: Rows, y: Labels, folds: Labels, weights: Floats, setting: float, classes: int
) -> Floats:
    """Return logits (N, K) by heads that were trained on the other folds, with (N,) weights."""
    family, logits = head_family(HEAD), np.empty((len(y), classes), np.float32)
    masks = [folds == fold for fold in range(int(folds.max()) + 1)]
    if rows.nbytes <= IN_MEMORY:  # all heads together
        data = LabeledFeatures.of(rows, y, classes)
        out = family.held_out(data, np.stack([weights * ~mask for mask in masks]), [setting])
        for mask, found in zip(masks, out, strict=True):
            logits[mask] = found[0].T
        return logits
    for mask in masks:
        known, held_out = np.flatnonzero(~mask), rows.picked(np.flatnonzero(mask))
        head = family.fit_rows(
            rows.picked(known), y[known], weights[known], setting, classes=classes
        )
        logits[mask] = np.concatenate([head.logits(held_out.at(span)) for span in held_out.spans()])
    return logits


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelCheck:
    """How probable each label is.

    Attributes:
        stages: Stages of the backbone whose features the heads use.
        rows: (N,) rows of the images that were checked, one of each group of identical ones.
        labels: (N,) their labels, as indices into `classes`.
        classes: K class names.
        probabilities: (N, K) class probabilities by heads that were trained without the image.
        likely: Row of an image whose identical copies have other labels -> its most probable class,
            by a head that was trained on the others.
    """

    stages: tuple[str, ...]
    rows: Labels
    labels: Labels
    classes: tuple[str, ...]
    probabilities: Floats
    likely: Mapping[int, str] = field(default_factory=dict)

    @property
    def of_labels(self) -> Floats:
        """(N,) probability of each image's own label; the lowest are the most suspicious."""
        own: Floats = self.probabilities[np.arange(len(self.labels)), self.labels]
        return own

    @property
    def doubtful(self) -> np.ndarray:
        """(N,) bool: whether another class is `RATIO` times as probable as the label."""
        sizes = np.bincount(self.labels, minlength=len(self.classes))
        wrong: np.ndarray = self.probabilities.max(axis=1) >= RATIO * self.of_labels
        return wrong & (sizes[self.labels] >= MIN_IMAGES)


def label_issues(images: LabeledImages, check: LabelCheck) -> list[Issue]:
    """Return the images whose labels are probably wrong, with the more probable class."""
    p, own = check.probabilities, check.of_labels
    best = p.argmax(axis=1)
    return [
        images.issue(
            int(check.rows[place]),
            IssueKind.WRONG_LABEL,
            1 - own[place],
            f"predicted without it: {check.classes[best[place]]} {p[place, best[place]]:.3f}, "
            f"{check.classes[check.labels[place]]} {own[place]:.3f}",
            suggested_label=check.classes[best[place]],
        )
        for place in np.flatnonzero(check.doubtful).tolist()
    ]
