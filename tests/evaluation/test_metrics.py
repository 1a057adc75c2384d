"""Against scikit-learn, SciPy and plain loops, which know nothing of each other."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn import metrics as oracle

from headstart.errors import DataError
from headstart.evaluation import metrics
from headstart.evaluation.paired_tests import paired_difference
from headstart.types import Interval
from tests.properties import examples


def predictions(seed: int, n: int = 200, k: int = 7) -> tuple[np.ndarray, np.ndarray]:
    """(n, k) probabilities and (n,) labels that agree more often than by chance."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, k, n)
    logits = rng.normal(size=(n, k)) * 2
    logits[np.arange(n), labels] += 2
    p = np.exp(logits)
    return p / p.sum(axis=1, keepdims=True), labels


@st.composite
def small(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Few images with many ties, zeros and absent classes."""
    n, k = draw(st.integers(1, 12)), draw(st.integers(1, 6))
    weights = draw(st.lists(st.lists(st.integers(0, 3), min_size=k, max_size=k), min_size=n,
                            max_size=n))  # fmt: skip
    p = np.array(weights, dtype=float)
    p[p.sum(axis=1) == 0] = 1.0
    labels = np.array(draw(st.lists(st.integers(0, k - 1), min_size=n, max_size=n)))
    return p / p.sum(axis=1, keepdims=True), labels


@given(n=st.integers(1, 5000), data=st.data())
@examples(40)
def test_wilson_is_scipys(n: int, data: st.DataObject) -> None:
    correct = data.draw(st.integers(0, n))
    expected = binomtest(correct, n).proportion_ci(0.95, method="wilson")
    got = metrics.wilson(correct, n)
    assert (got.low, got.high) == pytest.approx((expected.low, expected.high), abs=1e-7)
    assert 0 <= got.low <= correct / n <= got.high <= 1


def test_wilson_knows_nothing_without_images_and_is_exact_at_the_ends() -> None:
    assert metrics.wilson(0, 0) == Interval(0.0, 1.0)
    assert metrics.wilson(0, 10).low == 0.0
    assert metrics.wilson(10, 10).high == 1.0
    assert metrics.wilson(80, 100, z=0.0) == Interval(0.8, 0.8)


@pytest.mark.parametrize(("correct", "n"), [(3, 2), (-1, 2), (1, 0)])
def test_wilson_refuses_the_impossible(correct: int, n: int) -> None:
    with pytest.raises(ValueError, match=f"{correct} correct of {n}"):
        metrics.wilson(correct, n)


@pytest.mark.parametrize("seed", range(4))
def test_scores_are_scikit_learns(seed: int) -> None:
    k = (2, 3, 7, 30)[seed]
    p, y = predictions(seed, k=k)
    guess = p.argmax(axis=1)
    columns = range(k)
    assert metrics.accuracy(y, guess) == oracle.accuracy_score(y, guess)
    assert metrics.balanced_accuracy(y, guess) == pytest.approx(
        oracle.balanced_accuracy_score(y, guess)
    )
    assert metrics.nll(p, y) == pytest.approx(oracle.log_loss(y, p, labels=columns))
    for top in range(1, k):
        if k > 2:
            expected = oracle.top_k_accuracy_score(y, p, k=top, labels=columns)
            assert metrics.top_k_accuracy(p, y, top) == pytest.approx(expected)
    assert metrics.top_k_accuracy(p, y, k) == 1.0
    matrix = metrics.confusion(y, guess, k)
    assert matrix.dtype == np.int64
    np.testing.assert_array_equal(matrix, oracle.confusion_matrix(y, guess, labels=columns))


@given(small())
@examples(40)
def test_class_scores_are_scikit_learns_and_never_nan(case: tuple[np.ndarray, np.ndarray]) -> None:
    p, y = case
    k, guess = p.shape[1], p.argmax(axis=1)
    scores = metrics.per_class(metrics.confusion(y, guess, k))
    expected = oracle.precision_recall_fscore_support(
        y, guess, labels=range(k), zero_division=np.nan
    )
    got = [(s.precision, s.recall, s.f1, s.support) for s in scores]
    json.dumps(got, allow_nan=False)
    np.testing.assert_allclose(
        np.array(got, dtype=float).T[[0, 1, 3]], np.array(expected)[[0, 1, 3]]
    )
    for score in scores:
        seen = (score.support, score.precision) != (0, None)
        assert (score.f1 is not None) == seen
        if score.precision and score.recall:
            harmonic = 2 / (1 / score.precision + 1 / score.recall)
            assert score.f1 == pytest.approx(harmonic)
        elif seen:
            assert score.f1 == 0.0


@given(small(), st.integers(1, 20))
@examples(40)
def test_calibration_error_is_a_plain_loops(case: tuple[np.ndarray, np.ndarray], bins: int) -> None:
    p, y = case
    total = 0.0
    for m in range(bins):
        inside = [
            (row.max(), row.argmax() == truth)
            for row, truth in zip(p, y, strict=True)
            if m < np.ceil(row.max() * bins) <= m + 1
        ]
        if inside:
            confidence, right = np.mean([c for c, _ in inside]), np.mean([r for _, r in inside])
            total += len(inside) / len(y) * abs(confidence - right)
    assert metrics.expected_calibration_error(p, y, bins=bins) == pytest.approx(total, abs=1e-12)


def test_calibration_bins_by_hand() -> None:
    p = np.array([[0.5, 0.5], [0.6, 0.4], [0.9, 0.1], [0.0, 1.0]])
    got = metrics.calibration_bins(p, [0, 1, 0, 1], bins=2)
    assert got.counts.tolist() == [1, 3]  # 0.5 still belongs to the lower bin
    assert got.correct.tolist() == [1, 2]
    assert got.confidence.tolist() == pytest.approx([0.5, 2.5 / 3])


def test_nll_by_hand() -> None:
    p = [[0.5, 0.25, 0.25], [0.0, 1.0, 0.0]]
    assert metrics.nll(p, [0, 1]) == pytest.approx(np.log(2) / 2)
    assert metrics.nll([[0.0, 1.0]], [0]) == pytest.approx(-np.log(metrics.SMALLEST_PROBABILITY))
    assert str(metrics.nll([[0.0, 1.0]], [1])) == "0.0"  # not -0.0


def test_ties_go_to_the_first_class() -> None:
    tied = [[0.25, 0.25, 0.25, 0.25]]
    assert [metrics.top_k_accuracy(tied, [2], k) for k in (1, 2, 3, 4)] == [0, 0, 1, 1]


@given(small(), st.randoms(use_true_random=False))
@examples(40)
def test_the_order_of_images_and_classes_does_not_matter(
    case: tuple[np.ndarray, np.ndarray], random: object
) -> None:
    p, y = case
    rng = np.random.default_rng(random.randrange(2**32))  # type: ignore[attr-defined]
    rows, columns = rng.permutation(len(y)), rng.permutation(p.shape[1])
    scores = [metrics.nll, metrics.expected_calibration_error]
    for score in [*scores, lambda a, b: metrics.top_k_accuracy(a, b, 2)]:
        assert score(p[rows], y[rows]) == pytest.approx(score(p, y), abs=1e-12)
    # Ties go by the order of classes, so not the calibration.
    assert metrics.nll(p[:, columns], np.argsort(columns)[y]) == pytest.approx(metrics.nll(p, y))
    guess = p.argmax(axis=1)
    k = p.shape[1]
    np.testing.assert_array_equal(
        metrics.confusion(y[rows], guess[rows], k), metrics.confusion(y, guess, k)
    )


@given(small())
@examples(40)
def test_ranges_and_agreement(case: tuple[np.ndarray, np.ndarray]) -> None:
    p, y = case
    k, guess = p.shape[1], p.argmax(axis=1)
    tops = [metrics.top_k_accuracy(p, y, top) for top in range(1, k + 1)]
    assert tops[0] == metrics.accuracy(y, guess)
    assert tops == sorted(tops)
    assert tops[-1] == 1.0
    assert 0 <= metrics.nll(p, y) <= 15.95
    assert 0 <= metrics.expected_calibration_error(p, y) <= 1
    assert 0 <= metrics.balanced_accuracy(y, guess) <= 1
    matrix = metrics.confusion(y, guess, k)
    assert np.trace(matrix) / matrix.sum() == pytest.approx(tops[0])
    recalls = [s.recall for s in metrics.per_class(matrix) if s.recall is not None]
    assert np.mean(recalls) == pytest.approx(metrics.balanced_accuracy(y, guess))


def test_confused_pairs_come_by_frequency_then_order() -> None:
    assert metrics.confused_pairs([[9, 1, 0], [2, 9, 1], [0, 0, 9]]) == [(1, 0), (0, 1), (1, 2)]
    assert metrics.confused_pairs([[3, 0], [0, 3]]) == []


@pytest.mark.parametrize(
    ("p", "y", "said"),
    [
        ([[2.0, -1.0]], [0], "smallest probability is -1,.* softmax"),
        ([[0.5, 0.2]], [0], "sums to 0.7"),
        ([[np.nan, 1.0]], [0], "NaN"),
        ([[0.5, 0.5]], [2], "a label is 2, but probabilities have 2 columns"),
        ([[0.5, 0.5]], [-1], "a label is -1"),
        ([[0.5, 0.5]], [0.0], "labels are float64"),
        ([[0.5, 0.5]], [0, 1], r"\(2,\).*\(1,\)"),
        ([0.5, 0.5], [0, 1], r"shape \(2,\)"),
        (np.zeros((0, 2)), [], "no images"),
    ],
)
def test_what_cannot_be_scored_is_refused(p: object, y: object, said: str) -> None:
    with pytest.raises(DataError, match=said):
        metrics.nll(p, y)  # type: ignore[arg-type]


def test_wrong_options_are_refused() -> None:
    p, y = predictions(0)
    with pytest.raises(ValueError, match="k is 0"):
        metrics.top_k_accuracy(p, y, 0)
    with pytest.raises(ValueError, match="bins is 0"):
        metrics.expected_calibration_error(p, y, bins=0)
    with pytest.raises(DataError, match="a label is 6, but there are 3 classes"):
        metrics.confusion(y, y, 3)


def test_float32_and_bfloat16_sums_are_accepted() -> None:
    p, y = predictions(0)
    assert metrics.nll(p.astype(np.float32), y) == pytest.approx(metrics.nll(p, y), rel=1e-5)
    metrics.nll(np.array([[0.998, 0.004]]), [0])


def test_importing_the_numbers_imports_neither_scikit_learn_nor_matplotlib() -> None:
    code = (
        "import sys, headstart.evaluation.report; "
        "print([m for m in ('sklearn', 'scipy', 'matplotlib', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_paired_difference_covers_the_truth_in_about_95_of_100():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(2000):
        hard = rng.random(150)
        first, second = hard + 0.1 * rng.random(150) < 0.9, hard + 0.1 * rng.random(150) < 0.85
        found = paired_difference(first, second)
        covered += found.low <= 0.05 <= found.high
    assert 0.94 <= covered / 2000 <= 0.99


def test_a_paired_difference_looks_only_at_what_differs():
    first = np.array([True] * 90 + [False] * 10)
    second = np.array([True] * 80 + [False] * 20)
    found = paired_difference(first, second)
    assert found.difference == pytest.approx(0.1)
    apart = metrics.wilson(90, 100).low - metrics.wilson(80, 100).high
    assert found.low > 0 > apart
    back = paired_difference(second, first)
    assert (back.difference, back.low, back.high) == pytest.approx(
        (-found.difference, -found.high, -found.low)
    )


def test_a_paired_difference_of_nothing_is_not_certain():
    same = np.ones(50, dtype=bool)
    found = paired_difference(same, same)
    assert found.difference == 0
    assert found.low < 0 < found.high
    with pytest.raises(DataError, match="shapes"):
        paired_difference(same, same[1:])
    with pytest.raises(DataError, match="shapes"):
        paired_difference([], [])


class TestClusters:
    """Intervals of an accuracy on images in series."""

    def test_are_those_of_independent_images_where_series_have_one_image(self) -> None:
        correct = np.array([True, True, False, True, False, True])
        found = metrics.clustered_interval(correct, np.arange(6))
        count = metrics.effective_count(correct, np.arange(6))
        assert count == pytest.approx(5)  # N - 1, as an unbiased variance has it
        assert found == metrics.wilson(4 / 6 * count, count)
        assert metrics.clustered_interval(correct, None) == metrics.wilson(4, 6)

    def test_copies_of_an_image_tell_nothing_new(self) -> None:
        correct = np.random.default_rng(0).random(400) < 0.8
        count = metrics.effective_count(np.repeat(correct, 5), np.repeat(np.arange(400), 5))
        assert count == pytest.approx(400, rel=0.01)

    def test_without_an_error_the_series_are_counted(self) -> None:
        assert metrics.effective_count(np.ones(12, bool), np.repeat([3, 7, 9], 4)) == 3

    def test_contain_the_truth_as_often_as_they_say(self) -> None:
        rng, inside = np.random.default_rng(1), 0
        for _ in range(400):
            chance = rng.beta(8, 2, 80)  # each series has its own; the mean is 0.8
            clusters = np.repeat(np.arange(80), 6)
            interval = metrics.clustered_interval(rng.random(480) < chance[clusters], clusters)
            inside += interval.low <= 0.8 <= interval.high
        assert 0.92 <= inside / 400 <= 0.98
