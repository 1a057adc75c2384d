from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from headstart import Audit, ImageDataset, build_report, plots
from headstart.api.figures import figure
from headstart.auditing.issue import Issue, IssueKind
from headstart.datasets import open_dataset
from headstart.errors import DataError, UserError
from headstart.models.fit_result import FitResult, HeldOutPredictions
from tests.conftest import files
from tests.models.trained_models import UNKNOWN, make_model

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The arguments of what would draw; drawing takes half a second."""
    calls: list[tuple[Any, ...]] = []
    for name in ("confusion_matrix", "reliability", "most_wrong", "image_grid"):

        def draw(*args: Any, name: str = name, **_: Any) -> Figure:
            calls.append((name, *args))
            return Figure()

        monkeypatch.setattr(plots, name, draw)
    return calls


def fitted(held_out: HeldOutPredictions | None) -> FitResult:
    return FitResult(
        model=make_model(), images=30, compared_on=30, skipped=(), conflicts=(), held_out=held_out,
        seconds=1, feature_seconds=1, cached=0, computed=30, settings=(1.0,), sample=np.arange(30),
        cross_validated=None,
    )  # fmt: skip


HELD_OUT = HeldOutPredictions(
    paths=(Path("a"), Path("b")),
    labels=np.array([0, 1]),
    probabilities=np.float32([[0.8, 0.1, 0.1], [0.5, 0.3, 0.2]]),
)


@pytest.mark.slow
def test_a_batch_is_a_figure_that_shows_itself_without_pyplot(photos: Path):
    found: Any = open_dataset(photos).show_batch(2, seed=0)
    png, size = found._repr_png_()
    assert png.startswith(PNG)
    assert size["width"] * 2 > size["height"]
    assert len(found.axes) == 2


def test_a_batch_is_drawn_at_random_unless_a_seed_is_given(
    photos: Path, drawn: list[tuple[Any, ...]]
):
    dataset = open_dataset(photos)
    for seed in (1, 1, 2):
        dataset.show_batch(6, seed=seed)
    rows = [[panel.pixels.shape for row in call[1] for panel in row] for call in drawn]
    assert rows[0] == rows[1] != rows[2]
    with pytest.raises(DataError, match="cannot show 0 of 24 images"):
        dataset.show_batch(0)


def test_the_kinds_of_a_fit(drawn: list[tuple[Any, ...]]):
    found = fitted(HELD_OUT)
    for kind in ("confusion", "reliability", "errors"):
        found.plot(kind=kind)
    assert [call[0] for call in drawn] == ["confusion_matrix", "reliability", "most_wrong"]
    np.testing.assert_array_equal(drawn[0][1], [[1, 0, 0], [1, 0, 0], [0, 0, 0]])
    with pytest.raises(UserError, match="no figure 'x'; choose from stages, confusion"):
        found.plot(kind="x")
    with pytest.raises(UserError, match="too few images to test"):
        fitted(None).plot()


def test_a_report_is_its_confusion_and_a_model_its_stages(drawn: list[tuple[Any, ...]]):
    build_report([[0.9, 0.1], [0.2, 0.8]], [0, 1], ["ant", "bee"]).plot()
    assert drawn[0][0] == "confusion_matrix"
    with pytest.raises(UserError, match="too few images to tell the accuracies"):
        make_model(accuracy_by_stage={"fine": UNKNOWN}).plot()


def test_an_audit_draws_the_images_of_a_kind(photos: Path, drawn: list[tuple[Any, ...]]):
    path = str(files(photos)[0])
    found = Audit(
        data="photos", images=24, classes=3, label_check=None, surroundings=None, seconds=1,
        issues=(
            Issue(path=path, kind=IssueKind.WRONG_LABEL, score=1, label="a", suggested_label="b"),
            Issue(path="", kind=IssueKind.BACKGROUND, score=1, label=""),
        ),
    )  # fmt: skip
    found.plot(kind="wrong label")
    ((panel,),) = drawn[0][1]
    assert (panel.caption, panel.note) == ("wrong label", "a → b")
    with pytest.raises(UserError, match="the audit found: wrong label, background"):
        found.plot(kind="background")


def test_an_audit_draws_as_many_images_as_asked_for(photos: Path, drawn: list[tuple[Any, ...]]):
    issue = Issue(path=str(files(photos)[0]), kind=IssueKind.BLURRED, score=1, label="a")
    found = Audit(
        data="photos", images=24, classes=3, label_check=None, surroundings=None, seconds=1,
        issues=(issue,) * 30,
    )  # fmt: skip
    found.plot()
    found.plot(count=2)
    assert [sum(map(len, rows)) for _, rows in drawn] == [24, 2]
    with pytest.raises(UserError, match="cannot show 0 issues"):
        found.plot(count=0)


def test_what_has_no_figure_says_so():
    with pytest.raises(UserError, match="there is no figure of a int"):
        figure(3)


def test_an_image_and_its_label_are_those_of_a_row(photos: Path):
    dataset = open_dataset(photos)
    image, label = dataset[np.int64(9)]
    assert (image.mode, dataset.classes[label]) == ("RGB", "noise")
    assert dataset[-1][1] == 2
    assert isinstance(dataset[:5], ImageDataset)
    assert dataset[dataset.labels == 1].paths == dataset.paths[8:16]
    assert sum(1 for _ in dataset) == 24
    with pytest.raises(IndexError):
        dataset[24]
