"""Regularized logistic regressions on the same features, for several folds and strengths.

Cross-validating the stages and the strength of regularization takes hundreds of fits that differ
only in their rows and in the regularization. Here a fold of fewer images than features is described
by as many numbers as it has images, and all strengths follow one another (`headstart.heads.lbfgs`).

Problem p minimizes, over weights W (K, D) and biases b (K,),

    sum_i s_pi * CE(y_i, softmax(W x_pi + b)) + |W|^2 / (2 C_p),    x_pi = (x_i - mean_p) / scale_p

which is scikit-learn's `LogisticRegression(C=C_p)` on features standardized by the rows of p alone.
Two classes are solved with one logit, as in scikit-learn. The standardization is folded into the
weights of the solution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headstart.heads.lbfgs import LogisticProblem
from headstart.heads.standardization import Standardization
from headstart.types import Doubles, Floats, Labels

TOLERANCE = 1e-7
"""Tolerance of heads that are used."""
_ON_THE_WAY = 1e-2
"""Tolerance of strengths that only lead to the next."""
_ROUNDING = 1e-6
"""Share of the mean squared length of the rows that is added to their squared lengths, because
centered rows depend on one another."""
_FIRST = -3
"""Exponent of the strength that weaker regularization starts from, 0.001, in powers of ten."""


@dataclass(frozen=True, slots=True)
class LinearMaps:
    """Solutions with the standardization folded in: logits = x @ coefficients + intercepts.

    Attributes:
        coefficients: (P, K, D) float32.
        intercepts: (P, K) float32.
        iterations: (P,) iterations of each problem, from the solution of the one before.
    """

    coefficients: Floats
    intercepts: Floats
    iterations: Labels

    def part(self, chosen: slice) -> LinearMaps:
        """Return some of the problems."""
        return LinearMaps(
            self.coefficients[chosen], self.intercepts[chosen], self.iterations[chosen]
        )

    def logits(self, X: Floats) -> Floats:
        """Map features (N, D) to logits (P, K, N), also for two classes, solved with one logit."""
        problems, outputs, width = self.coefficients.shape
        z: Floats = self.coefficients.reshape(problems * outputs, width) @ X.T
        z = z.reshape(problems, outputs, len(X)) + self.intercepts[:, :, None]
        return np.concatenate([-z / 2, z / 2], axis=1) if outputs == 1 else z


def solve(
    X: Floats,
    y: Labels,
    weights: Floats,
    strengths: Doubles,
    *,
    classes: int,
    blocks: Sequence[int] | None = None,
    prior: float = 0.0,
    tolerance: float = TOLERANCE,
    max_iterations: int = 300,
) -> LinearMaps:
    """Solve a problem for every combination of row weights and strength.

    Args:
        X: (N, D) float32 features, not standardized.
        y: (N,) labels in [0, classes).
        weights: (F, N) weight of each row in each fold; 0 for held-out rows.
        strengths: (G,) inverse regularization strengths, scikit-learn's C.
        classes: number of classes K; 2 classes are solved with one logit.
        blocks: widths of the stages side by side in X; see `Standardization.of`.
        prior: images that the mean variance counts for; see `Standardization.of`.
        tolerance: stop when the next step promises to lower the loss by less than this share.
        max_iterations: maximum number of iterations.

    Returns:
        F * G linear maps, all strengths of the first fold first.
    """
    path, maps = _path(strengths), []
    for row in weights:
        used = row > 0
        rows, own = X[used], row[used]
        standardization = Standardization.of(rows, own, blocks=blocks, prior=prior)
        Z = standardization(rows)
        triangle = _triangle(Z) if len(Z) < Z.shape[1] else None
        turned = Z if triangle is None else triangle.astype(np.float32)
        problem = LogisticProblem(turned, y[used], own, classes)
        found = {}
        for strength in path:
            precision = tolerance if strength in strengths else max(tolerance, _ON_THE_WAY)
            count = problem.solve(1 / strength, precision, max_iterations)
            found[strength] = problem.theta, count
        theta = np.stack([found[strength][0] for strength in strengths.tolist()])
        coefficients: Floats = theta[:, :, :-1]
        if triangle is not None:
            flat = coefficients.reshape(-1, len(Z))
            mixed = np.linalg.solve(triangle.T, flat.T).T.astype(np.float32)
            coefficients = (mixed @ Z).reshape(*theta.shape[:2], -1)
        coefficients = coefficients / standardization.scale
        intercepts = theta[:, :, -1] - coefficients @ standardization.mean
        if len(intercepts[0]) > 1:  # a shift shared by all classes is not determined, and drifts
            intercepts -= intercepts.mean(1, keepdims=True)
        taken = np.array([found[strength][1] for strength in strengths.tolist()])
        maps.append(LinearMaps(coefficients, intercepts, taken))
    return LinearMaps(
        np.concatenate([one.coefficients for one in maps]),
        np.concatenate([one.intercepts for one in maps]),
        np.concatenate([one.iterations for one in maps]),
    )


def _triangle(Z: Floats) -> Doubles:
    """Return N numbers for each of N rows (N, D), with the same dot products: (N, N).

    Weights along directions in which no row differs are 0, so nothing else matters. With Z Z^T =
    L L^T, the rows of L are those of Z in the orthonormal basis Z^T L^-T.
    """
    exact = Z.astype(np.float64)
    products = exact @ exact.T
    diagonal = np.einsum("ii->i", products)
    diagonal += max(_ROUNDING * float(diagonal.mean()), _ROUNDING)
    return np.linalg.cholesky(products).astype(np.float64)


def _path(strengths: Doubles) -> list[float]:
    """Return the strengths in ascending order, with powers of ten that lead to the first."""
    wanted = sorted(set(strengths.tolist()))
    steps = range(_FIRST, int(np.ceil(np.log10(wanted[0]))) if wanted else _FIRST)
    return sorted({*wanted, *(10.0**step for step in steps)})
