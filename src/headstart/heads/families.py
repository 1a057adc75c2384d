"""How each kind of head is trained: once on all rows, or on many folds to choose its setting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np

from headstart.heads.head import CentroidHead, Head, KnnHead, LinearHead, Standardization, unit
from headstart.heads.rows import Rows
from headstart.heads.softmax import solve
from headstart.heads.streaming import WHOLE, solve_streamed
from headstart.types import Doubles, Floats, HeadKind, Labels, ProgressCallback

_SEARCH_TOLERANCE = 3e-4
"""Stopping test while settings are compared. On six sets of photos it chose as well as 1e-4 in two
thirds of the time; 1e-3 stops so early that weak regularization looks better than it is (pets).
The head that is kept is solved to 1e-4, and so is
the search where images are many (`softmax.solve`)."""
PRIOR = 100.0
"""Images that the mean variance of a stage counts for in standardizing; docs/decisions/0004."""

Blocks: TypeAlias = Sequence[int] | None


class HeadFamily(Protocol):
    """A kind of head with one setting that cross-validation chooses."""

    @property
    def settings(self) -> tuple[float, ...]:
        """G candidates, the most cautious first: ties go to the earlier."""
        ...

    @property
    def default(self) -> int:
        """Index of the setting for sets too small to choose."""
        ...

    def held_out(
        self,
        X: Floats,
        y: Labels,
        weights: Floats,
        *,
        classes: int,
        blocks: Blocks = None,
        settings: Sequence[float] | None = None,
    ) -> list[Floats]:
        """Logits for the rows that each fold leaves out.

        Args:
            X: (N, D) features.
            y: (N,) labels.
            weights: (F, N) row weights; 0 for the rows that are left out.
            classes: K.
            blocks: widths of the stages side by side in X; see `Standardization.of`.
            settings: G of the family's; all by default.

        Returns:
            F arrays (G, K, rows with weight 0).
        """
        ...

    def fit(
        self,
        X: Floats,
        y: Labels,
        weights: Floats,
        setting: float,
        *,
        classes: int,
        blocks: Blocks = None,
    ) -> Head:
        """The head trained on all rows with a positive weight (N,)."""
        ...


@dataclass(frozen=True)
class LogisticFamily:
    """Multinomial logistic regression; the setting is scikit-learn's C."""

    settings: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
    default: int = 3

    def held_out(
        self,
        X: Floats,
        y: Labels,
        weights: Floats,
        *,
        classes: int,
        blocks: Blocks = None,
        settings: Sequence[float] | None = None,
    ) -> list[Floats]:
        """All folds and settings in one joint solution; see `HeadFamily`."""
        strengths: Doubles = np.array(self.settings if settings is None else settings)
        maps = solve(
            X,
            y,
            weights,
            strengths,
            classes=classes,
            blocks=blocks,
            prior=PRIOR,
            tolerance=_SEARCH_TOLERANCE,
        )
        count = len(strengths)
        return [
            maps.part(slice(fold * count, (fold + 1) * count)).logits(X[row == 0])
            for fold, row in enumerate(weights)
        ]

    def fit(
        self,
        X: Floats,
        y: Labels,
        weights: Floats,
        setting: float,
        *,
        classes: int,
        blocks: Blocks = None,
    ) -> Head:
        """See `HeadFamily`."""
        maps = solve(
            X,
            y,
            weights[None],
            np.array([setting]),
            classes=classes,
            blocks=blocks,
            prior=PRIOR,
        )
        return _linear(maps.coefficients[0], maps.intercepts[0])


def _linear(coefficients: Floats, intercepts: Floats) -> LinearHead:
    if len(intercepts) > 1:
        return LinearHead(coefficients, intercepts)
    # One logit z becomes the pair (-z/2, z/2).
    sign = np.array([[-0.5], [0.5]], np.float32)
    return LinearHead(sign * coefficients, sign[:, 0] * intercepts)


@dataclass(frozen=True)
class CentroidFamily:
    """Nearest centroid: nothing to choose."""

    settings: tuple[float, ...] = (0.0,)
    default: int = 0

    def held_out(
        self,
        X: Floats,
        y: Labels,
        weights: Floats,
        *,
        classes: int,
        blocks: Blocks = None,
        settings: Sequence[float] | None = None,
    ) -> list[Floats]:
        """See `HeadFamily`."""
        del settings
        scores = []
        for row in weights:
            logits = self.fit(X, y, row, 0.0, classes=classes, blocks=blocks).logits(X[row == 0])
            present = np.isin(np.arange(classes), y[row > 0])
            # A class that the fold lost entirely has no place: just less likely than all others.
            logits[:, ~present] = logits[:, present].min(1, keepdims=True) - 1
            scores.append(logits.T[None])
        return scores

    def fit(
        self,
        X: Floats,
        y: Labels,
        weights: Floats,
        setting: float,
        *,
        classes: int,
        blocks: Blocks = None,
    ) -> Head:
        """See `HeadFamily`; there is no setting."""
        del setting
        standardization = Standardization.of(X, weights, blocks=blocks, prior=PRIOR)
        members = (y[None] == np.arange(classes)[:, None]) * weights
        mass = members.sum(1, keepdims=True)
        centroids = (members / np.maximum(mass, 1e-12)).astype(np.float32) @ standardization(X)
        return CentroidHead(standardization, centroids)


@dataclass(frozen=True)
class KnnFamily:
    """k nearest neighbors; the setting is k."""

    settings: tuple[float, ...] = (25.0, 10.0, 5.0, 1.0)
    default: int = 3

    def held_out(
        self,
        X: Floats,
        y: Labels,
        weights: Floats,
        *,
        classes: int,
        blocks: Blocks = None,
        settings: Sequence[float] | None = None,
    ) -> list[Floats]:
        """See `HeadFamily`."""
        counts = [int(k) for k in (self.settings if settings is None else settings)]
        heads = [self._fit(X, y, row, counts[0], classes, blocks) for row in weights]
        return [
            head.logits_by_count(X[row == 0], counts).swapaxes(1, 2)
            for head, row in zip(heads, weights, strict=True)
        ]

    def fit(
        self,
        X: Floats,
        y: Labels,
        weights: Floats,
        setting: float,
        *,
        classes: int,
        blocks: Blocks = None,
    ) -> Head:
        """See `HeadFamily`; weights only say which rows are used."""
        return self._fit(X, y, weights, int(setting), classes, blocks)

    def _fit(
        self,
        X: Floats,
        y: Labels,
        weights: Floats,
        neighbors: int,
        classes: int,
        blocks: Blocks,
    ) -> KnnHead:
        used = weights > 0
        standardization = Standardization.of(X, used.astype(np.float32), blocks=blocks, prior=PRIOR)
        examples = unit(standardization(X[used]))
        return KnnHead(standardization, examples, y[used], neighbors, classes)


FAMILIES: dict[HeadKind, HeadFamily] = {
    HeadKind.LOGISTIC: LogisticFamily(),
    HeadKind.CENTROID: CentroidFamily(),
    HeadKind.KNN: KnnFamily(),
}


def train_head(
    kind: HeadKind,
    rows: Rows,
    y: Labels,
    weights: Floats,
    setting: float,
    *,
    classes: int,
    progress: ProgressCallback | None = None,
) -> Head:
    """The head that is kept, trained on all rows; logistic regression copies only a few.

    Args:
        kind: its family.
        rows: N of them, each stage a part.
        y: (N,) labels.
        weights: (N,) of the rows.
        setting: of the family.
        classes: K.
        progress: of large sets; called with (steps, the most there can be).
    """
    if kind is HeadKind.LOGISTIC and rows.nbytes > WHOLE:
        order = rows.chosen.argsort()  # as they lie: each step reads all, perhaps from a disk
        streamed = rows.picked(order), y[order], weights[order]
        found = solve_streamed(*streamed, setting, classes=classes, prior=PRIOR, progress=progress)
        return _linear(*found)
    return FAMILIES[kind].fit(
        rows.whole(), y, weights, setting, classes=classes, blocks=rows.widths
    )
