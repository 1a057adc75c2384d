from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from headstart import plots
from headstart.errors import DataError
from headstart.inspection.feature_maps import Channel, Filters, StageMaps
from tests.plots.test_pages import drawn, found_at
from tests.plots.test_results import ODD

pytestmark = pytest.mark.slow  # draws dozens of figures

NAMES = {"network": "a network", "image": "cat.jpg"}
PICTURE = np.random.default_rng(1).integers(0, 250, (20, 20, 3), dtype=np.uint8)


def stage(values: np.ndarray, *, name: str = "layer1", number: int = 1) -> StageMaps:
    maps = values.astype(np.float32)
    ranked = tuple(
        Channel(10 * i, 1.0 / (i + 1), float(own.min()), float(own.max()))
        for i, own in enumerate(maps)
    )
    return StageMaps(
        name=name,
        number=number,
        channels=1280,
        height=maps.shape[1],
        width=maps.shape[2],
        ranked=ranked,
        maps=maps,
    )


def positive(count: int = 3, side: int = 7) -> np.ndarray:
    return np.random.default_rng(0).random((count, side, side)) * 5.9


def texts(figure: Figure) -> list[str]:
    return [text.get_text().replace("\n", " ") for text in figure.findobj(Text)]


def colored(values: np.ndarray, name: str, low: float, high: float) -> np.ndarray:
    share = (values - low) / (high - low)
    return np.rint(matplotlib.colormaps[name](share)[..., :3] * 255).astype(np.uint8)


def enlarged(pixels: np.ndarray, factor: int) -> np.ndarray:
    return np.kron(pixels, np.ones((factor, factor, 1), np.uint8))


@pytest.mark.parametrize("side", [7, 13, 14, 56, 112, 300])
def test_maps_are_enlarged_by_a_whole_factor_and_never_smoothed(side: int):
    maps = positive(2, side)
    image = drawn(plots.strongest_channels(stage(maps), PICTURE, **NAMES))
    for own in maps.astype(np.float32):
        expected = enlarged(
            colored(own.astype(np.float64), "viridis", own.min(), own.max()),
            max(1, round(210 / side)),
        )
        assert len(found_at(image, expected)) == 1
    assert len(found_at(image, enlarged(PICTURE, 224 // 20))) == 1


def test_signed_maps_have_colors_symmetric_around_zero():
    maps = np.array([[[-2.0, 0, 1], [2, 4, -1], [0, 0, 3]]], np.float32)
    image = drawn(plots.strongest_channels(stage(maps), PICTURE, **NAMES))
    expected = colored(maps[0].astype(np.float64), "RdBu_r", -4, 4)
    assert (expected[0, 1] > 240).all()  # zero is white
    assert len(found_at(image, enlarged(expected, 70))) == 1


def test_a_stage_with_no_more_channels_is_shown_whole():
    whole = replace(stage(positive(3)), channels=3)
    shown = texts(plots.strongest_channels(whole, PICTURE, **NAMES))
    assert "layer1 of a network: all 3 channels of 7 × 7" in shown


@pytest.mark.parametrize(("least", "colors"), [(-0.17, "viridis"), (-1.5, "RdBu_r")])
def test_the_small_dip_of_gelu_makes_no_stage_signed(least: float, colors: str):
    maps = np.array([[[least, 0, 1], [2, 4, 5.5], [0, 0, 3]]], np.float32)
    image = drawn(plots.strongest_channels(stage(maps), PICTURE, **NAMES))
    low, high = (-5.5, 5.5) if colors == "RdBu_r" else (maps.min(), 5.5)
    expected = colored(maps[0].astype(np.float64), colors, low, high)
    assert len(found_at(image, enlarged(expected, 70))) == 1


def test_every_channel_is_ranked_numbered_and_has_its_range():
    maps = positive(3)
    maps[0, 0, :2] = 0, 5.94
    maps[1] = 0.03
    maps[1, 0, :2] = 0.004, 0.0589
    maps[2] = -27.4
    maps[2, 0, 0] = 31.2
    shown = texts(plots.strongest_channels(stage(maps), PICTURE, **NAMES))
    for caption in ("#0", "#10", "#20"):
        assert caption in shown
    for values in ("0.0 to 5.9", "0.004 to 0.059", "−27 to 31"):
        assert values in shown
    assert "layer1 of a network: the 3 strongest of 1,280 channels of 7 × 7" in shown
    assert "cat.jpg" in shown
    assert "20 × 20 pixels, as the network sees it" in " ".join(shown).replace("\n", " ")


@pytest.mark.parametrize(
    ("value", "said"), [(0, "0.0"), (3, "3.0"), (2.6e-7, "2.6e−07"), (-4.5e12, "−4.5e+12")]
)
def test_a_flat_map_is_drawn_and_its_value_said(value: float, said: str):
    maps = np.full((1, 7, 7), value, np.float32)
    assert said in texts(plots.strongest_channels(stage(maps), PICTURE, **NAMES))


def bars(figure: Figure, count: int) -> np.ndarray:
    """(count, 150): the colors down the middle of each bar, from the top of its room."""
    image = drawn(figure)
    (x, y), *_ = found_at(image, np.full((1, 37, 3), 238, np.uint8))
    # 150 pixels for each, 16 between them; the first row of the first is gray beside its bar.
    return np.stack([image[y : y + 150, x + 75 + 166 * place] for place in range(count)])


def test_fully_connected_stages_are_bars_in_proportion():
    values = np.array([8.0, 4, 2])[:, None, None]
    figure = plots.strongest_channels(stage(values), PICTURE, **NAMES)
    assert {"8.0", "4.0", "2.0"} <= set(texts(figure))
    for bar, height in zip(bars(figure, 3), (150, 75, 38), strict=True):
        filled = np.flatnonzero((bar != 238).any(1))
        assert filled.tolist() == list(range(150 - height, 150))


def test_bars_below_zero_hang_from_the_middle():
    values = np.array([-8.0, 4])[:, None, None]
    negative, positive_ = bars(plots.strongest_channels(stage(values), PICTURE, **NAMES), 2).astype(
        int
    )
    assert (negative[:75] == 238).all()
    assert (negative[75:, 2] > negative[75:, 0]).all()  # blue
    filled = np.flatnonzero((positive_ != 238).any(1))
    assert filled.tolist() == list(range(75 - 38, 75))
    assert (positive_[filled, 0] > positive_[filled, 2]).all()  # red


def test_the_overview_has_a_row_a_stage_with_its_size():
    shallow, deep = positive(12, 224), positive(5, 7) - 3
    found = [stage(shallow, name="conv"), stage(deep, name="head", number=9)]
    found.append(stage(np.ones((4, 1, 1)), name="fc", number=10))
    figure = plots.channels_by_stage(found, PICTURE, **NAMES)
    shown = texts(figure)
    assert "Strongest channels by stage of a network for cat.jpg" in shown
    assert "1.  conv:  1,280 channels of 224 × 224" in shown
    assert "9.  head:  1,280 channels of 7 × 7" in shown
    assert "10.  fc:  1,280 channels" in shown
    assert sum(text.startswith("#") for text in shown) == 7 + 5 + 4
    said = [" ".join(text.split()) for text in shown]
    assert any(text.startswith("In 1: yellow is the most") for text in said)
    assert any(text.startswith("In 9: red is above zero") for text in said)  # bars have no colors
    image = drawn(figure)
    own = deep[0].astype(np.float32).astype(np.float64)
    most = np.abs(own).max()
    ((x, low),) = found_at(image, enlarged(colored(own, "RdBu_r", -most, most), 16))
    own = shallow[0].astype(np.float32).astype(np.float64)
    fine = colored(own, "viridis", own.min(), own.max()).astype(float)
    halved = fine.reshape(112, 2, 112, 2, 3).mean((1, 3))  # averages of blocks
    rows = [y for y in range(low) if np.abs(image[y : y + 112, x : x + 112] - halved).max() <= 1]
    assert len(rows) == 1


def test_one_stage_alone_is_no_way_from_edges_to_parts():
    figure = plots.channels_by_stage([stage(positive())], PICTURE, **NAMES)
    assert "Stage layer1 of a network for cat.jpg" in texts(figure)


@pytest.mark.parametrize(("count", "height", "width"), [(5, 3, 3), (70, 11, 11), (3, 1, 7)])
def test_filters_are_symmetric_around_gray_each_with_its_range(count, height, width):
    values = np.random.default_rng(0).normal(size=(count, 3, height, width)).astype(np.float32)
    values[0] *= 0.83 / np.abs(values[0]).max()
    figure = plots.filters(Filters("conv1", values), network="a network")
    image = drawn(figure)
    factor = round((130 if count <= 64 else 80) / max(height, width))
    for own in values:
        shares = 0.5 + own.astype(np.float64) / (2 * float(np.abs(own).max()))
        pixels = np.rint(shares.transpose(1, 2, 0) * 255).astype(np.uint8)
        places = found_at(image, enlarged(pixels, factor))
        assert len(places) == 1
    shown = texts(figure)
    assert "#0" in shown
    assert ("±0.83" in shown) == (count <= 64)
    size = f"{count} filters of {height} × {width} pixels (conv1)"
    assert any(size in text for text in shown)


@pytest.mark.parametrize("scales", [[0.0], [1.0, 1e-8], [1.0, 1e-4]])
def test_filters_that_are_zero_up_to_rounding_are_gray(scales: list[float]):
    values = np.random.default_rng(0).normal(size=(len(scales), 3, 3, 3)).astype(np.float32)
    values *= np.array(scales, np.float32)[:, None, None, None]
    image = drawn(plots.filters(Filters("conv1", values), network="n"))
    gray = found_at(image, np.full((129, 129, 3), 128, np.uint8))
    assert len(gray) == (scales[-1] < 1e-6)


@pytest.mark.parametrize("name", ODD)
def test_names_may_hold_anything(name: str, tmp_path: Path):
    one = stage(positive(1), name=name)
    for figure in (
        plots.strongest_channels(one, PICTURE, network=name, image=name),
        plots.channels_by_stage([one], PICTURE, network=name, image=name),
    ):
        plots.save(figure, tmp_path / "page.png")


def test_the_same_maps_give_the_same_bytes(tmp_path: Path):
    content = []
    for _ in range(2):
        plots.save(
            plots.strongest_channels(stage(positive()), PICTURE, **NAMES), tmp_path / "a.png"
        )
        content.append((tmp_path / "a.png").read_bytes())
    assert content[0] == content[1]


def test_nothing_to_draw_is_a_mistake():
    empty = stage(positive(0))
    for draw in (
        lambda: plots.strongest_channels(empty, PICTURE, **NAMES),
        lambda: plots.channels_by_stage([stage(positive()), empty], PICTURE, **NAMES),
        lambda: plots.channels_by_stage([], PICTURE, **NAMES),
    ):
        with pytest.raises(DataError, match="give at least one per stage"):
            draw()
    with pytest.raises(DataError, match="no filters"):
        plots.filters(Filters("conv1", np.zeros((0, 3, 3, 3), np.float32)), network="n")
