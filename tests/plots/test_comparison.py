import io
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from PIL import Image

from headstart import plots
from headstart.comparison.recommendation import frontier as pareto
from headstart.comparison.result import Comparison, Recommendation
from headstart.evaluation.metrics import wilson
from tests.comparison.made_up import compared, right

IMAGES = 500


def drawn(correct: list[int], costs: list[float], *, early: tuple[int, ...] = ()) -> Figure:
    backbones = tuple(
        compared(
            f"torchvision:network_{place}", right(k, IMAGES), cost, complete=place not in early
        )
        for place, (k, cost) in enumerate(zip(correct, costs, strict=True))
    )
    edge = pareto(backbones)
    found = Comparison(
        data="photos", classes=("a", "b"), images=IMAGES, duplicates=0, conflicts=(), skipped=(),
        backbones=backbones, frontier=edge, left_out=(), folds=5, seed=0, cores=1, seconds=1.0,
        recommendation=Recommendation(
            backbone=next(one.name for one in backbones if one.name in edge), sentence="",
            against={}, choice=backbones[0].right,
        ),
    )  # fmt: skip
    return plots.accuracy_and_cost(found)


def boxes(figure: Figure) -> list[Bbox]:
    renderer = FigureCanvasAgg(figure).get_renderer()
    axes = figure.get_axes()[0]
    return [text.get_window_extent(renderer) for text in axes.texts if text.get_text()]


def test_the_title_states_the_finding():
    title = drawn([450, 480], [2, 5]).get_suptitle().replace("\n", " ")
    assert title == (
        "Recommended, in orange: torchvision:network_0 (cheapest backbone not significantly below "
        "the best), accuracy 0.900 on 500 images, 2.0 ms per image. The line connects those "
        "that no other beats in both accuracy and time"
    )
    alone = drawn([450], [2]).get_suptitle().replace("\n", " ")
    assert "network_0 (only one), accuracy 0.900 on 500 images" in alone


def test_points_intervals_and_frontier_are_where_they_should_be():
    axes = drawn([450, 400, 480], [2, 3, 5]).get_axes()[0]
    assert axes.get_xscale() == "log"
    assert "logarithmic" in axes.get_xlabel()
    frontier, *rest = axes.lines
    np.testing.assert_allclose(frontier.get_xdata(), [2, 5])
    np.testing.assert_allclose(frontier.get_ydata(), [0.9, 0.96])
    np.testing.assert_allclose([line.get_xdata()[0] for line in rest], [2, 3, 5])
    np.testing.assert_allclose([line.get_ydata()[0] for line in rest], [0.9, 0.8, 0.96])
    spans = [lines.get_paths()[0].vertices[:, 1] for lines in axes.collections]
    for span, correct in zip(spans, (450, 400, 480), strict=True):
        interval = wilson(correct, IMAGES)
        np.testing.assert_allclose(span, [interval.low, interval.high])


def test_who_left_early_says_so():
    texts = [text.get_text() for text in drawn([450, 480], [2, 5], early=(1,)).get_axes()[0].texts]
    assert "torchvision:network_1 (fewer images)" in texts


@pytest.mark.parametrize("count", [3, 10])
@pytest.mark.parametrize("spread", [1.2, 4, 100])
@pytest.mark.parametrize("seed", range(2))
def test_names_lie_neither_on_each_other_nor_outside(count: int, spread: float, seed: int):
    rng = np.random.default_rng(seed)
    correct = rng.integers(430, 490, count).tolist()
    costs = (3 * np.exp(rng.uniform(0, np.log(spread), count))).tolist()
    figure = drawn(correct, costs)
    places = boxes(figure)
    assert len(places) == count
    for one, other in combinations(places, 2):
        assert Bbox.intersection(one, other) is None
    width, height = figure.get_size_inches() * figure.dpi
    for place in places:
        assert place.x0 >= 0
        assert place.x1 <= width
        assert place.y0 >= 0
        assert place.y1 <= height


@pytest.mark.parametrize("costs", [[3.0, 3.2], [2.0, 900.0], [0.011, 0.012], [7.0, 7.0]])
def test_the_axis_of_costs_has_numbers(costs: list[float]):
    axes = drawn([450, 480], costs).get_axes()[0]
    low, high = axes.get_xlim()
    shown = [tick for tick in axes.get_xticks() if low <= tick <= high]
    assert 3 <= len(shown) <= 10
    assert len({tick.get_text() for tick in axes.get_xticklabels()}) == len(axes.get_xticks())


def test_the_same_picture_is_the_same_file(tmp_path: Path):
    content = []
    for _ in range(2):
        buffer = io.BytesIO()
        figure = drawn([450, 480], [2, 5])
        FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})
        content.append(buffer.getvalue())
    assert content[0] == content[1]
    with Image.open(io.BytesIO(content[0])) as image:
        assert image.width > 1000
