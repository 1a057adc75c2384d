"""Learning curves of made-up results, and of heads on made-up features."""

import math

import numpy as np
import pytest

from headstart.datasets.splits import assign_folds
from headstart.errors import DataError
from headstart.heads.families import FAMILIES
from headstart.heads.head import LabeledFeatures
from headstart.system.serialization import to_json
from headstart.transfer.learning_curve import (
    SampleCost,
    fit_learning_curve,
    measure_learning_curve,
)
from headstart.transfer.power_law import PowerLaw
from tests.heads.samples import blobs
from tests.transfer.test_power_law import CURVES, SIZES


@pytest.mark.parametrize(
    ("price", "words"),
    [
        (SampleCost(1, 1, 2), "another percentage point needs about 1 more image (1 to 2)"),
        (
            SampleCost(1300, 200, None),
            "another percentage point needs about 1,300 more images (at least 200)",
        ),
        (
            SampleCost(900, None, None),
            "no realistic number of images would gain another percentage point",
        ),
        (
            SampleCost(None, 200, None),
            "no realistic number of images would gain another percentage point",
        ),
    ],
)
def test_a_price_has_words(price: SampleCost, words: str):
    assert str(price) == words


def guesses(true: PowerLaw, *, images: int = 2000, draws=(8, 6, 4, 1), seed: int = 0):
    """Right and wrong as some images, harder than others, would have it."""
    rng = np.random.default_rng(seed)
    hard = rng.random(images)
    return [
        (hard + rng.uniform(0, 0.1, (draw, images))) % 1 < true.error(size)
        for size, draw in zip(SIZES, draws, strict=True)
    ]


@pytest.mark.parametrize("true", CURVES[:3])
def test_the_price_of_a_point_lies_in_its_interval(true: PowerLaw):
    curve = fit_learning_curve(SIZES, guesses(true), available=1000, seed=0)
    expected = true.images_for(true.error(1000) - 0.01) - 1000
    assert curve.sample_cost is not None
    assert curve.sample_cost.low is not None
    assert curve.sample_cost.low <= expected <= (curve.sample_cost.high or math.inf)
    for point, size in zip(curve.points, SIZES, strict=True):
        assert point.interval.low - 0.01 <= 1 - true.error(size) <= point.interval.high + 0.01


def test_where_nothing_is_left_to_learn_no_number_is_named():
    curve = fit_learning_curve(SIZES, [np.zeros((1, 300), dtype=bool)] * 4, available=1000, seed=0)
    assert curve.sample_cost is not None
    assert curve.sample_cost.images is None
    assert to_json(curve)["images_for_one_point"] == {"images": None, "interval": [None, None]}


def test_with_few_images_the_price_of_a_point_is_as_unsure_as_its_points():
    errors, rng = (0.42, 0.36, 0.30, 0.22), np.random.default_rng(0)
    draws = zip((8, 6, 4, 1), errors, strict=True)
    wrong = [rng.random((count, 100)) < error for count, error in draws]
    cost = fit_learning_curve((10, 20, 40, 80), wrong, available=100, seed=0).sample_cost
    assert cost is None or cost.high is None or (cost.low or 0) * 4 < cost.high


def test_a_fit_that_misses_its_points_predicts_nothing():
    wrong = [np.arange(1000)[None] < 1000 * error for error in (0.2, 0.4, 0.1, 0.3)]
    curve = fit_learning_curve(SIZES, wrong, available=1000, seed=0)
    assert curve.fit is not None
    assert curve.sample_cost is None


def test_two_sizes_are_no_curve():
    curve = fit_learning_curve(SIZES[:2], guesses(CURVES[0])[:2], available=300, seed=0)
    assert curve.fit is None
    assert curve.sample_cost is None
    assert to_json(curve)["fit"] is None
    with pytest.raises(DataError, match="at least one"):
        fit_learning_curve([], [], available=3, seed=0)


def test_the_same_seed_gives_the_same_numbers():
    first, second = (
        fit_learning_curve(SIZES, guesses(CURVES[1]), available=900, seed=3) for _ in range(2)
    )
    assert first == second


def measured(order: np.ndarray | None = None):
    X, y = blobs(240, 12, 3, seed=0)
    digests = [f"{row:032x}" for row in range(240)]
    if order is not None:
        X, y, digests = X[order], y[order], [digests[row] for row in order]
    folds = assign_folds(digests, y, folds=3, seed=0)
    return measure_learning_curve(
        LabeledFeatures(X, y, 3, [12]), digests, folds, family=FAMILIES["logistic"], available=240,
        seed=0,
    )  # fmt: skip


def test_sizes_are_shares_of_what_a_fold_trains_on():
    curve = measured()
    sizes = [point.images for point in curve.points]
    np.testing.assert_allclose(sizes, [20, 40, 80, 160], rtol=0.25)
    assert sizes[-1] == pytest.approx(160)
    assert [point.draws for point in curve.points] == [8, 6, 4, 1]
    assert curve.points[-1].accuracy >= curve.points[0].accuracy


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_a_part_that_lies_in_one_fold_is_no_size(seed: int):
    X, y = blobs(16, 4, 2, seed=seed)
    digests = [f"{row:032x}" for row in range(16)]
    folds = assign_folds(digests, y, folds=4, seed=seed)
    curve = measure_learning_curve(
        LabeledFeatures(X, y, 2, [4]), digests, folds, family=FAMILIES["logistic"], available=16,
        seed=seed,
    )  # fmt: skip
    assert curve.points[0].images > 2  # two images, one a class, are not spared by every fold
    assert curve.points[-1].images == 12


def test_the_order_of_the_images_changes_no_prediction():
    shuffled = np.random.default_rng(0).permutation(240)
    for one, other in zip(measured().points, measured(shuffled).points, strict=True):
        assert one.images == other.images
        assert one.accuracy == pytest.approx(other.accuracy, abs=0.01)


def test_all_images_are_what_the_selection_measures():
    """With every image used, the curve ends where cross-validation with the best setting does."""
    X, y = blobs(240, 12, 3, seed=0)
    digests = [f"{row:032x}" for row in range(240)]
    folds = assign_folds(digests, y, folds=3, seed=0)
    family = FAMILIES["logistic"]
    weights = np.stack([folds != fold for fold in range(3)]).astype(np.float32)
    scores = family.held_out(LabeledFeatures(X, y, 3), weights)
    right = np.zeros((len(family.settings), 240))
    for fold, score in enumerate(scores):
        right[:, folds == fold] = score.argmax(axis=1) == y[folds == fold]
    shares = right.mean(axis=1)
    assert shares.min() < shares.max()  # or any choice of the setting would do
    assert measured().points[-1].accuracy >= shares.max() - 0.02
