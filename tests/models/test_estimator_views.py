"""The estimator with several views."""

from pathlib import Path

import pytest

from headstart import Classifier
from headstart.errors import UserError
from headstart.features import extractor
from headstart.features.cost_index import Cost
from headstart.features.views import View
from headstart.models import estimator, view_trial
from tests.conftest import files, tiny_backbone

pytestmark = pytest.mark.usefixtures("tiny_everywhere")


@pytest.fixture
def paths(photos: Path) -> list[Path]:
    return files(photos)


@pytest.fixture
def labels(paths: list[Path]) -> list[str]:
    return [path.parent.name for path in paths]


class TestViews:
    VIEWS = ("tiny", "tiny@32-whole")

    def test_a_budget_bounds_the_cost(
        self, paths: list[Path], labels: list[str], monkeypatch: pytest.MonkeyPatch
    ):
        def priced(extractor: extractor.Extractor, _: object) -> dict[str, Cost]:
            return {one.name: Cost(1.0, 2.0) for one in extractor.by_view.values()}

        both = Classifier(views=self.VIEWS, budget=10_000).fit(paths, labels)
        assert len({member.origin.name for member in both.model_.members}) == 2
        monkeypatch.setattr(estimator, "measure_costs", priced)
        one = Classifier(views=self.VIEWS, budget=5.9).fit(paths, labels)
        assert len({member.origin.name for member in one.model_.all_members}) == 1
        with pytest.raises(UserError, match="the cheapest view"):
            Classifier(budget=1e-6).fit(paths, labels)
        with pytest.raises(UserError, match="none of the views efficientnet-lite0 is of the backb"):
            Classifier(backbone="tiny", views=["efficientnet-lite0"]).fit(paths, labels)
        with pytest.raises(UserError, match="budget is '7'"):
            Classifier(budget="7").fit(paths, labels)

    def test_large_data_sets_try_views_on_a_sample(
        self, paths: list[Path], labels: list[str], monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(view_trial, "_LARGE", 10)
        monkeypatch.setattr(view_trial, "_NEGLIGIBLE", 1.0)
        views = {View("tiny", 32): tiny_backbone()}
        monkeypatch.setattr(
            estimator, "with_quality", lambda extractor, *_, **options: extractor.with_views(views)
        )
        assert Classifier(quality="balanced").fit(paths, labels).model_.members == ()
        both = Classifier(quality="balanced", views=self.VIEWS).fit(paths, labels)
        assert len(both.model_.members) == 2
