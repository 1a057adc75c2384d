"""One regularized logistic regression on more features than a solver may copy.

The problem is that of `headstart.heads.softmax`. Each step of L-BFGS reads the features once, piece
by piece, so that no more than a few pieces are ever held beside them; they may lie in a file. A
sample costs little and tells where to start, and how the loss bends there: in coordinates
that undo this, few steps are needed.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Self

import numpy as np
from threadpoolctl import threadpool_limits

from headstart.heads.calibration import log_softmax
from headstart.heads.curvature import Curvature
from headstart.heads.rows import Rows
from headstart.heads.softmax import solve
from headstart.heads.standardization import Standardization
from headstart.system.prefetch import prefetched
from headstart.types import Doubles, Floats, Labels, ProgressCallback

_STARTING = 10_000
"""Rows of the sample."""
_FLATTEST = 1e-6
"""The mean of p (1 - p) is taken for no less: where the sample is fitted, it says nothing."""
_ROUNDING = 64 * np.finfo(np.float64).eps
"""Relative fall of the loss below which there is nothing left to gain, as in scikit-learn."""


def solve_streamed(
    rows: Rows,
    y: Labels,
    weights: Floats,
    strength: float,
    *,
    classes: int,
    prior: float = 0.0,
    tolerance: float = 1e-4,
    max_iterations: int = 300,
    progress: ProgressCallback | None = None,
) -> tuple[Floats, Floats]:
    """Solve one problem.

    Args:
        rows: N of them.
        y: (N,) labels in [0, classes).
        weights: (N,) of each row.
        strength: inverse strength of regularization, scikit-learn's C.
        classes: K; 2 classes are solved with one logit.
        prior: see `Standardization.of`; the parts of `rows` are its blocks.
        tolerance: stop when no partial derivative of the mean loss is larger.
        max_iterations: stop after so many steps in any case.
        progress: called with (steps, the most there can be).

    Returns:
        Coefficients (K, D) and intercepts (K,), float32, for features that are not standardized;
        of two classes only those of the second.
    """
    from scipy.optimize import minimize

    standardization = Standardization.of(rows, weights, blocks=rows.widths, prior=prior)
    mass, width = float(weights.sum(dtype=np.float64)), sum(rows.widths)
    outputs = 1 if classes == 2 else classes
    decay = 1 / (strength * mass)

    def part(span: slice, theta: Floats) -> tuple[float, Floats]:
        """Loss and gradient of a piece, summed over its rows."""
        Z = standardization(rows.at(span))
        logits = Z @ theta[:, :-1].T + theta[:, -1]
        own, share = y[span], weights[span]
        if outputs == 1:
            z = logits[:, 0]
            each = np.logaddexp(0, z) - z * own
            residual = (0.5 + 0.5 * np.tanh(0.5 * z) - own)[:, None]
        else:
            logits -= logits.max(1, keepdims=True)
            right = logits[np.arange(len(own)), own]
            residual = np.exp(logits)
            total = residual.sum(1)
            each = np.log(total) - right
            residual /= total[:, None]
            residual[np.arange(len(own)), own] -= 1
        residual = (residual * share[:, None]).astype(np.float32)
        gradient = np.concatenate([residual.T @ Z, residual.sum(0)[:, None]], axis=1)
        return float(share.astype(np.float64) @ each), gradient

    basis = _Basis.of(rows, y, weights, strength, classes, standardization)
    gradient = np.zeros((outputs, width + 1))
    steps = itertools.count(1)

    def objective(flat: Doubles) -> tuple[float, Doubles]:
        nonlocal gradient
        theta = basis.weights(flat.reshape(outputs, width + 1))
        single = theta.astype(np.float32)
        loss, gradient = 0.0, np.zeros_like(theta)
        # Summed in order: the same to the last bit, however fast each thread is.
        for _, (one, slope) in prefetched(lambda span: part(span, single), list(rows.spans())):
            loss += one
            gradient += slope
        gradient /= mass
        gradient[:, :-1] += decay * theta[:, :-1]
        penalty = 0.5 * decay * float(np.square(theta[:, :-1]).sum())
        return loss / mass + penalty, basis.slopes(gradient).ravel()

    def stop(intermediate_result: object) -> None:
        del intermediate_result
        if progress:
            progress(next(steps), max_iterations)
        if np.abs(gradient).max() <= tolerance:
            raise StopIteration

    # Products of this size are no faster on two threads than two of them side by side.
    with threadpool_limits(1, user_api="blas"):
        found = minimize(
            objective,
            basis.start.ravel(),
            jac=True,
            method="L-BFGS-B",
            callback=stop,
            options={"gtol": 0, "ftol": _ROUNDING, "maxiter": max_iterations, "maxls": 50},
        )
    theta = basis.weights(found.x.reshape(outputs, width + 1))
    coefficients = theta[:, :-1] / standardization.scale
    intercepts = theta[:, -1] - coefficients @ standardization.mean
    if outputs > 1:
        intercepts -= intercepts.mean()
    return coefficients.astype(np.float32), intercepts.astype(np.float32)


@dataclass(frozen=True, slots=True)
class _Basis:
    """Coordinates in which the loss bends equally in all directions, as far as a sample tells.

    Attributes:
        curvature: of the sample's features.
        scale: (K, D + 1), root of the second derivative along each of its vectors, and by bias.
        start: (K, D + 1), the sample's solution, in these coordinates.
    """

    curvature: Curvature
    scale: Doubles
    start: Doubles

    @classmethod
    def of(
        cls,
        rows: Rows,
        y: Labels,
        weights: Floats,
        strength: float,
        classes: int,
        standardization: Standardization,
    ) -> Self:
        """From evenly spaced rows, held back about as strongly for their mass as all rows are."""
        places = rows.evenly(_STARTING)
        Z, share = standardization(rows.picked(places).whole()), weights[places]
        mass = float(weights.sum(dtype=np.float64))
        own = float(share.sum(dtype=np.float64))
        scaled = np.array([strength * mass / own])
        found = solve(Z, y[places], share[None], scaled, classes=classes, tolerance=1e-3)
        p = np.exp(log_softmax(found.logits(Z)[0].astype(np.float64), axis=0))[
            -len(found.intercepts[0]) :
        ]
        bend = np.maximum((p * (1 - p)) @ share / own, _FLATTEST)[:, None]
        curvature = Curvature.of(Z)
        along = bend * curvature.values + 1 / (strength * mass)
        scale = np.sqrt(np.concatenate([along, bend], axis=1))
        theta = np.concatenate([found.coefficients[0], found.intercepts[0][:, None]], axis=1)
        turned = np.concatenate([theta[:, :-1] @ curvature.vectors, theta[:, -1:]], axis=1)
        return cls(curvature, scale, turned * scale)

    def weights(self, moved: Doubles) -> Doubles:
        """Weights and biases (K, D + 1) from these coordinates."""
        turned = moved / self.scale
        back = turned[:, :-1] @ self.curvature.vectors.T
        return np.concatenate([back, turned[:, -1:]], axis=1)

    def slopes(self, gradient: Doubles) -> Doubles:
        """The gradient by these coordinates, (K, D + 1), of that by weights and biases."""
        turned = gradient[:, :-1] @ self.curvature.vectors
        return np.concatenate([turned, gradient[:, -1:]], axis=1) / self.scale
