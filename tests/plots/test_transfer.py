"""The one sheet on transfer."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.plots import save, transfer_figure
from headstart.transfer.advice import Action, Advice
from headstart.transfer.imagenet_distance import ImageNetDistance, NearestClasses, StageShift
from headstart.transfer.learning_curve import CurvePoint, LearningCurve, SampleCost
from headstart.transfer.paired_scores import ClassifierScore
from headstart.transfer.power_law import PowerLaw
from headstart.transfer.result import TransferReport
from headstart.types import Interval
from tests.comparison.made_up import right

pytestmark = pytest.mark.slow


def scores(**correct: int) -> tuple[ClassifierScore, ...]:
    return tuple(
        ClassifierScore(name=name.replace("_", " "), detail="", correct=right(count, 200))
        for name, count in correct.items()
    )


POINTS = tuple(
    CurvePoint(float(size), 1 - size**-0.3, Interval(0.5, 0.95), 2) for size in (50, 100, 200, 400)
)
CURVE = LearningCurve(POINTS, PowerLaw(0.0, 1.0, 0.3), SampleCost(120, 90, None), 500)


REPORT = TransferReport(
    data="photos", backbone="tiny", classes=("a", "b"), available=500, folds=5, seed=0,
    stages=scores(early=100, middle=180, last=160), chosen=scores(chosen=180)[0],
    chosen_stages=("middle",), baselines=scores(raw_pixels=170, descriptors=140, random_weights=80),
    random_stages=scores(early=80, middle=60, last=40),
    distance=ImageNetDistance((StageShift("early", 0.3, 1.0), StageShift("last", 0.6, 1.0)), 100),
    nearest_classes=NearestClasses((("ant", 0.3), ("$x$", 0.1)), {}, 0.5, 0.5),
    curve=CURVE, skipped=(), conflicts=(), duplicates=0, seconds=1.0,
    advice=Advice(action=Action.KEEP_PROBE, depth=None, sentence="It was found", command=""),
)  # fmt: skip


def drawn(path: Path, report: TransferReport = REPORT) -> np.ndarray:
    figure = transfer_figure(report)
    save(figure, path)
    texts = {text.get_text() for axes in figure.axes for text in axes.texts}
    titles = {axes.get_title(loc="left") for axes in figure.axes}
    labels = {axes.get_xlabel() for axes in figure.axes}
    drawn.said = " | ".join(texts | titles | labels)  # type: ignore[attr-defined]
    return np.asarray(Image.open(path))


def test_all_four_plots_say_their_numbers(tmp_path: Path):
    pixels = drawn(tmp_path / "sheet.png")
    assert pixels.shape[1] == 1200
    for text in ("0.900", "0.850", "mean 0.45", "about 120 more images (at least 90)", "ant 30%",
                 "crosses: random weights; dashed: chance 0.500"):  # fmt: skip
        assert text in drawn.said.replace("\n", " "), text  # type: ignore[attr-defined]


def test_no_label_hides_a_stage():
    assert not transfer_figure(REPORT).axes[0].texts


def test_the_same_numbers_are_the_same_bytes(tmp_path: Path):
    drawn(tmp_path / "a.png")
    drawn(tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_what_is_unknown_is_called_so(tmp_path: Path):
    few = LearningCurve(POINTS[:1], None, None, 20)
    drawn(tmp_path / "sheet.png", replace(REPORT, distance=None, nearest_classes=None, curve=few))
    assert "unknown: the network has no batch normalization" in drawn.said  # type: ignore[attr-defined]
    assert "too few images to predict" in drawn.said.replace("\n", " ")  # type: ignore[attr-defined]
    none = LearningCurve(POINTS, CURVE.fit, SampleCost(None, None, None), 500)
    drawn(tmp_path / "sheet.png", replace(REPORT, curve=none))
    assert "no realistic number of images" in drawn.said  # type: ignore[attr-defined]
