"""L-BFGS on a batch of logistic regressions that share one matrix of features.

Every problem has its own history, step length and convergence test (Liu & Nocedal 1989); one matrix
product serves all of them. With many images, the curvature that all problems share, see
`headstart.heads.curvature`, is the initial estimate of the Hessian.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from headstart.heads.curvature import Curvature
from headstart.types import Doubles, Floats, Labels

HISTORY = 8
"""Number of stored pairs of steps and gradient changes per problem."""


@dataclass(frozen=True, slots=True)
class LinearMaps:
    """Solutions with the standardization folded in: logits = x @ coefficients + intercepts.

    Attributes:
        coefficients: (P, K, D) float32.
        intercepts: (P, K) float32.
        iterations: (P,) iterations of each problem.
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


def _dot(a: Floats, b: Floats) -> Floats:
    """Return dot products of the rows: (A, M) and (A, M) to (A,)."""
    product: Floats = np.matmul(a[:, None, :], b[:, :, None])[:, 0, 0]
    return product


@dataclass(slots=True)
class BatchState:
    """State of the A problems that are still being solved; the first axis is the problem."""

    index: Labels  # (A,) index in the batch
    weights: Floats  # (A, N)
    decay: Floats  # (A,) 1 / C
    mean: Floats  # (A, D)
    scale: Floats  # (A, D)
    theta: Floats  # (A, K, D + 1): weights on standardized features, then the bias
    logits: Floats  # (A, K, N)
    gradient: Floats  # (A, K, D + 1)
    variance: Floats  # (A, K): sum of p (1 - p) over the images
    loss: Doubles  # (A,)
    stuck: np.ndarray  # (A,) whether no step lowers the loss in float32
    steps: Floats  # (A, HISTORY, K * (D + 1))
    changes: Floats  # (A, HISTORY, K * (D + 1)), of the gradient
    inverse: Floats  # (A, HISTORY): 1 / (step . change); 0 where there is none yet

    def keep(self, which: np.ndarray) -> BatchState:
        """Return the problems at the mask `which`; the others have converged."""
        return BatchState(*(getattr(self, field.name)[which] for field in fields(self)))


class ProblemBatch:
    """Problems that are solved together.

    Args:
        X: (N, D) features, standardized by all rows.
        targets: (K, N) one-hot labels; (1, N) for two classes.
        curvature: shared curvature of the problems; None to start from the identity.
    """

    def __init__(self, X: Floats, targets: Floats, curvature: Curvature | None) -> None:
        self.X, self.targets = X, targets
        self.curvature = curvature
        self.outputs = len(targets)

    def start(self, weights: Floats, decay: Floats, mean: Floats, scale: Floats) -> BatchState:
        """Return the state of all problems with weights 0.

        Args:
            weights: (A, N) weight of each row.
            decay: (A,) 1 / C.
            mean: (A, D) mean of each feature, by the rows of the problem alone.
            scale: (A, D) scale of each feature.
        """
        count, rows = weights.shape
        theta = np.zeros((count, self.outputs, self.X.shape[1] + 1), np.float32)
        state = BatchState(
            index=np.arange(count),
            weights=weights,
            decay=decay,
            mean=mean,
            scale=scale,
            theta=theta,
            logits=np.zeros((count, self.outputs, rows), np.float32),
            gradient=theta,
            variance=np.zeros((count, self.outputs), np.float32),
            loss=np.zeros(count),
            stuck=np.zeros(count, bool),
            steps=np.zeros((count, HISTORY, theta[0].size), np.float32),
            changes=np.zeros((count, HISTORY, theta[0].size), np.float32),
            inverse=np.zeros((count, HISTORY), np.float32),
        )
        state.loss = self._loss(state, state.logits) + self._penalty(state, theta)
        state.gradient, state.variance = self._gradient(state)
        return state

    def solve(self, state: BatchState, tolerance: float, max_iterations: int) -> LinearMaps:
        """Run L-BFGS until no partial derivative of the mean loss exceeds the tolerance."""
        theta, mean, scale = np.empty_like(state.theta), state.mean, state.scale
        iterations = np.zeros(len(theta), np.int64)
        mass = state.weights.sum(1)
        for iteration in range(max_iterations):
            slope = np.abs(state.gradient).max((1, 2)) / mass[state.index]
            busy = (slope > tolerance) & ~state.stuck
            if not busy.any():
                break
            iterations[state.index[busy]] = iteration + 1
            if busy.mean() < 0.75:  # compacting copies the history: only for many
                theta[state.index] = state.theta
                state, busy = state.keep(busy), busy[busy]
            self._step(state, iteration, busy)
        theta[state.index] = state.theta
        coefficients: Floats = theta[:, :, :-1] / scale[:, None]
        intercepts = theta[:, :, -1] - np.einsum("pkd,pd->pk", coefficients, mean)
        return LinearMaps(coefficients, intercepts, iterations)

    def _step(self, state: BatchState, iteration: int, busy: np.ndarray) -> None:
        direction = self._direction(state, iteration).reshape(state.theta.shape)
        # Converged problems do not move: no problem's result depends on the others.
        direction[~busy] = 0
        change_of_logits = self._logits(state, direction)
        descent = np.einsum("pkd,pkd->p", direction, state.gradient).astype(np.float64)
        length = np.ones(len(state.index), np.float32)
        if iteration == 0 and not self.curvature:  # no history and no curvature: a step of length 1
            length /= np.maximum(np.sqrt(-descent), 1e-12).astype(np.float32)
        pending = np.ones(len(length), bool)
        loss = state.loss
        for _ in range(20):  # halve until Armijo's condition with 1e-4 holds
            t = length[:, None, None]
            trial = self._loss(state, state.logits + t * change_of_logits)
            trial += self._penalty(state, state.theta + t * direction)
            # float32 sums are noisy: a tiny increase is not one.
            slack = 1e-6 * np.abs(state.loss)
            good = trial <= state.loss + 1e-4 * length * descent + slack
            loss = np.where(pending & good, trial, loss)
            pending &= ~good
            if not pending.any():
                break
            length[pending] /= 2
        length[pending] = 0
        state.stuck |= pending
        step = length[:, None, None] * direction
        state.theta += step
        state.logits += length[:, None, None] * change_of_logits
        state.loss = loss
        before = state.gradient
        state.gradient, state.variance = self._gradient(state)
        self._remember(state, iteration % HISTORY, step, state.gradient - before)

    def _remember(self, state: BatchState, slot: int, step: Floats, change: Floats) -> None:
        flat = (len(step), -1)
        step, change = step.reshape(flat), change.reshape(flat)
        state.steps[:, slot], state.changes[:, slot] = step, change
        product = _dot(step, change)
        positive = product > 1e-10 * _dot(change, change)
        state.inverse[:, slot] = np.where(positive, 1 / np.where(positive, product, 1), 0)

    def _direction(self, state: BatchState, iteration: int) -> Floats:
        """Return directions of descent by the two-loop recursion: (A, K * (D + 1))."""
        q: Floats = -state.gradient.reshape(len(state.index), -1)
        known = [
            (state.steps[:, slot], state.changes[:, slot], state.inverse[:, slot])
            for slot in (at % HISTORY for at in range(max(0, iteration - HISTORY), iteration))
        ]
        factors = []
        for step, change, inverse in reversed(known):
            factors.append(inverse * _dot(step, q))
            q -= factors[-1][:, None] * change
        q = self._precondition(state, q)
        if known:
            _, change, inverse = known[-1]
            fit = inverse * _dot(change, self._precondition(state, change))
            fit[fit <= 0] = 1
            q /= fit[:, None]
        for (step, change, inverse), factor in zip(known, reversed(factors), strict=True):
            q += (factor - inverse * _dot(change, q))[:, None] * step
        return q

    def _precondition(self, state: BatchState, vectors: Floats) -> Floats:
        """Divide (A, K * (D + 1)) by the initial estimate of the Hessian."""
        if self.curvature is None:
            return vectors
        shaped = vectors.reshape(state.theta.shape)
        divided = self.curvature.solve(shaped, state.variance, state.decay)
        return divided.reshape(vectors.shape)

    def _logits(self, state: BatchState, theta: Floats) -> Floats:
        """Return logits (A, K, N) of weights and biases."""
        count, outputs, _ = theta.shape
        coefficients: Floats = theta[:, :, :-1] / state.scale[:, None]
        shift = theta[:, :, -1] - np.einsum("pkd,pd->pk", coefficients, state.mean)
        z: Floats = coefficients.reshape(count * outputs, -1) @ self.X.T
        z = z.reshape(count, outputs, -1)
        z += shift[:, :, None]
        return z

    def _loss(self, state: BatchState, logits: Floats) -> Doubles:
        """Return the weighted cross-entropy: (A,)."""
        if self.outputs == 1:
            z = logits[:, 0]
            each = np.logaddexp(0, z) - z * self.targets[0]
        else:
            peak = logits.max(1)
            log_sum = np.log(np.exp(logits - peak[:, None]).sum(1)) + peak
            each = log_sum - np.einsum("pkn,kn->pn", logits, self.targets)
        total: Doubles = np.einsum("pn,pn->p", state.weights, each, dtype=np.float64)
        return total

    def _penalty(self, state: BatchState, theta: Floats) -> Doubles:
        w = theta[:, :, :-1]
        square: Doubles = np.einsum("pkd,pkd->p", w, w, dtype=np.float64)
        return 0.5 * state.decay * square

    def _gradient(self, state: BatchState) -> tuple[Floats, Floats]:
        """Return the gradient of loss and penalty, (A, K, D + 1), and the variance, (A, K)."""
        count = len(state.index)
        residual: Floats
        if self.outputs == 1:
            residual = np.tanh(0.5 * state.logits)  # the sigmoid, without overflow
            residual += 1
            residual /= 2
        else:
            residual = np.exp(state.logits - state.logits.max(1, keepdims=True))
            residual /= residual.sum(1, keepdims=True)
        variance = state.variance
        if self.curvature:
            variance = np.einsum("pkn,pn->pk", residual * (1 - residual), state.weights)
        residual -= self.targets
        residual *= state.weights[:, None]
        by_bias = residual.sum(2)
        by_weight: Floats = residual.reshape(count * self.outputs, -1) @ self.X
        by_weight = by_weight.reshape(count, self.outputs, -1)
        by_weight -= by_bias[:, :, None] * state.mean[:, None]
        by_weight /= state.scale[:, None]
        by_weight += state.decay[:, None, None] * state.theta[:, :, :-1]
        return np.concatenate([by_weight, by_bias[:, :, None]], axis=2), variance
