import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression

from headstart.auditing import wrong_labels
from headstart.auditing.wrong_labels import (
    LabelCheck,
    label_issues,
    label_probabilities,
    likely_classes,
)
from headstart.heads.rows import Rows
from tests.auditing.made_up import clusters, images


def flipped(y: np.ndarray, share: float = 0.1, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    labels = y.copy()
    rows = rng.choice(len(y), round(share * len(y)), replace=False)
    labels[rows] = (labels[rows] + 1 + rng.integers(0, 2, len(rows))) % 3
    return labels


def checked(X: np.ndarray, labels: np.ndarray, folds: np.ndarray) -> LabelCheck:
    rows = np.arange(len(labels))
    p = label_probabilities(Rows((X,), rows), labels, folds, setting=0.1, classes=3)
    names = images(labels).classes
    return LabelCheck(stages=("a",), rows=rows, labels=labels, classes=names, probabilities=p)


def test_flipped_labels_are_the_least_probable():
    X, y = clusters(300)
    labels = flipped(y)
    found = checked(X, labels, np.arange(300) // 3 % 3)
    wrong = np.flatnonzero(labels != y)
    worst = np.argsort(found.of_labels)[: len(wrong)]
    assert len(set(worst) & set(wrong)) >= 0.9 * len(wrong)
    np.testing.assert_allclose(found.probabilities.sum(1), 1, rtol=1e-5)


def test_issues_name_the_right_class():
    X, y = clusters(300)
    labels = flipped(y)
    issues = label_issues(images(labels), checked(X, labels, np.arange(300) // 3 % 3))
    true = {f"{row:04}.jpg": f"class {y[row]}" for row in np.flatnonzero(labels != y)}
    found = {one.path: one.suggested_label for one in issues}
    assert sum(found.get(path) == label for path, label in true.items()) >= 0.9 * len(true)
    assert len(found) <= 1.3 * len(true)
    assert all(one.label != one.suggested_label and 0.5 < one.score <= 1 for one in issues)


def test_one_round_ranks_as_scikit_learn_does(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(wrong_labels, "_ROUNDS", 1)
    X, y = clusters(300)
    labels, folds = flipped(y), np.arange(300) // 3 % 3
    found = checked(X, labels, folds).of_labels
    theirs = np.empty(300)
    for fold in range(3):
        known, out = folds != fold, folds == fold
        mean, scale = X[known].mean(0), X[known].std(0)
        model = LogisticRegression(C=0.1).fit((X[known] - mean) / scale, labels[known])
        p = model.predict_proba((X[out] - mean) / scale)
        theirs[out] = p[np.arange(out.sum()), labels[out]]
    assert spearmanr(found, theirs).statistic > 0.99


def test_features_in_files_give_the_same(monkeypatch: pytest.MonkeyPatch):
    X, y = clusters(300)
    labels, folds = flipped(y), np.arange(300) // 3 % 3
    whole = checked(X, labels, folds).of_labels
    monkeypatch.setattr(wrong_labels, "IN_MEMORY", 0)
    np.testing.assert_allclose(checked(X, labels, folds).of_labels, whole, atol=0.02)


def test_a_label_of_its_own_fold_never_counts():
    X, y = clusters(90)
    folds = np.arange(90) // 3 % 3
    labels = y.copy()
    labels[0] = 1
    for_both = [checked(X, given, folds).probabilities for given in (y, labels)]
    monitored = folds == folds[0]
    # The first round is the same for the whole fold; later ones only weigh other images.
    assert for_both[0][monitored].argmax(1).tolist() == for_both[1][monitored].argmax(1).tolist()


def test_small_classes_are_not_judged():
    labels = np.array([0] * 6 + [1] * 4)
    p = np.tile([0.99, 0.01], (10, 1)).astype(np.float32)
    p[:6] = p[:6, ::-1]
    check = LabelCheck(
        stages=("a",), rows=np.arange(10), labels=labels, classes=("a", "b"), probabilities=p
    )
    assert check.doubtful.tolist() == [True] * 6 + [False] * 4


def test_images_with_contradictory_labels_get_the_class_that_the_others_tell():
    X, y = clusters(90)
    folds = np.arange(90) // 3 % 3
    rows = Rows((X,), np.arange(80))
    found = label_probabilities(rows, y[:80], folds[:80], setting=0.1, classes=3)
    others = Rows((X,), np.arange(80, 90))
    likely = likely_classes(rows, y[:80], found, others, setting=0.1)
    assert (likely == y[80:]).mean() > 0.8
