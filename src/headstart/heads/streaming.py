"""One regularised logistic regression on more features than a solver may copy.

The problem is that of `headstart.heads.softmax`. Each step of L-BFGS reads the features once, piece
by piece, so that no more than a few pieces are ever held beside them; they may lie in a file. A
solution on a sample is the start: it is near, and costs next to nothing.
"""

from __future__ import annotations

import numpy as np
from threadpoolctl import threadpool_limits

from headstart.heads.head import Standardisation
from headstart.heads.rows import Rows
from headstart.heads.softmax import solve
from headstart.prefetch import prefetched
from headstart.types import Doubles, Floats, Labels

WHOLE = 64 * 2**20
"""Bytes of features up to which they are simply copied."""
_SAMPLE = 5_000
"""Rows whose solution is the start."""
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
) -> tuple[Floats, Floats]:
    """Solve one problem.

    Args:
        rows: N of them.
        y: (N,) labels in [0, classes).
        weights: (N,) of each row.
        strength: inverse strength of regularisation, scikit-learn's C.
        classes: K; 2 classes are solved with one logit.
        prior: see `Standardisation.of`; the parts of `rows` are its blocks.
        tolerance: stop when no partial derivative of the mean loss is larger.
        max_iterations: stop after so many steps in any case.

    Returns:
        Coefficients (K, D) and intercepts (K,), float32, for features that are not standardised;
        of two classes only those of the second.
    """
    from scipy.optimize import minimize

    standardisation = Standardisation.of(rows, weights, blocks=rows.widths, prior=prior)
    mass, width = float(weights.sum(dtype=np.float64)), sum(rows.widths)
    outputs = 1 if classes == 2 else classes
    decay = 1 / (strength * mass)

    def part(span: slice, theta: Floats) -> tuple[float, Floats]:
        """Loss and gradient of a piece, summed over its rows."""
        Z = standardisation(rows.at(span))
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

    def objective(flat: Doubles) -> tuple[float, Doubles]:
        theta = flat.reshape(outputs, width + 1)
        single = theta.astype(np.float32)
        loss, gradient = 0.0, np.zeros_like(theta)
        # Summed in order: the same to the last bit, however fast each thread is.
        for _, (one, slope) in prefetched(lambda span: part(span, single), list(rows.spans())):
            loss += one
            gradient += slope
        gradient /= mass
        gradient[:, :-1] += decay * theta[:, :-1]
        penalty = 0.5 * decay * float(np.square(theta[:, :-1]).sum())
        return loss / mass + penalty, gradient.ravel()

    start = _start(rows, y, weights, strength, classes, standardisation, max_iterations)
    # Products of this size are no faster on two threads than two of them side by side.
    with threadpool_limits(1, user_api="blas"):
        found = minimize(
            objective,
            start.ravel(),
            jac=True,
            method="L-BFGS-B",
            options={"gtol": tolerance, "ftol": _ROUNDING, "maxiter": max_iterations, "maxls": 50},
        )
    theta = found.x.reshape(outputs, width + 1)
    coefficients = theta[:, :-1] / standardisation.scale
    intercepts = theta[:, -1] - coefficients @ standardisation.mean
    if outputs > 1:
        intercepts -= intercepts.mean()
    return coefficients.astype(np.float32), intercepts.astype(np.float32)


def _start(
    rows: Rows,
    y: Labels,
    weights: Floats,
    strength: float,
    classes: int,
    standardisation: Standardisation,
    max_iterations: int,
) -> Doubles:
    """(K, D + 1), the solution on evenly spaced rows, held back as strongly for their mass."""
    places = np.arange(0, len(rows), max(1, len(rows) // _SAMPLE))
    share = weights[places]
    scaled = strength * float(weights.sum(dtype=np.float64)) / float(share.sum(dtype=np.float64))
    found = solve(
        standardisation(rows.picked(places).whole()),
        y[places],
        share[None],
        np.array([scaled]),
        classes=classes,
        tolerance=1e-3,
        max_iterations=max_iterations,
    )
    theta = np.concatenate([found.coefficients[0], found.intercepts[0][:, None]], axis=1)
    return theta.astype(np.float64)
