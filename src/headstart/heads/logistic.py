"""Multinomial logistic regression, the default head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from headstart.heads.head import HeadFamily, LabeledFeatures, check_tensors
from headstart.heads.logistic_solver import TOLERANCE, LinearMaps, solve
from headstart.heads.rows import Rows
from headstart.heads.standardization import PRIOR
from headstart.heads.streaming import solve_streamed
from headstart.types import Floats, Labels, ProgressCallback, no_progress

if TYPE_CHECKING:
    from torch import Tensor

IN_MEMORY = 64 * 2**20
"""Maximum size in bytes of features that are copied into memory."""
_SEARCH_TOLERANCE = 2e-4
"""Convergence tolerance while settings are compared. The loss of images left out is then within a
tenth of its standard error of that of the exact solution."""


@dataclass(frozen=True, slots=True)
class LinearHead:
    """Linear logits of features; the standardization is folded into the weights.

    Attributes:
        coefficients: (K, D) float32 weights.
        intercepts: (K,) float32 biases.
    """

    kind: ClassVar[str] = "logistic"
    coefficients: Floats
    intercepts: Floats

    @property
    def width(self) -> int:
        """Number of features D."""
        return int(self.coefficients.shape[1])

    def logits(self, X: Floats) -> Floats:
        """Map features (N, D) to logits (N, K)."""
        return X @ self.coefficients.T + self.intercepts

    def torch_logits(self, X: Tensor) -> Tensor:
        """Map features (B, D) to logits (B, K), differentiably."""
        return X @ X.new_tensor(self.coefficients).T + X.new_tensor(self.intercepts)

    def tensors(self) -> dict[str, np.ndarray]:
        """Return both arrays by name."""
        return {"coefficients": self.coefficients, "intercepts": self.intercepts}


@dataclass(frozen=True)
class LogisticFamily(HeadFamily):
    """Logistic regression; the setting is scikit-learn's C, the inverse of the regularization."""

    description: ClassVar[str] = "multinomial logistic regression"
    symbol: ClassVar[str] = "C"
    settings: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
    default: int = 3

    def fit(self, data: LabeledFeatures, weights: Floats, setting: float) -> LinearHead:
        """See `HeadFamily.fit`."""
        maps = _solve(data, weights[None], [setting])
        return _linear_head(maps.coefficients[0], maps.intercepts[0])

    def fit_rows(
        self,
        rows: Rows,
        y: Labels,
        weights: Floats,
        setting: float,
        *,
        classes: int,
        progress: ProgressCallback = no_progress,
    ) -> LinearHead:
        """Train on rows that may be in a file; many are read piece by piece."""
        if rows.nbytes <= IN_MEMORY:
            return self.fit(LabeledFeatures.of(rows, y, classes), weights, setting)
        # In the order of the file, because each iteration reads all rows, possibly from disk.
        order = rows.chosen.argsort()
        return _linear_head(
            *solve_streamed(
                rows.picked(order),
                y[order],
                weights[order],
                setting,
                classes=classes,
                prior=PRIOR,
                progress=progress,
            )
        )

    def held_out(
        self, data: LabeledFeatures, weights: Floats, settings: Sequence[float] | None = None
    ) -> list[Floats]:
        """See `HeadFamily.held_out`.

        Stronger regularization than wanted is solved too: every solution is where the next starts,
        and must not depend on which of them are wanted.
        """
        wanted = list(self.settings if settings is None else settings)
        path = [one for one in self.settings if one < max(wanted) and one not in wanted] + wanted
        maps = _solve(data, weights, path, _SEARCH_TOLERANCE)
        return [
            maps.part(slice((fold + 1) * len(path) - len(wanted), (fold + 1) * len(path))).logits(
                data.X[row == 0]
            )
            for fold, row in enumerate(weights)
        ]

    def load(self, tensors: Mapping[str, np.ndarray]) -> LinearHead:
        """See `HeadFamily.load`."""
        check_tensors(tensors, {"coefficients": "KD", "intercepts": "K"})
        return LinearHead(tensors["coefficients"], tensors["intercepts"])


def _solve(
    data: LabeledFeatures, weights: Floats, strengths: Sequence[float], tolerance: float = TOLERANCE
) -> LinearMaps:
    return solve(
        data.X,
        data.y,
        weights,
        np.array(strengths),
        classes=data.classes,
        blocks=data.blocks,
        prior=PRIOR,
        tolerance=tolerance,
    )


def _linear_head(coefficients: Floats, intercepts: Floats) -> LinearHead:
    if len(intercepts) > 1:
        return LinearHead(coefficients, intercepts)
    # Two classes are solved with one logit z, which becomes the pair (-z/2, z/2).
    sign = np.array([[-0.5], [0.5]], np.float32)
    return LinearHead(sign * coefficients, sign[:, 0] * intercepts)
