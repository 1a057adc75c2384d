"""The best plain classifier on a few numbers per image, by nested cross-validation.

Logistic regression, k nearest neighbors and support vector machines are tried, each with several
settings. For every test fold the choice is made again on the other folds, as in
`headstart.heads.selection`: no choice is scored on the images that it was based on.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import combinations, product
from typing import Final

import numpy as np

from headstart.evaluation.paired_tests import Right
from headstart.heads.families import FAMILIES
from headstart.heads.head import LabeledFeatures
from headstart.system.machine import one_blas_thread
from headstart.types import Floats, Labels, ProgressCallback, no_progress

_HEADS: Final = {"logistic": "logistic regression, C = {:g}", "knn": "k-NN, k = {:g}"}
_PENALTIES: Final = (1.0, 10.0)
_GAMMAS: Final = (1.0, 3.0)
"""Gamma of the Gaussian kernel, times the median squared distance between two images."""
_SHIFT: Final = 2
"""Pixels by which an image may be shifted to match another one."""

Masks = Sequence[np.ndarray]


def best_plain_classifier(
    X: Floats,
    y: Labels,
    folds: Labels,
    *,
    classes: int,
    shape: tuple[int, int, int] | None = None,
    progress: ProgressCallback = no_progress,
) -> tuple[str, Right]:
    """Choose among plain classifiers and test the choice, by nested cross-validation.

    Args:
        X: (N, D) features on a common scale.
        y: (N,) integer labels in [0, classes).
        folds: (N,) fold of each image, at least three folds.
        classes: number of classes.
        shape: (H, W, C) if X contains pixels: support vector machines then use the distance after
            the best shift of one image by up to two pixels (the jittered kernel of DeCoste and
            Schoelkopf 2002, "Training invariant support vector machines").
        progress: called with (done, total) kinds of classifiers.

    Returns:
        The classifier that was chosen most often, with its setting; and (N,) bool, whether each
        image is predicted correctly by a classifier chosen and trained without its fold.
    """
    count = int(folds.max()) + 1
    single = [folds == fold for fold in range(count)]
    pairs = list(combinations(range(count), 2))
    masks = [*single, *(single[j] | single[k] for j, k in pairs)]
    with one_blas_thread():
        classifiers = _classifiers(X, y, masks, classes, shape, progress)
    names, correct = [], np.zeros(len(y), dtype=bool)
    for outer in range(count):
        # Models trained without two folds, one of them the outer fold, tested on the other one.
        inner = [
            (place, masks[place], folds[masks[place]] != outer)
            for place, pair in enumerate(pairs, start=count)
            if outer in pair
        ]
        accuracies = [
            np.concatenate(
                [(labels[place] == y[mask])[tested] for place, mask, tested in inner]
            ).mean()
            for labels in classifiers.values()
        ]
        chosen = list(classifiers)[int(np.argmax(accuracies))]
        names.append(chosen)
        correct[single[outer]] = classifiers[chosen][outer] == y[single[outer]]
    return Counter(names).most_common(1)[0][0], correct


def _classifiers(
    X: Floats,
    y: Labels,
    masks: Masks,
    classes: int,
    shape: tuple[int, int, int] | None,
    progress: ProgressCallback,
) -> dict[str, list[Labels]]:
    """Return, by name, the labels predicted at each mask (N,), after training on the other rows."""
    total = len(_HEADS) + len(_GAMMAS)
    found = {}
    data = LabeledFeatures(X, y, classes)
    weights = np.stack([~mask for mask in masks]).astype(np.float32)
    for done, (kind, text) in enumerate(_HEADS.items(), start=1):
        family = FAMILIES[kind]
        scores = family.held_out(data, weights)  # (G, K, n) for each mask
        for place, setting in enumerate(family.settings):
            found[text.format(setting)] = [score[place].argmax(axis=0) for score in scores]
        progress(done, total)
    squared = _distances(X, X) if shape is None else _shifted_distances(X, shape)
    scale = np.median(squared) or 1.0
    for done, gamma in enumerate(_GAMMAS, start=len(_HEADS) + 1):
        kernel = np.exp(-gamma / scale * squared)
        for penalty in _PENALTIES:
            name = f"SVM, C = {penalty:g}, gamma = {gamma:g} / median distance"
            found[name] = [_predict_by_svm(kernel, y, mask, penalty) for mask in masks]
        progress(done, total)
    return found


def _predict_by_svm(kernel: Floats, y: Labels, out: np.ndarray, penalty: float) -> Labels:
    """Predict labels of the rows at the mask `out`, after training on the other rows."""
    from sklearn.svm import SVC

    known = y[~out]
    if (known == known[0]).all():  # all images of the other classes are held out
        return np.full(int(out.sum()), known[0])
    machine = SVC(C=penalty, kernel="precomputed").fit(kernel[np.ix_(~out, ~out)], known)
    predicted: Labels = machine.predict(kernel[np.ix_(out, ~out)])
    return predicted


def _distances(A: Floats, B: Floats) -> Floats:
    """Return (N, M) squared distances between rows."""
    half = A @ B.T
    squared: Floats = np.square(A).sum(1)[:, None] + np.square(B).sum(1) - 2 * half
    return np.maximum(squared, 0)


def _shifted_distances(X: Floats, shape: tuple[int, int, int]) -> Floats:
    """Return (N, N) squared distances after the best shift; edge pixels are repeated."""
    images = X.reshape(-1, *shape)
    frame = ((0, 0), (_SHIFT, _SHIFT), (_SHIFT, _SHIFT), (0, 0))
    padded = np.pad(images, frame, mode="edge")
    least = np.full((len(X), len(X)), np.inf, np.float32)
    for down, right in product(range(2 * _SHIFT + 1), repeat=2):
        shifted = padded[:, down : down + shape[0], right : right + shape[1]].reshape(len(X), -1)
        np.minimum(least, _distances(X, shifted), out=least)
    return np.minimum(least, least.T)  # a kernel is symmetric
