import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from headstart import plots
from headstart.evaluation.metrics import Accuracy
from headstart.inspection.labeled_sample import LabeledSample
from headstart.inspection.robustness_result import Robustness
from headstart.types import Norm

SIZES = (0.0, 0.25 / 255, 1 / 255, 4 / 255)


def at(*correct: int, n: int = 50) -> tuple[Accuracy, ...]:
    return tuple(Accuracy(one, n) for one in correct)


CORRUPTED = {"noise": at(48, 40, 30, 20, 9), "blur": at(49, 45, 41, 35, 30), "fog": at(*[30] * 5)}
SAMPLE = LabeledSample(
    name="photos", paths=(Path("a.png"),) * 50, labels=("a",) * 50, available=50, skipped=(),
    pixels=np.zeros((50, 1, 1, 3), np.uint8), accepted=np.ones((50, 2), bool), conflicts=(), seen=0,
    sizes=((1, 1),) * 50,
)  # fmt: skip


def drawn(
    attacked: tuple[Accuracy, ...] = at(49, 30, 3, 0), corrupted: Mapping[Any, Any] = CORRUPTED
) -> Figure:
    found = Robustness(
        sample=SAMPLE, norm=Norm.LINF, epsilons=SIZES[: len(attacked)], attacked=attacked,
        wrong_at=np.zeros(50, np.int64), corrupted=corrupted, steps=10, restarts=1, seed=0,
    )  # fmt: skip
    return plots.robustness_curves(found)


def title(figure: Figure) -> str:
    return figure.get_suptitle().replace("\n", " ")


def test_the_title_states_the_finding():
    said = title(drawn())
    assert said == (
        "Accuracy 0.980 on 50 clean images; 0.060 under attack with epsilon 1/255; "
        "0.180 under the worst corruption, noise, at strength 5"
    )
    assert "0.900 under attack with epsilon 4/255" in title(drawn(at(49, 49, 48, 45)))
    assert "attack" not in title(drawn(at(49)))


def test_both_plots_show_the_numbers():
    left, right = drawn().get_axes()
    np.testing.assert_allclose(left.lines[0].get_ydata(), [0.98, 0.6, 0.06, 0])
    assert [tick.get_text() for tick in left.get_xticklabels()] == ["0", "0.25", "1", "4"]
    spans = [path.vertices[:, 1] for path in left.collections[0].get_paths()]
    for span, one in zip(spans, at(49, 30, 3, 0), strict=True):
        np.testing.assert_allclose(sorted(span), [one.interval.low, one.interval.high])
    curves = [line for line in right.lines if len(line.get_xdata()) == 6]
    assert len(curves) == 3
    for curve, row in zip(curves, CORRUPTED.values(), strict=True):
        np.testing.assert_allclose(curve.get_ydata(), [0.98, *(one.value for one in row)])
    assert {text.get_text() for text in right.texts} == set(CORRUPTED)


def test_nothing_is_drawn_after_the_accuracy_is_gone():
    left, _ = drawn(at(49, 30, 0, 0)).get_axes()
    np.testing.assert_allclose(left.lines[0].get_ydata(), [0.98, 0.6, 0])
    assert "0.00 up to 4/255" in {text.get_text() for text in left.texts}


@pytest.mark.parametrize("value", [0, 25, 50])
def test_names_never_lie_on_each_other(value: int):
    kinds = {f"corruption {i}": at(*[value] * 5) for i in range(6)}
    heights = sorted(
        text.xy[1]  # type: ignore[attr-defined]
        for text in drawn(corrupted=kinds).get_axes()[1].texts
    )
    assert min(np.diff(heights)) >= 0.05
    assert heights[0] >= -0.02
    assert heights[-1] <= 1.02


def test_the_same_picture_is_the_same_file():
    def content() -> bytes:
        buffer = io.BytesIO()
        FigureCanvasAgg(drawn()).print_png(buffer, metadata={"Software": None})
        return buffer.getvalue()

    assert content() == content()
