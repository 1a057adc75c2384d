"""Many regularised logistic regressions on the same features, solved at once.

Cross-validating the stage and the strength of regularisation means hundreds of fits that differ
only in which rows they see and how strongly they are held back. Solved one by one, each reads the
whole matrix of features for a handful of columns. Here they stand side by side: one matrix product
serves all of them, and L-BFGS (Liu & Nocedal 1989) runs with a history, a step and a stopping test
of its own for each problem.

Problem p minimises, over weights W (K, D) and biases b (K,),

    sum_i s_pi * CE(y_i, softmax(W x_pi + b)) + |W|^2 / (2 C_p),    x_pi = (x_i - mean_p) / scale_p

which is scikit-learn's `LogisticRegression(C=C_p)` on features standardised by the rows of p alone.
Two classes are solved with one logit, as there. The standardisation is never applied to the
features: it is folded into the weights, so that all problems share one matrix.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from headstart.types import Doubles, Floats, Labels

HISTORY = 8
"""Pairs of steps and gradient changes that each problem remembers."""
MEMORY = 512 * 2**20
"""Bytes that one group of problems may take; more problems are solved group by group."""


@dataclass(frozen=True, slots=True)
class LinearMaps:
    """Solutions, with the standardisation folded in: logits = x @ coefficients + intercepts.

    Attributes:
        coefficients: (P, K, D) float32.
        intercepts: (P, K) float32.
        iterations: (P,) steps each took.
    """

    coefficients: Floats
    intercepts: Floats
    iterations: Labels

    def part(self, chosen: slice) -> LinearMaps:
        """Some of the problems."""
        return LinearMaps(
            self.coefficients[chosen], self.intercepts[chosen], self.iterations[chosen]
        )

    def logits(self, X: Floats) -> Floats:
        """(N, D) to (P, K, N); with one logit for two classes, its negative is put before it."""
        problems, outputs, width = self.coefficients.shape
        z = self.coefficients.reshape(problems * outputs, width) @ X.T
        z = z.reshape(problems, outputs, len(X)) + self.intercepts[:, :, None]
        return np.concatenate([-z / 2, z / 2], axis=1) if outputs == 1 else z


def solve(
    X: Floats,
    y: Labels,
    weights: Floats,
    strengths: Doubles,
    *,
    classes: int,
    tolerance: float = 1e-4,
    max_iterations: int = 300,
) -> LinearMaps:
    """Solve every pairing of row weights and strength.

    Args:
        X: (N, D) float32 features, not standardised.
        y: (N,) labels in [0, classes).
        weights: (F, N) weight of each row, 0 where a fold leaves it out.
        strengths: (G,) inverse strengths of regularisation, scikit-learn's C.
        classes: K; 2 classes are solved with one logit.
        tolerance: stop when no partial derivative of the mean loss is larger.
        max_iterations: stop after so many steps in any case.

    Returns:
        F * G linear maps, the strengths of the first fold first.
    """
    centre, spread = X.mean(0), _positive(X.std(0))
    Z = (X - centre) / spread
    share = weights / weights.sum(1, keepdims=True)
    mean = share @ Z
    # Z is centred already, so the difference of squares loses nothing in float32.
    scale = _positive(np.sqrt(np.maximum(share @ np.square(Z) - np.square(mean), 0)))
    problems = [
        _Problem(fold, float(strength))
        for fold in range(len(weights))
        for strength in strengths
    ]
    outputs = 1 if classes == 2 else classes
    targets = y[None] == (np.array([[1]]) if outputs == 1 else np.arange(classes)[:, None])
    floats = outputs * (X.shape[1] * (2 * HISTORY + 6) + len(X) * 4)
    size = max(1, MEMORY // (4 * floats))
    maps = []
    for start in range(0, len(problems), size):
        part = problems[start : start + size]
        fold = np.array([problem.fold for problem in part])
        decay = np.array([1 / problem.strength for problem in part], dtype=np.float32)
        group = _Group(Z, targets.astype(np.float32))
        maps.append(
            group.solve(weights[fold], decay, mean[fold], scale[fold], tolerance, max_iterations)
        )
    coefficients = np.concatenate([part.coefficients for part in maps]) / spread
    return LinearMaps(
        coefficients,
        np.concatenate([part.intercepts for part in maps]) - coefficients @ centre,
        np.concatenate([part.iterations for part in maps]),
    )


class _Problem(NamedTuple):
    fold: int
    strength: float


def _positive(scale: Floats) -> Floats:
    """A constant feature says nothing; dividing by its spread would make it noise."""
    return np.where(scale < 1e-6, np.float32(1), scale)


def _dot(a: Floats, b: Floats) -> Floats:
    """(A, M) and (A, M) to (A,)."""
    return np.matmul(a[:, None, :], b[:, :, None])[:, 0, 0]


@dataclass(slots=True)
class _State:
    """What each problem still being solved stands at; the first axis is the problem."""

    index: Labels  # (A,) place in the group
    weights: Floats  # (A, N)
    decay: Floats  # (A,) 1 / C
    mean: Floats  # (A, D)
    scale: Floats  # (A, D)
    theta: Floats  # (A, K, D + 1): weights on standardised features, then the bias
    logits: Floats  # (A, K, N)
    gradient: Floats  # (A, K, D + 1)
    loss: Doubles  # (A,)
    steps: Floats  # (HISTORY, A, K * (D + 1))
    changes: Floats  # (HISTORY, A, K * (D + 1))
    curvature: Floats  # (HISTORY, A): 1 / (step . change), 0 where there is none yet

    def keep(self, which: np.ndarray) -> _State:
        """The problems at the mask `which`; the others are finished."""
        return _State(
            *(
                getattr(self, name)[which]
                for name in list(self.__slots__)[:9]  # the problem is their first axis
            ),
            self.steps[:, which],
            self.changes[:, which],
            self.curvature[:, which],
        )


class _Group:
    """The problems that are solved side by side."""

    def __init__(self, X: Floats, targets: Floats) -> None:
        self.X, self.targets = X, targets  # (N, D) and (K, N), one-hot
        self.outputs = len(targets)

    def solve(
        self,
        weights: Floats,
        decay: Floats,
        mean: Floats,
        scale: Floats,
        tolerance: float,
        max_iterations: int,
    ) -> LinearMaps:
        """L-BFGS on all, dropping those that are done."""
        theta = np.zeros((len(decay), self.outputs, self.X.shape[1] + 1), np.float32)
        iterations = np.zeros(len(decay), np.int64)
        mass = weights.sum(1)
        state = self._start(weights, decay, mean, scale, theta)
        for iteration in range(max_iterations):
            slope = np.abs(state.gradient).max((1, 2)) / mass[state.index]
            busy = slope > tolerance
            if not busy.any():
                break
            if busy.mean() < 0.75:  # compacting copies the whole history: not for a few
                theta[state.index] = state.theta
                state = state.keep(busy)
            iterations[state.index] = iteration + 1
            self._step(state, iteration)
        theta[state.index] = state.theta
        coefficients = theta[:, :, :-1] / scale[:, None]
        intercepts = theta[:, :, -1] - np.einsum("pkd,pd->pk", coefficients, mean)
        return LinearMaps(coefficients, intercepts, iterations)

    def _start(
        self, weights: Floats, decay: Floats, mean: Floats, scale: Floats, theta: Floats
    ) -> _State:
        count, size = len(theta), theta[0].size
        state = _State(
            index=np.arange(count),
            weights=weights,
            decay=decay,
            mean=mean,
            scale=scale,
            theta=theta.copy(),
            logits=np.zeros((count, self.outputs, len(self.X)), np.float32),
            gradient=np.zeros_like(theta),
            loss=np.zeros(count),
            steps=np.zeros((HISTORY, count, size), np.float32),
            changes=np.zeros((HISTORY, count, size), np.float32),
            curvature=np.zeros((HISTORY, count), np.float32),
        )
        state.loss = self._loss(state, state.logits) + self._penalty(state, state.theta)
        state.gradient = self._gradient(state)
        return state

    def _step(self, state: _State, iteration: int) -> None:
        count = len(state.index)
        direction = self._direction(state, iteration).reshape(state.theta.shape)
        towards = self._project(state, direction)
        descent = np.einsum("pkd,pkd->p", direction, state.gradient).astype(np.float64)
        # The first step has no curvature to go by: as long as a unit of the mean gradient.
        length = np.ones(count, np.float32)
        if iteration == 0:
            length /= np.maximum(np.sqrt(-descent), 1e-12).astype(np.float32)
        pending = np.ones(count, bool)
        loss = state.loss.copy()
        for _ in range(20):  # halving: Armijo's condition with 1e-4
            at = length[:, None, None]
            trial = self._loss(state, state.logits + at * towards)
            trial += self._penalty(state, state.theta + at * direction)
            # float32 sums carry noise: a rise that small is none.
            slack = 1e-6 * np.abs(state.loss)
            good = trial <= state.loss + 1e-4 * length * descent + slack
            loss = np.where(pending & good, trial, loss)
            pending &= ~good
            if not pending.any():
                break
            length[pending] /= 2
        length[pending] = 0  # no descent left in float32: stay
        step = length[:, None, None] * direction
        state.theta += step
        state.logits += length[:, None, None] * towards
        state.loss = loss
        before = state.gradient
        state.gradient = self._gradient(state)
        self._remember(state, iteration, step, state.gradient - before)
        state.gradient[pending] = 0  # stops it

    def _remember(self, state: _State, iteration: int, step: Floats, change: Floats) -> None:
        slot = iteration % HISTORY
        count = len(state.index)
        state.steps[slot] = step.reshape(count, -1)
        state.changes[slot] = change.reshape(count, -1)
        product = _dot(state.steps[slot], state.changes[slot])
        positive = product > 1e-10 * _dot(state.changes[slot], state.changes[slot])
        state.curvature[slot] = np.where(positive, 1 / np.where(positive, product, 1), 0)

    def _direction(self, state: _State, iteration: int) -> Floats:
        """The two-loop recursion, for all problems: (A, K * (D + 1))."""
        q = -state.gradient.reshape(len(state.index), -1)
        known = [slot % HISTORY for slot in range(max(0, iteration - HISTORY), iteration)]
        factors = {}
        for slot in reversed(known):
            factors[slot] = state.curvature[slot] * _dot(state.steps[slot], q)
            q -= factors[slot][:, None] * state.changes[slot]
        if known:
            last = known[-1]
            square = _dot(state.changes[last], state.changes[last])
            fits = (state.curvature[last] > 0) & (square > 0)
            denominator = np.where(fits, state.curvature[last] * square, 1)
            q *= (1 / denominator)[:, None]
        for slot in known:
            back = state.curvature[slot] * _dot(state.changes[slot], q)
            q += (factors[slot] - back)[:, None] * state.steps[slot]
        return q

    def _project(self, state: _State, theta: Floats) -> Floats:
        """What `theta` adds to the logits: (A, K, N)."""
        count, outputs, _ = theta.shape
        coefficients = theta[:, :, :-1] / state.scale[:, None]
        shift = theta[:, :, -1] - np.einsum("pkd,pd->pk", coefficients, state.mean)
        z: Floats = coefficients.reshape(count * outputs, -1) @ self.X.T
        return z.reshape(count, outputs, -1) + shift[:, :, None]

    def _loss(self, state: _State, logits: Floats) -> Doubles:
        """Weighted cross-entropy: (A,)."""
        if self.outputs == 1:
            z = logits[:, 0]
            each = np.logaddexp(0, z) - z * self.targets[0]
        else:
            peak = logits.max(1)
            log_sum = np.log(np.exp(logits - peak[:, None]).sum(1)) + peak
            each = log_sum - np.einsum("pkn,kn->pn", logits, self.targets)
        return np.einsum("pn,pn->p", state.weights, each, dtype=np.float64)

    def _penalty(self, state: _State, theta: Floats) -> Doubles:
        w = theta[:, :, :-1]
        return 0.5 * state.decay * np.einsum("pkd,pkd->p", w, w, dtype=np.float64)

    def _gradient(self, state: _State) -> Floats:
        """(A, K, D + 1), of loss and penalty by standardised weights and bias."""
        count = len(state.index)
        if self.outputs == 1:
            residual = 1 / (1 + np.exp(-state.logits)) - self.targets
        else:
            residual = np.exp(state.logits - state.logits.max(1, keepdims=True))
            residual /= residual.sum(1, keepdims=True)
            residual -= self.targets
        residual *= state.weights[:, None]
        by_bias = residual.sum(2)
        by_weight = residual.reshape(count * self.outputs, -1) @ self.X
        by_weight = by_weight.reshape(count, self.outputs, -1)
        by_weight -= by_bias[:, :, None] * state.mean[:, None]
        by_weight /= state.scale[:, None]
        by_weight += state.decay[:, None, None] * state.theta[:, :, :-1]
        return np.concatenate([by_weight, by_bias[:, :, None]], axis=2)
