"""L-BFGS (Liu & Nocedal 1989) for one logistic regression with several strengths of regularization.

Strengths are solved in order, the strongest regularization first. Each starts at the solution of
the one before, and with its history, because another penalty adds only a known term to the stored
changes of the gradient. So weak regularization takes ten to twenty steps, instead of hundreds from
0.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace

import numpy as np

from headstart.heads.curvature import Curvature
from headstart.types import Floats, Labels

HISTORY = 8
"""Number of stored pairs of steps and gradient changes."""
_MIN_VARIANCE = 1e-3
"""Lower bound of the sum of p (1 - p): it vanishes where all images are fitted."""
_NOISE = 1e-6
"""Relative error of a loss in float32; a smaller increase counts as rounding."""


@dataclass(frozen=True, slots=True)
class Step:
    """A step and the change of the gradient along it.

    Attributes:
        moved: (K, D + 1) change of the weights and, in the last column, of the biases.
        change: (K, D + 1) change of the gradient.
        inverse: 1 / (moved . change).
    """

    moved: Floats
    change: Floats
    inverse: float = field(default=0.0)

    def checked(self) -> Step | None:
        """Return the step with its inverse; None if the loss is not convex along it."""
        product = _dot(self.moved, self.change)
        if product <= 1e-10 * _dot(self.change, self.change):
            return None
        return replace(self, inverse=1 / product)


class LogisticProblem:
    """The weighted cross-entropy of a linear softmax, and the best weights so far, at first 0.

    Args:
        Z: (N, D) features, standardized.
        y: (N,) labels in [0, classes).
        weights: (N,) positive weights of the rows.
        classes: number of classes; two are solved with one logit.
    """

    def __init__(self, Z: Floats, y: Labels, weights: Floats, classes: int) -> None:
        self._Z, self._y, self._weights = Z, y, weights
        self._curvature = Curvature.of(Z)
        self._exact_weights = weights.astype(np.float64)
        outputs = 1 if classes == 2 else classes
        mass = np.bincount(y, self._exact_weights, minlength=classes)[-outputs:]
        self._mass = mass.astype(np.float32)
        self._each = np.arange(len(y))
        self._steps: deque[Step] = deque(maxlen=HISTORY)
        self._decay = np.float32(0)
        self._logits = np.zeros((outputs, len(y)), np.float32)
        self.theta = np.zeros((outputs, Z.shape[1] + 1), np.float32)
        """(K, D + 1): weights, then the biases."""

    def solve(self, decay: float, tolerance: float, max_iterations: int) -> int:
        """Minimize the loss with the penalty decay / 2 |W|^2, from the current weights.

        Stops when the decrease that the next step promises is less than this share of the loss.

        Returns:
            The number of iterations.
        """
        self._set_decay(np.float32(decay))
        loss, p = self._loss(self._logits)
        loss += 0.5 * decay * self._squares(self.theta, self.theta)
        gradient, variance = self._gradient(p)
        for iteration in range(max_iterations):
            direction = self._direction(gradient, variance)
            slope = _dot(direction, gradient)
            if -slope <= tolerance * loss:
                return iteration
            found = self._search(direction, slope, loss)
            if found is None:  # no step lowers the loss in float32
                return iteration
            length, loss, p = found
            moved = np.float32(length) * direction
            self.theta = self.theta + moved
            before = gradient
            gradient, variance = self._gradient(p)
            if step := Step(moved, gradient - before).checked():
                self._steps.append(step)
        return max_iterations

    def _set_decay(self, decay: np.float32) -> None:
        added, self._decay = decay - self._decay, decay
        for _ in range(len(self._steps)):
            one = self._steps.popleft()
            change = one.change.copy()
            change[:, :-1] += added * one.moved[:, :-1]
            if step := Step(one.moved, change).checked():
                self._steps.append(step)

    def _search(
        self, direction: Floats, slope: float, loss: float
    ) -> tuple[float, float, Floats] | None:
        """Halve the step until it lowers the loss enough (Armijo), and move the logits.

        Returns:
            The length, the loss and the probabilities there.
        """
        along = _logits(direction, self._Z)
        squares = self._squares(self.theta, self.theta)
        mixed, own = self._squares(self.theta, direction), self._squares(direction, direction)
        for length in 0.5 ** np.arange(20):
            logits = self._logits + np.float32(length) * along
            trial, p = self._loss(logits)
            trial += 0.5 * float(self._decay) * (squares + length * (2 * mixed + length * own))
            if trial <= loss + 1e-4 * length * slope + _NOISE * abs(loss):
                self._logits = logits
                return float(length), trial, p
        return None

    def _direction(self, gradient: Floats, variance: Floats) -> Floats:
        """Return a direction of descent by the two-loop recursion: (K, D + 1)."""
        bend = np.maximum(variance, np.float32(_MIN_VARIANCE))[:, None]
        q: Floats = -gradient
        factors = []
        for step in reversed(self._steps):
            factors.append(step.inverse * _dot(step.moved, q))
            q -= np.float32(factors[-1]) * step.change
        q = self._curvature.solve(q, bend, self._decay)
        if self._steps:
            last = self._steps[-1]
            fit = _dot(last.change, self._curvature.solve(last.change, bend, self._decay))
            q /= np.float32(last.inverse * fit)
        for step, factor in zip(self._steps, reversed(factors), strict=True):
            q += np.float32(factor - step.inverse * _dot(step.change, q)) * step.moved
        return q

    def _loss(self, logits: Floats) -> tuple[float, Floats]:
        """Return the cross-entropy, and the probabilities (K, N)."""
        if len(logits) == 1:
            z = logits[0]
            each = np.logaddexp(0, z) - z * self._y
            halves: Floats = np.tanh(np.float32(0.5) * logits)
            halves += 1
            halves /= 2
            return float(self._exact_weights @ each), halves
        p = logits - logits.max(0)
        own = p[self._y, self._each]
        np.exp(p, out=p)
        total = p.sum(0)
        p /= total
        return float(self._exact_weights @ (np.log(total) - own)), p

    def _gradient(self, p: Floats) -> tuple[Floats, Floats]:
        """Return the gradient (K, D + 1), and the sum of p (1 - p) over the rows, (K,)."""
        expected = p @ self._weights
        variance = (expected - np.square(p) @ self._weights).astype(np.float32)
        if len(p) == 1:
            p[0] -= self._y
        else:
            p[self._y, self._each] -= 1
        p *= self._weights
        gradient: Floats = np.empty_like(self.theta)
        gradient[:, -1] = expected - self._mass
        np.matmul(p, self._Z, out=gradient[:, :-1])
        gradient[:, :-1] += self._decay * self.theta[:, :-1]
        return gradient, variance

    def _squares(self, a: Floats, b: Floats) -> float:
        """Return the dot product of the weights, without the biases."""
        return _dot(a, b) - _dot(a[:, -1], b[:, -1])


def _logits(theta: Floats, Z: Floats) -> Floats:
    """Return logits (K, N)."""
    z: Floats = theta[:, :-1] @ Z.T
    z += theta[:, -1:]
    return z


def _dot(a: Floats, b: Floats) -> float:
    return float(np.vdot(a, b))
