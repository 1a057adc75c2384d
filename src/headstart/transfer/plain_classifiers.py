"""The best plain classifier on a few numbers a picture, honestly chosen and tested.

Logistic regression, nearest neighbors and support vector machines are tried, each with some
settings. For every fold of the test the choice is made anew among the others, as
`headstart.heads.selection` does it for stages: what is reported was never chosen on what it is
tested on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Final

import numpy as np
from threadpoolctl import threadpool_limits

from headstart.heads.families import FAMILIES
from headstart.types import Floats, Labels, ProgressCallback, no_progress

_PENALTIES: Final = (1.0, 10.0)
_WIDTHS: Final = (1.0, 3.0)
"""Of the Gaussian kernel, over the median squared distance between two pictures."""
_SHIFT: Final = 2
"""Pixels by which a picture may be moved to match another one."""

Masks = Sequence[np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Baseline:
    """What the best of the plain classifiers does.

    Attributes:
        correct: (N,) bool, whether it is right, chosen and trained without the image's fold.
        classifier: what was chosen most often.
    """

    correct: np.ndarray
    classifier: str


@dataclass(frozen=True, slots=True)
class _PlainClassifier:
    """A classifier under one setting.

    Attributes:
        name: for the report.
        guesses: what it makes of the rows at each mask (N,), trained on the others.
    """

    name: str
    guesses: list[Labels]


def best_of(
    X: Floats,
    y: Labels,
    folds: Labels,
    *,
    classes: int,
    shape: tuple[int, int, int] | None = None,
    progress: ProgressCallback | None = None,
) -> Baseline:
    """Choose among plain classifiers and test the choice, by nested cross-validation.

    Args:
        X: (N, D) numbers of each picture, on a common scale.
        y: (N,) labels.
        folds: (N,) fold of each picture, at least three.
        classes: how many.
        shape: (H, W, C) if X holds pixels: the distance of two pictures to support vectors is then
            that after the best shift of one by up to two pixels (the jittered kernel of DeCoste
            and Schoelkopf 2002, "Training invariant support vector machines").
        progress: called with (done, total) classifiers.
    """
    count = int(folds.max()) + 1
    single = [folds == fold for fold in range(count)]
    pairs = list(combinations(range(count), 2))
    masks = [*single, *(single[j] | single[k] for j, k in pairs)]
    with threadpool_limits(1, user_api="blas"):  # the matrices are small, as in selection
        contenders = _contenders(X, y, masks, classes, shape, progress or no_progress)
    names, correct = [], np.zeros(len(y), dtype=bool)
    for outer in range(count):
        # By pairs of folds: the classifiers that saw neither, tested on the one that is not outer.
        shares = [
            np.mean(
                np.concatenate(
                    [
                        (guess == y[mask])[folds[mask] != outer]
                        for pair, guess, mask in zip(
                            pairs, one.guesses[count:], masks[count:], strict=True
                        )
                        if outer in pair
                    ]
                )
            )
            for one in contenders
        ]
        chosen = contenders[int(np.argmax(shares))]
        names.append(chosen.name)
        correct[single[outer]] = chosen.guesses[outer] == y[single[outer]]
    return Baseline(correct=correct, classifier=Counter(names).most_common(1)[0][0])


def _contenders(
    X: Floats,
    y: Labels,
    masks: Masks,
    classes: int,
    shape: tuple[int, int, int] | None,
    progress: ProgressCallback,
) -> list[_PlainClassifier]:
    kinds = {"logistic": "logistic regression, C = {:g}", "knn": "k-NN, k = {:g}"}
    total = len(kinds) + len(_WIDTHS)
    found: list[_PlainClassifier] = []
    weights = np.stack([~mask for mask in masks]).astype(np.float32)
    for done, (kind, text) in enumerate(kinds.items(), start=1):
        family = FAMILIES[kind]
        scores = family.held_out(X, y, weights, classes=classes)  # (G, K, n) a mask
        for place, setting in enumerate(family.settings):
            guesses = [score[place].argmax(axis=0) for score in scores]
            found.append(_PlainClassifier(text.format(setting), guesses))
        progress(done, total)
    squared = _distances(X, X) if shape is None else _shifted_distances(X, shape)
    scale = np.median(squared) or 1.0
    for done, width in enumerate(_WIDTHS, start=len(kinds) + 1):
        kernel = np.exp(-width / scale * squared)
        for penalty in _PENALTIES:
            guesses = [_support_vectors(kernel, y, mask, penalty) for mask in masks]
            name = f"support vectors, C = {penalty:g}, gamma = {width:g} / median distance"
            found.append(_PlainClassifier(name, guesses))
        progress(done, total)
    return found


def _support_vectors(kernel: Floats, y: Labels, out: np.ndarray, penalty: float) -> Labels:
    """Guesses for the rows in `out`, trained on the others."""
    from sklearn.svm import SVC

    known = y[~out]
    if (known == known[0]).all():  # the only picture of the other class is held out
        return np.full(int(out.sum()), known[0])
    machine = SVC(C=penalty, kernel="precomputed").fit(kernel[np.ix_(~out, ~out)], known)
    guesses: Labels = machine.predict(kernel[np.ix_(out, ~out)])
    return guesses


def _distances(A: Floats, B: Floats) -> Floats:
    """(N, M) squared distances between rows."""
    half = A @ B.T
    squared: Floats = np.square(A).sum(1)[:, None] + np.square(B).sum(1) - 2 * half
    return np.maximum(squared, 0)


def _shifted_distances(X: Floats, shape: tuple[int, int, int]) -> Floats:
    """(N, N) squared distances after the best shift; edges are repeated where a picture ends."""
    pictures = X.reshape(-1, *shape)
    frame = ((0, 0), (_SHIFT, _SHIFT), (_SHIFT, _SHIFT), (0, 0))
    framed = np.pad(pictures, frame, mode="edge")
    least = np.full((len(X), len(X)), np.inf, np.float32)
    for down, right in product(range(2 * _SHIFT + 1), repeat=2):
        moved = framed[:, down : down + shape[0], right : right + shape[1]].reshape(len(X), -1)
        np.minimum(least, _distances(X, moved), out=least)
    return np.minimum(least, least.T)  # a kernel is symmetric
