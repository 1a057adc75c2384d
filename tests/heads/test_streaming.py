"""The solver that reads features piece by piece, against scikit-learn and the one that copies."""

from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax

from headstart.heads import logistic, streaming
from headstart.heads import rows as rows_module
from headstart.heads.families import FAMILIES
from headstart.heads.head import LabeledFeatures
from headstart.heads.rows import Rows
from headstart.heads.streaming import solve_streamed
from tests.heads.samples import blobs
from tests.heads.test_logistic_solver import objective, sklearns


def sample(classes: int, images: int = 150) -> tuple[Rows, np.ndarray, np.ndarray, np.ndarray]:
    """Rows in two parts and out of order, all of them in order, labels, weights."""
    X, y = blobs(images, 8, classes, seed=3)
    X = (X * np.geomspace(0.1, 30, 8) + 5).astype(np.float32)
    weights = np.random.default_rng(1).uniform(0.5, 2, images).astype(np.float32)
    order = np.random.default_rng(2).permutation(images)
    lying = np.empty_like(X)
    lying[order] = X
    return Rows((lying[:, :3], lying[:, 3:]), order), X, y, weights


@pytest.fixture(autouse=True)
def in_pieces_from_a_small_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "PIECE", 32)
    monkeypatch.setattr(streaming, "_SAMPLE", 20)


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("strength", [1e-3, 1.0])
def test_is_scikit_learns_solution(classes: int, strength: float) -> None:
    rows, X, y, weights = sample(classes)
    found, biases = solve_streamed(rows, y, weights, strength, classes=classes, tolerance=1e-6)
    assert found.dtype == biases.dtype == np.float32
    classifier, scaler = sklearns(X, y, weights, strength)
    mine = objective(
        X,
        y,
        weights,
        strength,
        found * scaler.scale_,
        biases + found @ scaler.mean_,
        classes,
    )
    arguments = classifier.coef_, classifier.intercept_, classes
    assert mine == pytest.approx(objective(X, y, weights, strength, *arguments), rel=1e-4)


@pytest.mark.parametrize("classes", [2, 4])
def test_large_sets_get_the_head_that_small_ones_get(
    classes: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rows, X, y, weights = sample(classes)
    copied = FAMILIES["logistic"].fit_rows(rows, y, weights, 0.1, classes=classes)
    monkeypatch.setattr(logistic, "IN_MEMORY", 0)
    mapped = []
    for number, part in enumerate(rows.parts):  # as the store gives what memory is too small for
        mapped.append(np.memmap(tmp_path / f"{number}", np.float32, "w+", shape=part.shape))
        mapped[-1][:] = part
    from_file = Rows(tuple(mapped), rows.chosen)
    streamed = FAMILIES["logistic"].fit_rows(from_file, y, weights, 0.1, classes=classes)
    # What all classes have in common is nobody's probability.
    mine, its = (z - z.mean(1, keepdims=True) for z in (streamed.logits(X), copied.logits(X)))
    np.testing.assert_allclose(mine, its, atol=0.02)


@pytest.mark.parametrize("kind", ["centroid", "knn"])
def test_other_heads_see_all_rows(kind: str) -> None:
    rows, X, y, weights = sample(3)
    family = FAMILIES[kind]
    setting = family.settings[0]
    expected = family.fit(LabeledFeatures(X, y, 3, [3, 5]), weights, setting).logits(X)
    found = family.fit_rows(rows, y, weights, setting, classes=3).logits(X)
    np.testing.assert_array_equal(found, expected)


def test_a_class_may_be_missing_from_the_start() -> None:
    rows, X, y, weights = sample(5)
    start = rows.evenly(20)
    y[start] = np.where(y[start] == 4, 0, y[start])
    assert 4 in y
    found, biases = solve_streamed(rows, y, weights, 0.1, classes=5, tolerance=1e-6)
    classifier, scaler = sklearns(X, y, weights, 0.1)
    expected = classifier.predict_proba(scaler.transform(X.astype(float)))
    np.testing.assert_allclose(softmax(X @ found.T + biases, axis=1), expected, atol=2e-3)


def test_weightless_rows_change_nothing() -> None:
    rows, X, y, weights = sample(3)
    used = np.arange(150) % 4 > 0
    found, biases = solve_streamed(rows, y, weights * used, 0.1, classes=3, tolerance=1e-6)
    classifier, scaler = sklearns(X, y, weights * used, 0.1)
    expected = classifier.predict_proba(scaler.transform(X.astype(float)))
    np.testing.assert_allclose(softmax(X @ found.T + biases, axis=1), expected, atol=2e-3)


def test_repeats_to_the_last_bit() -> None:
    rows, _, y, weights = sample(3)
    first, second = (solve_streamed(rows, y, weights, 0.1, classes=3)[0] for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_progress_counts_the_steps_up_to_the_most_there_can_be() -> None:
    rows, _, y, weights = sample(3)
    seen: list[tuple[int, int]] = []
    solve_streamed(
        rows, y, weights, 0.1, classes=3, max_iterations=40,
        progress=lambda *at: seen.append(at),
    )  # fmt: skip
    assert seen == [(step, 40) for step in range(1, len(seen) + 1)]
    assert 1 <= len(seen) <= 40
