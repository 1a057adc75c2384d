from itertools import combinations

import numpy as np
import pytest

from headstart.datasets import open_dataset
from headstart.errors import UserError
from headstart.features.cost_index import Cost
from headstart.features.views import Frame, View
from headstart.heads.blend import blend, select_affordable, select_weights
from headstart.models.budget import Budget, within_budget
from headstart.models.fit import fit
from headstart.models.fit_settings import FitSettings
from tests.conftest import write_photos

WHOLE, LARGE = View("tiny", 32, Frame.WHOLE), View("tiny", 32)


@pytest.fixture
def several(tiny):
    extractor = tiny(size=48)
    return extractor.with_views(dict.fromkeys((WHOLE, LARGE), extractor.backbone))


def costs(*totals: float) -> dict[str, Cost]:
    names = ("tiny", str(WHOLE), str(LARGE))
    return {name: Cost(1.0, total - 1) for name, total in zip(names, totals, strict=True)}


@pytest.mark.parametrize("limit", [2, 5, 6, 8.5, 12, 30])
def test_the_sets_are_all_that_cannot_be_extended(limit):
    prices = (5.0, 2.0, 3.0, 8.0, 1.5)
    every = [set(one) for size in range(1, 6) for one in combinations(range(5), size)]
    fit_in = [one for one in every if sum(prices[place] for place in one) <= limit]
    largest = [one for one in fit_in if not any(one < other for other in fit_in)]
    found = [set(one) for one in Budget(limit, prices).affordable()]
    assert sorted(map(sorted, found)) == sorted(map(sorted, largest))


def test_the_best_set_is_chosen():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 200)
    signal = np.eye(3)[labels] * np.array([1.0, 2.0, 1.4, 0.5])[:, None, None]
    logits = signal + rng.normal(size=(4, 200, 3))
    found = np.log(np.exp(logits) / np.exp(logits).sum(-1, keepdims=True))
    rows = np.ones(200, np.float32)

    def loss(members):
        weights = select_weights(found[members], labels, rows)
        return -blend(found[members], weights)[np.arange(200), labels].mean()

    sets = [[0, 2], [1], [2, 3]]
    weights = select_affordable(found, labels, rows, sets=sets)
    best = min(sets, key=loss)
    assert set(np.flatnonzero(weights)) <= set(best)
    assert weights.sum() == pytest.approx(1)
    np.testing.assert_array_equal(
        select_affordable(found, labels, rows, sets=[range(4)]), select_weights(found, labels, rows)
    )


def test_views_that_are_too_expensive_alone_are_left_out(several):
    chosen, budget = within_budget(several, costs(30, 10, 12), 20)
    assert [one.name for one in chosen.by_view.values()] == [str(WHOLE), str(LARGE)]
    assert budget == Budget(20, (10, 12))
    with pytest.raises(UserError, match=r"cheapest view \(tiny@32-whole\) costs 10.0 .*give 11"):
        within_budget(several, costs(30, 10, 12), 9.9)
    with pytest.raises(UserError, match="none can be read"):
        within_budget(several, {}, 10)
    assert within_budget(several, {}, None) == (several, None)
    assert budget.of([1]) == Budget(20, (12,))


def test_what_a_budget_leaves_out_is_named():
    prices = {"a": 5.0, "b": 10.0, "c": 4.0, "d": 30.0}
    assert Budget(12, (5.0, 10.0, 4.0)).left_out({"a"}, prices) == {"b": 10, "d": 30}
    assert Budget(60, tuple(prices.values())).left_out({"a"}, prices) == {}


@pytest.mark.slow
def test_a_model_keeps_its_budget(several, tmp_path):
    dataset = open_dataset(write_photos(tmp_path / "more", 12))
    chosen, budget = within_budget(several, costs(5, 5, 6), 10.5)
    trained = fit(dataset, chosen, FitSettings(), budget=budget)
    assert 1 <= len(trained.views) <= 2
    assert LARGE not in trained.views
    assert len(fit(dataset, several, FitSettings()).views) == 3
    assert trained.model.accuracy.value > 0.8
