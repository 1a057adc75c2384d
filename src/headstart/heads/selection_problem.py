"""The data of a selection, and cross-validation of one candidate on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import TypeAlias

import numpy as np

from headstart.heads.calibration import calibrate, fit_temperatures
from headstart.heads.candidates import Candidate
from headstart.heads.head import HeadFamily, LabeledFeatures
from headstart.types import Doubles, Floats, Labels

_MIN_FOLD = 150
"""Images of the smallest fold for early elimination: with fewer, standard errors are unreliable and
all fits are fast."""

Pair: TypeAlias = tuple[int, int]
"""Two folds that are held out together."""


def clusters_of(keys: Sequence[str]) -> Labels | None:
    """Return (N,) the series of images, which have equal keys; None if all keys differ."""
    if len(set(keys)) == len(keys):
        return None
    clusters: Labels = np.unique(keys, return_inverse=True)[1]
    return clusters


@dataclass(frozen=True)
class SelectionProblem:
    """The data that all candidates share.

    Attributes:
        values: (N, width) features of each stage.
        y: (N,) labels in [0, classes).
        family: family of the head.
        classes: number of classes K.
        row_weights: (N,) weight of each image in training.
        folds: (N,) fold of each image, from 0; None if nothing can be held out.
        clusters: (N,) the series of each image; None if all images are independent.
    """

    values: Mapping[str, Floats]
    y: Labels
    family: HeadFamily
    classes: int
    row_weights: Floats
    folds: Labels | None
    clusters: Labels | None = None

    @cached_property
    def single(self) -> list[np.ndarray]:
        """Mask (N,) of each fold; empty if nothing can be held out."""
        folds = self.folds
        return [] if folds is None else [folds == fold for fold in range(int(folds.max()) + 1)]

    @cached_property
    def pairs(self) -> list[Pair]:
        """All pairs of folds."""
        return list(combinations(range(len(self.single)), 2))

    @cached_property
    def first_pairs(self) -> list[Pair]:
        """The pairs that elimination is based on, with every fold in one; empty without it."""
        large = min(mask.sum() for mask in self.single) >= _MIN_FOLD
        # Sets that are large enough have three folds, see `fold_count`.
        return [(0, 1), (0, 2)] if large and len(self.single) == 3 else []

    def clusters_at(self, rows: np.ndarray) -> Labels | None:
        """Return the series of the images at a mask (N,)."""
        return None if self.clusters is None else self.clusters[rows]

    def width(self, candidate: Candidate) -> int:
        """Return the number of features of a candidate."""
        return sum(self.values[stage].shape[1] for stage in candidate.stages)

    def without(self, pair: Pair) -> np.ndarray:
        """Return the mask (N,) of the two folds."""
        both: np.ndarray = self.single[pair[0]] | self.single[pair[1]]
        return both

    def held_out(
        self, candidate: Candidate, out: Sequence[np.ndarray], settings: Labels
    ) -> list[Floats]:
        """Return logits (G, K, n) at each mask (N,), by heads trained on the other rows."""
        widths = [self.values[stage].shape[1] for stage in candidate.stages]
        return self.family.held_out(
            LabeledFeatures(candidate.gather(self.values), self.y, self.classes, widths),
            np.stack([self.row_weights * ~rows for rows in out]),
            [self.family.settings[setting] for setting in settings],
        )

    def out_of_fold(self, candidate: Candidate, settings: Labels) -> Floats:
        """Return logits (G, K, N), each row by heads trained without its fold."""
        scores = self.held_out(candidate, self.single, settings)
        return self.join(list(zip(self.single, scores, strict=True)))

    def join(self, parts: Sequence[tuple[np.ndarray, Floats]]) -> Floats:
        """Combine logits (G, K, n) of the rows at masks (N,) to logits (G, K, N)."""
        logits = np.zeros((len(parts[0][1]), self.classes, len(self.y)), np.float32)
        for rows, score in parts:
            logits[:, :, rows] = score
        return logits

    def temperature(self, logits: Floats) -> float:
        """Fit the temperature for out-of-fold logits (K, N)."""
        return float(fit_temperatures(logits[None], self.y, self.row_weights)[0])

    def inner_losses(
        self, scores: Mapping[Pair, Floats], outer: int
    ) -> tuple[np.ndarray, Floats, Doubles]:
        """Return losses of heads trained without fold `outer` and the fold of the image.

        Args:
            scores: for pairs of folds, logits (G, K, n) of their rows by heads without them.
            outer: index of a fold.

        Returns:
            Mask (N,) of the images, their calibrated losses (G, n), and the temperatures (G,).
        """
        parts = []
        for pair, score in scores.items():
            if outer in pair:
                tested = self.single[sum(pair) - outer]
                parts.append((tested, score[:, :, tested[self.without(pair)]]))
        rows = np.any([tested for tested, _ in parts], axis=0)
        logits = self.join(parts)[:, :, rows]
        return rows, *calibrate(logits, self.y[rows], self.row_weights[rows])
