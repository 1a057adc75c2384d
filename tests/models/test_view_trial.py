"""Further views of a large data set are tried on a sample first."""

from dataclasses import replace

import numpy as np
import pytest

from headstart.datasets import open_dataset
from headstart.features.views import Frame, View
from headstart.models import view_trial
from headstart.models.budget import Budget
from headstart.models.fit_settings import FitSettings
from headstart.models.view_trial import is_large, try_views
from headstart.types import Split
from tests.conftest import write_photos

pytestmark = pytest.mark.slow

WHOLE, LARGE = View("tiny", 32, Frame.WHOLE), View("tiny", 32)


@pytest.fixture
def several(tiny, monkeypatch):
    monkeypatch.setattr(view_trial, "_LARGE", 30)
    monkeypatch.setattr(view_trial, "_FIRST_SAMPLE", 6)
    monkeypatch.setattr(view_trial, "_PER_CLASS", 2)
    monkeypatch.setattr(view_trial, "_SHARE", 3)
    extractor = tiny(size=48)
    return extractor.with_views(dict.fromkeys((WHOLE, LARGE), extractor.backbone))


@pytest.fixture
def dataset(tmp_path):
    return open_dataset(write_photos(tmp_path / "more", 12))


def computed(extractor, view, dataset):
    """How many images of a view had been computed before this."""
    return extractor.only([view]).extract(dataset.paths).cached


def test_only_training_images_count(dataset, several):
    assert is_large(dataset)
    parts = (Split.TRAIN,) * 30 + (Split.TEST,) * 6
    assert not is_large(replace(dataset, splits=parts))


def test_no_further_view_is_computed_where_the_first_one_makes_no_error(
    dataset, several, monkeypatch
):
    monkeypatch.setattr(view_trial, "_NEGLIGIBLE", 0.3)
    trial = try_views(dataset, several, FitSettings())
    assert list(trial.extractor.by_view) == [None]
    assert "errs on at most" in trial.reason
    assert "no further view pays" in trial.reason
    assert computed(several, None, dataset) == 36
    assert computed(several, WHOLE, dataset) == 0


def test_views_that_the_sample_needs_stay(dataset, several):
    seen = []
    trial = try_views(
        dataset, several, FitSettings(hold_out=0.1), on_images=lambda *one: seen.append(one)
    )
    assert list(trial.extractor.by_view) == [None, WHOLE, LARGE]
    assert trial.reason is None
    assert seen[-1][0] == seen[-1][1] > 0
    assert 0 < computed(several, LARGE, dataset) < 36


def test_views_that_a_sample_does_without_are_left_out(dataset, several, monkeypatch):
    select, rounds = view_trial.select_members, []

    def without_large(data, extractor, settings, **options):
        chosen, sample = select(data, extractor, settings, **options)
        rounds.append((len(data.split.train), list(extractor.by_view)))
        members = [one for one in chosen.members if one.view is not LARGE]
        return replace(chosen, members=tuple(members)), sample

    monkeypatch.setattr(view_trial, "select_members", without_large)
    trial = try_views(dataset, several, FitSettings())
    assert rounds == [(36, [None]), (6, [None, WHOLE, LARGE]), (12, [None, WHOLE])]
    assert trial.reason == "not worth a pass over all images: tiny@32"
    assert computed(several, LARGE, dataset) == 6
    found = trial.extractor.extract(dataset.paths)
    np.testing.assert_array_equal(found.rows, np.arange(36))


def test_views_are_tried_within_the_budget(dataset, several, monkeypatch):
    select, budgets = view_trial.select_members, []

    def without_large(data, extractor, settings, *, budget=None, **options):
        chosen, sample = select(data, extractor, settings, budget=budget, **options)
        budgets.append(budget)
        members = [one for one in chosen.members if one.view is not LARGE]
        return replace(chosen, members=tuple(members)), sample

    monkeypatch.setattr(view_trial, "select_members", without_large)
    trial = try_views(dataset, several, FitSettings(), budget=Budget(8, (2, 3, 4)))
    assert budgets == [None, Budget(8, (2, 3, 4)), Budget(8, (2, 3))]
    assert trial.budget == Budget(8, (2, 3))


def test_a_view_that_is_too_expensive_replaces_no_other(dataset, several):
    for costs, left_out in (((4, 5, 90), LARGE), ((4, 90, 5), WHOLE)):
        trial = try_views(dataset, several, FitSettings(), budget=Budget(10, costs))
        assert left_out not in trial.extractor.by_view
        assert len(trial.extractor.by_view) == 2


def test_nothing_is_tried_without_a_cache_or_further_views(dataset, several):
    for extractor in (replace(several, cache=None), several.only([None])):
        trial = try_views(dataset, extractor, FitSettings())
        assert (trial.extractor, trial.reason) == (extractor, None)
