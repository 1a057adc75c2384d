"""Regularized logistic regression on features that do not fit into memory.

It solves the same problem as `headstart.heads.logistic_solver`. Each iteration of L-BFGS reads the
features once, piece by piece, from memory or a file. The solution on a sample of the rows is the
starting point, and the curvature there a preconditioner, so that few iterations are needed.
"""

import itertools
from dataclasses import dataclass
from typing import Self

import numpy as np

from headstart.heads.calibration import log_softmax
from headstart.heads.logistic_solver import solve
from headstart.heads.rows import Rows
from headstart.heads.standardization import Standardization
from headstart.system.machine import one_blas_thread
from headstart.system.prefetch import prefetch
from headstart.types import Doubles, Floats, Labels, ProgressCallback, no_progress

_SAMPLE = 10_000
"""Number of rows of the sample."""
_MIN_VARIANCE = 1e-6
"""Lower bound of the mean of p (1 - p), which approaches 0 where the sample is fitted perfectly."""
_ROUNDING = 64 * np.finfo(np.float64).eps
"""The solver has converged once the loss decreases by less than this share, as in scikit-learn."""


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
    progress: ProgressCallback = no_progress,
) -> tuple[Floats, Floats]:
    """Solve one problem for N rows with weights (N,); otherwise as `logistic_solver.solve`.

    `progress` is called with (iterations, maximum).

    Returns:
        Coefficients (K, D) and intercepts (K,), float32, for features that are not standardized;
        for two classes only those of the second class, with K = 1.
    """
    from scipy.optimize import minimize

    standardization = Standardization.of(rows, weights, blocks=rows.widths, prior=prior)
    mass, width = float(weights.sum(dtype=np.float64)), sum(rows.widths)
    outputs = 1 if classes == 2 else classes
    decay = 1 / (strength * mass)

    def part(span: slice, theta: Floats) -> tuple[float, Floats]:
        """Return the loss and gradient of one piece, summed over its rows."""
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

    preconditioner = _Preconditioner.of(rows, y, weights, strength, classes, standardization)
    gradient = np.zeros((outputs, width + 1))
    steps = itertools.count(1)

    def objective(flat: Doubles) -> tuple[float, Doubles]:
        nonlocal gradient
        theta = preconditioner.weights(flat.reshape(outputs, width + 1))
        single = theta.astype(np.float32)
        loss, gradient = 0.0, np.zeros_like(theta)
        # Summed in order, so that the result does not depend on the threads' timing.
        for _, (one, slope) in prefetch(lambda span: part(span, single), list(rows.spans())):
            loss += one
            gradient += slope
        gradient /= mass
        gradient[:, :-1] += decay * theta[:, :-1]
        penalty = 0.5 * decay * float(np.square(theta[:, :-1]).sum())
        return loss / mass + penalty, preconditioner.gradient(gradient).ravel()

    def stop(intermediate_result: object) -> None:
        del intermediate_result
        progress(next(steps), max_iterations)
        if np.abs(gradient).max() <= tolerance:
            raise StopIteration

    # Pieces run in parallel, one thread each: faster than several threads for each product.
    with one_blas_thread():
        found = minimize(
            objective,
            preconditioner.start.ravel(),
            jac=True,
            method="L-BFGS-B",
            callback=stop,
            options={"gtol": 0, "ftol": _ROUNDING, "maxiter": max_iterations, "maxls": 50},
        )
    theta = preconditioner.weights(found.x.reshape(outputs, width + 1))
    coefficients = theta[:, :-1] / standardization.scale
    intercepts = theta[:, -1] - coefficients @ standardization.mean
    if outputs > 1:
        intercepts -= intercepts.mean()
    return coefficients.astype(np.float32), intercepts.astype(np.float32)


@dataclass(frozen=True, slots=True)
class _Preconditioner:
    """Coordinates in which the loss of a sample has about the same curvature in every direction."""

    axes: Floats  # (D, D), the principal axes of the sample's features
    scale: Doubles  # (K, D + 1), roots of the second derivatives by eigenvector and by bias
    start: Doubles  # (K, D + 1), the solution on the sample, in these coordinates

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
        """Solve the problem on evenly spaced rows, with regularization scaled to their weight."""
        places = rows.evenly(_SAMPLE)
        Z, share = standardization(rows.picked(places).whole()), weights[places]
        mass = float(weights.sum(dtype=np.float64))
        own = float(share.sum(dtype=np.float64))
        scaled = np.array([strength * mass / own])
        found = solve(Z, y[places], share[None], scaled, classes=classes, tolerance=1e-4)
        p = np.exp(log_softmax(found.logits(Z)[0].astype(np.float64), axis=0))
        p = p[-len(found.intercepts[0]) :]  # of two classes only the second has weights
        variance = np.maximum((p * (1 - p)) @ share / own, _MIN_VARIANCE)[:, None]
        values, axes = np.linalg.eigh(Z.T @ Z / np.float32(len(Z)))
        along = variance * np.maximum(values, 0) + 1 / (strength * mass)
        scale = np.sqrt(np.concatenate([along, variance], axis=1))
        theta = np.concatenate([found.coefficients[0], found.intercepts[0][:, None]], axis=1)
        turned = np.concatenate([theta[:, :-1] @ axes, theta[:, -1:]], axis=1)
        return cls(axes, scale, turned * scale)

    def weights(self, moved: Doubles) -> Doubles:
        """Convert these coordinates, (K, D + 1), to weights and biases."""
        turned = moved / self.scale
        back = turned[:, :-1] @ self.axes.T
        return np.concatenate([back, turned[:, -1:]], axis=1)

    def gradient(self, gradient: Doubles) -> Doubles:
        """Convert a gradient by weights and biases to one by these coordinates: (K, D + 1)."""
        turned = gradient[:, :-1] @ self.axes
        return np.concatenate([turned, gradient[:, -1:]], axis=1) / self.scale
