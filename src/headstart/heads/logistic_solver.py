"""Many regularized logistic regressions on the same features, solved at once.

Cross-validating the stages and the strength of regularization takes hundreds of fits that differ
only in their rows and in the regularization. Solved one by one, each reads the whole matrix of
features for a few columns. Here one matrix product serves all of them, see
`headstart.heads.batched_lbfgs`.

Problem p minimizes, over weights W (K, D) and biases b (K,),

    sum_i s_pi * CE(y_i, softmax(W x_pi + b)) + |W|^2 / (2 C_p),    x_pi = (x_i - mean_p) / scale_p

which is scikit-learn's `LogisticRegression(C=C_p)` on features standardized by the rows of p alone.
Two classes are solved with one logit, as in scikit-learn. The standardization is never applied to
the features but folded into the weights, so that all problems share one matrix.
"""

from collections.abc import Sequence

import numpy as np

from headstart.heads.batched_lbfgs import HISTORY, LinearMaps, ProblemBatch
from headstart.heads.curvature import Curvature
from headstart.heads.standardization import Standardization
from headstart.types import Doubles, Floats, Labels

_PRECONDITIONED_TOLERANCE = 1e-4
"""Tolerance, at most, with the shared curvature: its steps are long, so the loss soon changes
little where weak regularization is still far from its solution."""
MEMORY = 64 * 2**20
"""Bytes that one batch of problems may take; more problems are solved batch by batch."""


def solve(
    X: Floats,
    y: Labels,
    weights: Floats,
    strengths: Doubles,
    *,
    classes: int,
    blocks: Sequence[int] | None = None,
    prior: float = 0.0,
    tolerance: float = 1e-4,
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
        tolerance: stop when no partial derivative of the mean loss is larger; at most 1e-4 where
            the shared curvature is used.
        max_iterations: maximum number of iterations.

    Returns:
        F * G linear maps, all strengths of the first fold first.
    """
    # Standardized once by all rows, so that folding the mean and scale of a fold into the weights
    # costs no precision.
    common = Standardization.of(X, np.ones(len(X), np.float32))
    Z = common(X)
    own = [Standardization.of(X, row, blocks=blocks, prior=prior) for row in weights]
    mean = np.stack([(one.mean - common.mean) / common.scale for one in own])
    scale = np.stack([one.scale / common.scale for one in own])
    targets = _targets(y, classes)
    folds = np.repeat(np.arange(len(weights)), len(strengths))
    decay = np.tile(1 / strengths, len(weights)).astype(np.float32)
    curvature = None
    if Curvature.pays(len(X), X.shape[1], len(folds) * len(targets)):
        curvature = Curvature.of(Z)
        tolerance = min(tolerance, _PRECONDITIONED_TOLERANCE)
    maps = []
    for start, stop in _batches(len(folds), len(strengths), len(targets), X.shape):
        fold = folds[start:stop]
        seen = weights[fold].any(0)  # rows that no problem of the batch sees are skipped
        batch = ProblemBatch(Z if seen.all() else Z[seen], targets[:, seen], curvature)
        state = batch.start(weights[fold][:, seen], decay[start:stop], mean[fold], scale[fold])
        maps.append(batch.solve(state, tolerance, max_iterations))
    coefficients: Floats = np.concatenate([part.coefficients for part in maps])
    coefficients /= common.scale
    intercepts: Floats = np.concatenate([part.intercepts for part in maps])
    intercepts -= coefficients @ common.mean
    if len(targets) > 1:  # a shift shared by all classes is not determined, and drifts
        intercepts -= intercepts.mean(1, keepdims=True)
    return LinearMaps(coefficients, intercepts, np.concatenate([m.iterations for m in maps]))


def _targets(y: Labels, classes: int) -> Floats:
    """Return one-hot labels: (K, N); for two classes only the second: (1, N)."""
    names = np.arange(1, 2) if classes == 2 else np.arange(classes)
    one_hot: Floats = (y[None] == names[:, None]).astype(np.float32)
    return one_hot


def _batches(
    problems: int, strengths: int, outputs: int, shape: tuple[int, ...]
) -> list[tuple[int, int]]:
    """Return ranges of problems that fit into `MEMORY`, with whole folds if these fit."""
    rows, width = shape
    # The size of a batch's state, and about as much for temporary arrays.
    floats = outputs * (width * (2 * HISTORY + 8) + rows * 6)
    size = max(1, MEMORY // (4 * floats))
    size -= size % strengths if size > strengths else 0
    return [(start, min(start + size, problems)) for start in range(0, problems, size)]
