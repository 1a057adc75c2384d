"""LogME: how well features explain labels, without training a head.

You, Liu, Wang & Long 2021, "LogME: Practical Assessment of Pre-trained Models for Transfer
Learning" (ICML). Each class becomes a column of zeros and ones, explained by a linear model with
a Gaussian prior of precision alpha on its D weights and Gaussian noise of precision beta. The score
is the logarithm of the evidence (the weights integrated out) at the best alpha and beta, per image,
averaged over the classes. Only differences between scores of the same images mean anything.
"""

from __future__ import annotations

import math

import numpy as np

from headstart.errors import DataError
from headstart.types import Doubles, Floats, Labels

_ROUNDS = 200
"""Of the fixed point; it usually stands still after ten."""
_TOLERANCE = 1e-6
"""Relative change of alpha / beta at which it stands still: the evidence is flat there."""
_TINY = 1e-10
"""Of the noise, relative to the column: features that explain labels perfectly leave none, and
the evidence would be infinite."""


def logme(X: Floats, y: Labels, *, classes: int) -> float:
    """The score of features for labels; higher is better.

    Args:
        X: (N, D) features, used as they are: the method neither centers nor scales.
        y: (N,) labels.
        classes: how many; one without images counts for nothing.

    Raises:
        DataError: there is no image, or X and y do not fit.
    """
    if X.ndim != 2 or y.shape != (len(X),) or not len(X):
        raise DataError(
            f"features are {X.shape}, labels {y.shape}: give (N, D) and (N,) of at least one image"
        )
    squares, projection = _spectrum(X.astype(np.float64))
    scores = []
    for label in range(classes):
        column = (y == label).astype(np.float64)
        if column.any():
            scores.append(_evidence(squares, projection, column, X.shape[1]) / len(X))
    return float(np.mean(scores))


def _spectrum(X: Doubles) -> tuple[Doubles, Doubles]:
    """(r,) squared singular values of X that are not zero, by their mean; (N, r) left vectors.

    By their mean, since alpha takes up any scale, and what keeps it finite must not depend on one.

    From the smaller of the two products of X with itself, which costs a fraction of the
    decomposition of X; the squares that this loses to rounding add nothing to the evidence.
    """
    wide = X.shape[1] > X.shape[0]
    values, vectors = np.linalg.eigh(X @ X.T if wide else X.T @ X)
    kept = values > values[-1] * max(X.shape) * np.finfo(np.float64).eps
    squares = values[kept]
    left = vectors[:, kept] if wide else X @ vectors[:, kept] / np.sqrt(squares)
    return squares / max(float(squares.sum()), 1e-300) * len(squares), left


def _evidence(squares: Doubles, left: Doubles, column: Doubles, width: int) -> float:
    """The logarithm of the evidence for one column at its best alpha and beta (equation 2)."""
    images, total = len(column), float(column @ column)
    z = (left.T @ column) ** 2  # (r,) energy of the column along each direction of X
    outside = max(total - float(z.sum()), 0.0)  # what no weights can explain
    alpha = beta = 1.0
    for _ in range(_ROUNDS):
        weight, residual = _fit(squares, z, outside, alpha, beta)
        gamma = float((beta * squares / (alpha + beta * squares)).sum())
        before = alpha / beta
        # Both have floors and ceilings: a column that X does not explain at all has no weights.
        alpha = gamma / max(weight, _TINY)
        beta = (images - gamma) / max(residual, _TINY * total)
        if alpha <= 0 or abs(alpha / beta - before) <= _TOLERANCE * before:
            break
    alpha, beta = max(alpha, _TINY), max(beta, _TINY)
    weight, residual = _fit(squares, z, outside, alpha, beta)
    determinant = float(np.log(alpha + beta * squares).sum())
    determinant += (width - len(squares)) * math.log(alpha)
    return 0.5 * (
        images * math.log(beta / (2 * math.pi))
        + width * math.log(alpha)
        - beta * residual
        - alpha * weight
        - determinant
    )


def _fit(
    squares: Doubles, z: Doubles, outside: float, alpha: float, beta: float
) -> tuple[float, float]:
    """Squared norms of the most probable weights, and of what they leave unexplained."""
    shrunk = alpha + beta * squares
    weight = float((beta**2 * squares * z / shrunk**2).sum())
    return weight, float((z * (alpha / shrunk) ** 2).sum()) + outside
