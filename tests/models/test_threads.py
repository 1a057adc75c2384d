"""Products are computed by one thread: their rounding, and with it the model, depends on that."""

from collections.abc import Callable
from typing import Any

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from headstart.datasets import open_dataset
from headstart.features.extractor import Extractor
from headstart.heads import selection
from headstart.heads.families import FAMILIES
from headstart.heads.logistic import LogisticFamily
from headstart.models import fit as fitting
from headstart.models.fit_settings import FitSettings
from headstart.series import detection

pytestmark = pytest.mark.slow


def blas_threads() -> int:
    return max(one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas")


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (detection, "class_spread"),
        (selection, "try_candidates"),
        (selection, "_choose_and_estimate"),
        (fitting, "_predict_test_part"),
        (fitting, "fit_novelty"),
    ],
)
def test_a_model_does_not_depend_on_threads(
    module: Any,
    name: str,
    photos: Any,
    tiny: Callable[..., Extractor],
    monkeypatch: pytest.MonkeyPatch,
):
    seen, original = [], getattr(module, name)

    def watched(*args: Any, **options: Any) -> Any:
        seen.append(blas_threads())
        return original(*args, **options)

    monkeypatch.setattr(module, name, watched)
    monkeypatch.setattr(detection, "_MIN_WIDTH", 1)
    with threadpool_limits(2, user_api="blas"):
        fitting.fit(open_dataset(photos), tiny(), FitSettings(hold_out=0.2))
        assert blas_threads() == 2
    assert set(seen) == {1}


def test_the_final_head_is_trained_by_one_thread(
    photos: Any, tiny: Callable[..., Extractor], monkeypatch: pytest.MonkeyPatch
):
    seen = []

    class Watched(LogisticFamily):
        def fit_rows(self, *args: Any, **options: Any) -> Any:
            seen.append(blas_threads())
            return super().fit_rows(*args, **options)

    monkeypatch.setitem(FAMILIES, "logistic", Watched())
    with threadpool_limits(2, user_api="blas"):
        fitting.fit(open_dataset(photos), tiny(), FitSettings())
    assert seen == [1]
