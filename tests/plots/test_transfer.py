"""The one sheet on transfer."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.errors import DataError
from headstart.plots import AccuracyBars, save, transfer_figure
from headstart.transfer.learning_curve import CurvePoint, LearningCurve, SampleCost
from headstart.transfer.power_law import PowerLaw
from headstart.types import Interval

STAGES = AccuracyBars(
    names=["blocks.0", "blocks.1", "head"],
    values=[0.5, 0.9, 0.8],
    intervals=[Interval(0.4, 0.6), Interval(0.85, 0.93), Interval(0.75, 0.84)],
)
COMPARED = AccuracyBars(
    names=["chosen graft", "last layer", "raw pixels", "descriptors", "random weights"],
    values=[0.9, 0.8, 0.85, 0.7, 0.4],
    intervals=[Interval(v - 0.05, v + 0.05) for v in (0.9, 0.8, 0.85, 0.7, 0.4)],
)
POINTS = tuple(
    CurvePoint(float(size), 1 - size**-0.3, Interval(0.5, 0.95), 2) for size in (50, 100, 200, 400)
)
CURVE = LearningCurve(POINTS, PowerLaw(0.0, 1.0, 0.3), SampleCost(120, 90, None), 500)


def drawn(path: Path, **changed) -> np.ndarray:
    arguments = {
        "stages": STAGES, "compared": COMPARED, "chosen": ["blocks.1"], "better": ["raw pixels"],
        "random_stages": [0.4, 0.3, 0.2], "curve": CURVE,
        "distance": [("blocks.0", 0.3), ("head", 0.6)], "nearest": [("ant", 0.3), ("$x$", 0.1)],
        "chance": 0.1, "title": "Something was found",
    } | changed  # fmt: skip
    stages, compared = arguments.pop("stages"), arguments.pop("compared")
    figure = transfer_figure(stages, compared, **arguments)
    save(figure, path)
    texts = {text.get_text() for axes in figure.axes for text in axes.texts}
    titles = {axes.get_title(loc="left") for axes in figure.axes}
    labels = {axes.get_xlabel() for axes in figure.axes}
    drawn.said = " | ".join(texts | titles | labels)  # type: ignore[attr-defined]
    return np.asarray(Image.open(path))


def test_all_four_plots_say_their_numbers(tmp_path: Path):
    pixels = drawn(tmp_path / "sheet.png")
    assert pixels.shape[1] == 1800
    for text in ("0.900", "0.850", "mean 0.45", "about 120 more images (at least 90)", "ant 30%"):
        assert text in drawn.said, text  # type: ignore[attr-defined]


def test_the_same_numbers_are_the_same_bytes(tmp_path: Path):
    drawn(tmp_path / "a.png")
    drawn(tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_what_is_unknown_is_called_so(tmp_path: Path):
    few = LearningCurve(POINTS[:1], None, None, 20)
    drawn(tmp_path / "sheet.png", distance=[], nearest=[], curve=few)
    assert "unknown: the network has no batch normalization" in drawn.said  # type: ignore[attr-defined]
    assert "too few images to predict" in drawn.said  # type: ignore[attr-defined]
    none = LearningCurve(POINTS, CURVE.fit, SampleCost(None, None, None), 500)
    drawn(tmp_path / "sheet.png", curve=none)
    assert "no realistic number of images" in drawn.said  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "changed",
    [
        {"random_stages": [0.1]},
        {"curve": LearningCurve((), None, None, 1)},
        {"stages": AccuracyBars(names=[], values=[], intervals=[]), "random_stages": []},
        {"compared": AccuracyBars(names=["x"], values=[], intervals=[])},
    ],
)
def test_what_cannot_be_drawn_is_refused(changed, tmp_path: Path):
    with pytest.raises(DataError):
        drawn(tmp_path / "sheet.png", **changed)
