import io

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from headstart import plots
from headstart.errors import DataError
from headstart.evaluation.metrics import wilson
from headstart.types import Interval

Point = tuple[float, Interval]
EPSILONS = ("0", "0.25/255", "1/255", "4/255")


def at(*correct: int, n: int = 50) -> list[Point]:
    return [(one / n, wilson(one, n)) for one in correct]


CORRUPTED = {"noise": at(48, 40, 30, 20, 9), "blur": at(49, 45, 41, 35, 30), "fog": at(*[30] * 5)}


def drawn(
    attacked: list[Point] | None = None, corrupted: dict[str, list[Point]] | None = None
) -> Figure:
    points = at(49, 30, 3, 0) if attacked is None else attacked
    return plots.robustness_curves(
        EPSILONS[: len(points)], points, CORRUPTED if corrupted is None else corrupted,
        axis="largest change", images=50,
    )  # fmt: skip


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
    assert [tick.get_text() for tick in left.get_xticklabels()] == list(EPSILONS)
    spans = [path.vertices[:, 1] for path in left.collections[0].get_paths()]
    for span, (_, interval) in zip(spans, at(49, 30, 3, 0), strict=True):
        np.testing.assert_allclose(sorted(span), [interval.low, interval.high])
    curves = [line for line in right.lines if len(line.get_xdata()) == 6]
    assert len(curves) == 3
    for curve, row in zip(curves, CORRUPTED.values(), strict=True):
        np.testing.assert_allclose(curve.get_ydata(), [0.98, *(value for value, _ in row)])
    assert {text.get_text() for text in right.texts} == set(CORRUPTED)


@pytest.mark.parametrize("value", [0, 25, 50])
def test_names_never_lie_on_each_other(value: int):
    kinds = {f"corruption {i}": at(*[value] * 5) for i in range(6)}
    heights = sorted(text.xy[1] for text in drawn(corrupted=kinds).get_axes()[1].texts)
    assert min(np.diff(heights)) >= 0.05
    assert heights[0] >= -0.02
    assert heights[-1] <= 1.02


def test_the_same_picture_is_the_same_file():
    def content() -> bytes:
        buffer = io.BytesIO()
        FigureCanvasAgg(drawn()).print_png(buffer, metadata={"Software": None})
        return buffer.getvalue()

    assert content() == content()


def test_what_does_not_fit_is_refused():
    for attacked, corrupted in (([], None), (None, {}), (None, {"a": at(1), "b": at(1, 2)})):
        with pytest.raises(DataError, match="give at least one epsilon, and the same strengths"):
            drawn(attacked, corrupted)
    with pytest.raises(DataError, match="different lengths"):
        plots.robustness_curves(["0"], at(1, 2), CORRUPTED, axis="", images=1)
