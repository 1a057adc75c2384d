"""Confident learning, written from the paper to compare with.

Northcutt, Jiang and Chuang 2021, "Confident learning: estimating uncertainty in dataset labels",
JAIR 70. An image counts as a confident member of a class if its probability of the class is at
least the mean probability of the class over the images labeled so. The off-diagonal counts of
labels against confident classes estimate which labels are wrong.
"""

import numpy as np


def confident_joint(p: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the calibrated joint counts (K, K) of labels and true classes, and confident classes.

    Args:
        p: (N, K) probabilities by models that were trained without the image.
        y: (N,) labels.

    Returns:
        Counts, row = label, column = estimated true class, that sum to N; and (N,) the class of
        which each image is a confident member, -1 if there is none.
    """
    classes = p.shape[1]
    thresholds = np.array(
        [p[y == k, k].mean() if (y == k).any() else np.inf for k in range(classes)]
    )
    confident = np.where(p >= thresholds, p, -1)
    members = np.where(confident.max(axis=1) >= 0, confident.argmax(axis=1), -1)
    counts = np.zeros((classes, classes))
    np.add.at(counts, (y[members >= 0], members[members >= 0]), 1)
    total = counts.sum(axis=1, keepdims=True)
    sizes = np.bincount(y, minlength=classes)[:, None]
    counts = np.where(total > 0, counts / np.maximum(total, 1), np.eye(classes)) * sizes
    return counts, members


def ranked(p: np.ndarray, y: np.ndarray, *, prune: str, rank: str) -> np.ndarray:
    """Return all images, the most probably wrong labels first.

    Args:
        p: (N, K) probabilities by models that were trained without the image.
        y: (N,) labels.
        prune: "confident joint" (images counted off the diagonal), "by class" (from each class as
            many of the lowest probability as estimated wrong) or "by noise rate" (for each pair of
            classes as many of the largest margin as estimated). Such images come first.
        rank: "margin" (probability of the label minus that of the best other class) or
            "self-confidence" (probability of the label).
    """
    rows = np.arange(len(y))
    own = p[rows, y]
    others = p.copy()
    others[rows, y] = -1
    score = own - others.max(axis=1) if rank == "margin" else own
    counts, members = confident_joint(p, y)
    wrong = np.zeros(len(y), bool)
    if prune == "confident joint":
        wrong = (members >= 0) & (members != y)
    for label in range(p.shape[1]):
        of_class = np.flatnonzero(y == label)
        if prune == "by class":
            count = round(counts[label].sum() - counts[label, label])
            wrong[of_class[np.argsort(own[of_class], kind="stable")[:count]]] = True
        if prune == "by noise rate":
            for other in np.flatnonzero(np.arange(p.shape[1]) != label):
                margin = own[of_class] - p[of_class, other]
                wrong[
                    of_class[np.argsort(margin, kind="stable")[: round(counts[label, other])]]
                ] = True
    return np.lexsort((score, ~wrong))
