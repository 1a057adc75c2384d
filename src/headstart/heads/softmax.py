"""Many regularized logistic regressions on the same features, solved at once.

Cross-validating the stage and the strength of regularization means hundreds of fits that differ
only in which rows they see and how strongly they are held back. Solved one by one, each reads the
whole matrix of features for a handful of columns. Here they stand side by side: one matrix product
serves all of them, and L-BFGS (Liu & Nocedal 1989) runs with a history, a step and a stopping test
of its own for each problem. With many images the curvature that all have in common, see
`headstart.heads.curvature`, is where its estimate of the Hessian begins.

Problem p minimizes, over weights W (K, D) and biases b (K,),

    sum_i s_pi * CE(y_i, softmax(W x_pi + b)) + |W|^2 / (2 C_p),    x_pi = (x_i - mean_p) / scale_p

which is scikit-learn's `LogisticRegression(C=C_p)` on features standardized by the rows of p alone.
Two classes are solved with one logit, as there. The standardization is never applied to the
features: it is folded into the weights, so that all problems share one matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from headstart.heads.curvature import Curvature
from headstart.heads.standardization import Standardization
from headstart.types import Doubles, Floats, Labels

HISTORY = 8
"""Pairs of steps and gradient changes that each problem remembers."""
_NEAR = 1e-4
"""Stopping test, at most, where the common curvature leads: its steps are long, so that the loss
is soon flat where weak regularization is still far from its solution."""
MEMORY = 64 * 2**20
"""Bytes that one group of problems may take; more problems are solved group by group."""


@dataclass(frozen=True, slots=True)
class LinearMaps:
    """Solutions, with the standardization folded in: logits = x @ coefficients + intercepts.

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
    tolerance: float = 1e-4,
    max_iterations: int = 300,
) -> LinearMaps:
    """Solve every pairing of row weights and strength.

    Args:
        X: (N, D) float32 features, not standardized.
        y: (N,) labels in [0, classes).
        weights: (F, N) weight of each row, 0 where a fold leaves it out.
        strengths: (G,) inverse strengths of regularization, scikit-learn's C.
        classes: K; 2 classes are solved with one logit.
        blocks: see `Standardization.of`.
        prior: see `Standardization.of`.
        tolerance: stop when no partial derivative of the mean loss is larger; 1e-4 at most where
            the common curvature leads.
        max_iterations: stop after so many steps in any case.

    Returns:
        F * G linear maps, the strengths of the first fold first.
    """
    # Standardized once for all, so that moving on to the mean and scale of a fold, inside the
    # weights, costs no precision.
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
        tolerance = min(tolerance, _NEAR)
    maps = []
    for start, stop in _groups(len(folds), len(strengths), len(targets), X.shape):
        fold = folds[start:stop]
        seen = weights[fold].any(0)  # rows that no problem of the group sees cost no time
        group = _Group(Z if seen.all() else Z[seen], targets[:, seen], curvature)
        state = group.start(weights[fold][:, seen], decay[start:stop], mean[fold], scale[fold])
        maps.append(group.solve(state, tolerance, max_iterations))
    coefficients: Floats = np.concatenate([part.coefficients for part in maps])
    coefficients /= common.scale
    intercepts: Floats = np.concatenate([part.intercepts for part in maps])
    intercepts -= coefficients @ common.mean
    if len(targets) > 1:  # what all classes have in common nothing holds: it drifts
        intercepts -= intercepts.mean(1, keepdims=True)
    return LinearMaps(coefficients, intercepts, np.concatenate([m.iterations for m in maps]))


def _targets(y: Labels, classes: int) -> Floats:
    """One-hot labels: (K, N); of two classes only the second: (1, N)."""
    names = np.arange(1, 2) if classes == 2 else np.arange(classes)
    one_hot: Floats = (y[None] == names[:, None]).astype(np.float32)
    return one_hot


def _groups(
    problems: int, strengths: int, outputs: int, shape: tuple[int, ...]
) -> list[tuple[int, int]]:
    """Runs of problems that fit into `MEMORY`; of whole folds, where that many fit."""
    rows, width = shape
    # What `_State` holds, and as much again of what comes and goes in a step.
    floats = outputs * (width * (2 * HISTORY + 8) + rows * 6)
    size = max(1, MEMORY // (4 * floats))
    size -= size % strengths if size > strengths else 0
    return [(start, min(start + size, problems)) for start in range(0, problems, size)]


def _dot(a: Floats, b: Floats) -> Floats:
    """(A, M) and (A, M) to (A,)."""
    product: Floats = np.matmul(a[:, None, :], b[:, :, None])[:, 0, 0]
    return product


@dataclass(slots=True)
class _State:
    """Where each problem stands that is still being solved; the first axis is the problem."""

    index: Labels  # (A,) place in the group
    weights: Floats  # (A, N)
    decay: Floats  # (A,) 1 / C
    mean: Floats  # (A, D)
    scale: Floats  # (A, D)
    theta: Floats  # (A, K, D + 1): weights on standardized features, then the bias
    logits: Floats  # (A, K, N)
    gradient: Floats  # (A, K, D + 1)
    bend: Floats  # (A, K): sum of p (1 - p) over the images
    loss: Doubles  # (A,)
    stuck: np.ndarray  # (A,) whether float32 knows no way further down
    steps: Floats  # (A, HISTORY, K * (D + 1))
    changes: Floats  # (A, HISTORY, K * (D + 1)), of the gradient
    inverse: Floats  # (A, HISTORY): 1 / (step . change), 0 where there is none yet

    def keep(self, which: np.ndarray) -> _State:
        """The problems at the mask `which`; the others are finished."""
        return _State(*(getattr(self, field.name)[which] for field in fields(self)))


class _Group:
    """The problems that are solved side by side."""

    def __init__(self, X: Floats, targets: Floats, curvature: Curvature | None) -> None:
        self.X, self.targets = X, targets  # (N, D) and (K, N)
        self.curvature = curvature
        self.outputs = len(targets)

    def start(self, weights: Floats, decay: Floats, mean: Floats, scale: Floats) -> _State:
        """All problems, at 0."""
        count, rows = weights.shape
        theta = np.zeros((count, self.outputs, self.X.shape[1] + 1), np.float32)
        state = _State(
            index=np.arange(count),
            weights=weights,
            decay=decay,
            mean=mean,
            scale=scale,
            theta=theta,
            logits=np.zeros((count, self.outputs, rows), np.float32),
            gradient=theta,
            bend=np.zeros((count, self.outputs), np.float32),
            loss=np.zeros(count),
            stuck=np.zeros(count, bool),
            steps=np.zeros((count, HISTORY, theta[0].size), np.float32),
            changes=np.zeros((count, HISTORY, theta[0].size), np.float32),
            inverse=np.zeros((count, HISTORY), np.float32),
        )
        state.loss = self._loss(state, state.logits) + self._penalty(state, theta)
        state.gradient, state.bend = self._slopes(state)
        return state

    def solve(self, state: _State, tolerance: float, max_iterations: int) -> LinearMaps:
        """L-BFGS on all, dropping those that are done."""
        theta, mean, scale = np.empty_like(state.theta), state.mean, state.scale
        iterations = np.zeros(len(theta), np.int64)
        mass = state.weights.sum(1)
        for iteration in range(max_iterations):
            slope = np.abs(state.gradient).max((1, 2)) / mass[state.index]
            busy = (slope > tolerance) & ~state.stuck
            if not busy.any():
                break
            iterations[state.index[busy]] = iteration + 1
            if busy.mean() < 0.75:  # compacting copies the whole history: not for a few
                theta[state.index] = state.theta
                state, busy = state.keep(busy), busy[busy]
            self._step(state, iteration, busy)
        theta[state.index] = state.theta
        coefficients: Floats = theta[:, :, :-1] / scale[:, None]
        intercepts = theta[:, :, -1] - np.einsum("pkd,pd->pk", coefficients, mean)
        return LinearMaps(coefficients, intercepts, iterations)

    def _step(self, state: _State, iteration: int, busy: np.ndarray) -> None:
        direction = self._direction(state, iteration).reshape(state.theta.shape)
        # Those that are done stand still: what a problem comes to depends on no other.
        direction[~busy] = 0
        towards = self._project(state, direction)
        descent = np.einsum("pkd,pkd->p", direction, state.gradient).astype(np.float64)
        length = np.ones(len(state.index), np.float32)
        if iteration == 0 and not self.curvature:  # nothing to go by: a step of length 1
            length /= np.maximum(np.sqrt(-descent), 1e-12).astype(np.float32)
        pending = np.ones(len(length), bool)
        loss = state.loss
        for _ in range(20):  # halving, until Armijo's condition with 1e-4 holds
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
        length[pending] = 0
        state.stuck |= pending
        step = length[:, None, None] * direction
        state.theta += step
        state.logits += length[:, None, None] * towards
        state.loss = loss
        before = state.gradient
        state.gradient, state.bend = self._slopes(state)
        self._remember(state, iteration % HISTORY, step, state.gradient - before)

    def _remember(self, state: _State, slot: int, step: Floats, change: Floats) -> None:
        flat = (len(step), -1)
        step, change = step.reshape(flat), change.reshape(flat)
        state.steps[:, slot], state.changes[:, slot] = step, change
        product = _dot(step, change)
        positive = product > 1e-10 * _dot(change, change)
        state.inverse[:, slot] = np.where(positive, 1 / np.where(positive, product, 1), 0)

    def _direction(self, state: _State, iteration: int) -> Floats:
        """The two-loop recursion, for all problems: (A, K * (D + 1))."""
        q: Floats = -state.gradient.reshape(len(state.index), -1)
        known = [
            (state.steps[:, slot], state.changes[:, slot], state.inverse[:, slot])
            for slot in (at % HISTORY for at in range(max(0, iteration - HISTORY), iteration))
        ]
        factors = []
        for step, change, inverse in reversed(known):
            factors.append(inverse * _dot(step, q))
            q -= factors[-1][:, None] * change
        q = self._divided(state, q)
        if known:
            _, change, inverse = known[-1]
            fit = inverse * _dot(change, self._divided(state, change))
            fit[fit <= 0] = 1
            q /= fit[:, None]
        for (step, change, inverse), factor in zip(known, reversed(factors), strict=True):
            q += (factor - inverse * _dot(change, q))[:, None] * step
        return q

    def _divided(self, state: _State, vectors: Floats) -> Floats:
        """(A, K * (D + 1)) divided by the Hessian, as far as it is known beforehand."""
        if self.curvature is None:
            return vectors
        shaped = vectors.reshape(state.theta.shape)
        divided = self.curvature.solve(shaped, state.bend, state.decay)
        return divided.reshape(vectors.shape)

    def _project(self, state: _State, theta: Floats) -> Floats:
        """What `theta` adds to the logits: (A, K, N)."""
        count, outputs, _ = theta.shape
        coefficients: Floats = theta[:, :, :-1] / state.scale[:, None]
        shift = theta[:, :, -1] - np.einsum("pkd,pd->pk", coefficients, state.mean)
        z: Floats = coefficients.reshape(count * outputs, -1) @ self.X.T
        z = z.reshape(count, outputs, -1)
        z += shift[:, :, None]
        return z

    def _loss(self, state: _State, logits: Floats) -> Doubles:
        """Weighted cross-entropy: (A,)."""
        if self.outputs == 1:
            z = logits[:, 0]
            each = np.logaddexp(0, z) - z * self.targets[0]
        else:
            peak = logits.max(1)
            log_sum = np.log(np.exp(logits - peak[:, None]).sum(1)) + peak
            each = log_sum - np.einsum("pkn,kn->pn", logits, self.targets)
        total: Doubles = np.einsum("pn,pn->p", state.weights, each, dtype=np.float64)
        return total

    def _penalty(self, state: _State, theta: Floats) -> Doubles:
        w = theta[:, :, :-1]
        square: Doubles = np.einsum("pkd,pkd->p", w, w, dtype=np.float64)
        return 0.5 * state.decay * square

    def _slopes(self, state: _State) -> tuple[Floats, Floats]:
        """Gradient of loss and penalty by standardized weights and bias; and the bend."""
        count = len(state.index)
        residual: Floats
        if self.outputs == 1:
            residual = np.tanh(0.5 * state.logits)  # 1 / (1 + exp(-logit)), and never too large
            residual += 1
            residual /= 2
        else:
            residual = np.exp(state.logits - state.logits.max(1, keepdims=True))
            residual /= residual.sum(1, keepdims=True)
        bend = state.bend
        if self.curvature:
            bend = np.einsum("pkn,pn->pk", residual * (1 - residual), state.weights)
        residual -= self.targets
        residual *= state.weights[:, None]
        by_bias = residual.sum(2)
        by_weight: Floats = residual.reshape(count * self.outputs, -1) @ self.X
        by_weight = by_weight.reshape(count, self.outputs, -1)
        by_weight -= by_bias[:, :, None] * state.mean[:, None]
        by_weight /= state.scale[:, None]
        by_weight += state.decay[:, None, None] * state.theta[:, :, :-1]
        return np.concatenate([by_weight, by_bias[:, :, None]], axis=2), bend
