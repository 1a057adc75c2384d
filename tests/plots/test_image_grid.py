from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from headstart import plots
from headstart.errors import DataError
from headstart.plots import Panel
from tests.plots.test_pages import drawn
from tests.plots.test_results import ODD
from tests.properties import examples

LONG = ("Staffordshire bullterrier ", "domestic_cat", "Übermäßig", "猫")


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 250, (height, width, 3), dtype=np.uint8)


def colors(image: np.ndarray) -> set[int]:
    return set(np.unique(image.astype(int) @ (1 << 16, 1 << 8, 1)).tolist())


def texts(figure: Figure) -> list[Text]:
    return [text for text in figure.findobj(Text) if text.get_text()]


def placed(figure: Figure) -> list[tuple[float, float, float, float]]:
    """Left, top, width and height of each picture in pixels, in the order of the panels."""
    width, height = figure.bbox.width, figure.bbox.height
    boxes = [axes.get_position() for axes in figure.axes]
    return [
        (box.x0 * width, (1 - box.y1) * height, box.width * width, box.height * height)
        for box in boxes
    ]


@examples(12)
@given(height=st.integers(1, 30), width=st.integers(2, 57), seed=st.integers(0, 9))
def test_pixels_are_enlarged_and_never_mixed(height: int, width: int, seed: int):
    pixels = noise(height, width, seed)
    figure = plots.image_grid([[Panel(pixels)]], title="")
    image = drawn(figure)
    ((left, top, across, down),) = placed(figure)
    assert colors(image) <= colors(pixels) | {0xFFFFFF}
    y = (top + (np.arange(height) + 0.5) * down / height).astype(int)
    x = (left + (np.arange(width) + 0.5) * across / width).astype(int)
    assert np.array_equal(image[np.ix_(y, x)], pixels)  # the middles of the enlarged pixels


def test_large_pictures_are_averaged_not_sampled():
    stripes = np.zeros((1140, 1140, 3), np.uint8)
    stripes[:, ::2] = 200  # every other column: samples would be 0 or 200
    figure = plots.image_grid([[Panel(stripes)]], title="")
    ((left, top, across, down),) = placed(figure)
    middle = drawn(figure)[int(top + down / 2), int(left) + 20 : int(left + across) - 20, 0]
    assert np.abs(middle.astype(int) - 100).max() < 30


def test_rows_and_columns_are_where_they_were_given():
    rows = [[Panel(noise(10, 10)), Panel(noise(20, 10))], [Panel(noise(10, 20))]]
    first, second, third = placed(plots.image_grid(rows, title="a finding"))
    assert [round(box[2]) for box in (first, second, third)] == [277, 277, 277]
    assert [round(box[3]) for box in (first, second, third)] == [277, 554, 138]
    assert first[0] == third[0]
    assert second[0] > first[0] + first[2]
    assert first[1] == pytest.approx(second[1])
    assert third[1] > second[1] + second[3]


@pytest.mark.parametrize("width", [0.9, 1.9, 3.0])
def test_captions_take_three_lines_and_are_cut_to_their_room(width: float):
    panels = [Panel(noise(9, 9), caption=name * 20, note="0.98 of it " * 20) for name in LONG]
    figure = plots.image_grid([panels], title="", width=width)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    found = texts(figure)
    assert len(found) == 3 * 8
    assert sum("…" in text.get_text() for text in found) == 8
    boxes = [text.get_window_extent(canvas.get_renderer()) for text in found]
    for box in boxes:
        own = [left for left, *_ in placed(figure) if abs(left - box.x0) < 3]
        assert len(own) == 1
        assert box.x1 < own[0] + (width + 0.14) * 150  # where the next one begins


def test_a_caption_is_black_its_note_gray_and_both_below_the_picture():
    figure = plots.image_grid([[Panel(noise(9, 9), caption="cat", note="0.98")]], title="")
    caption, note = texts(figure)
    assert (caption.get_text(), caption.get_color()) == ("cat", "black")
    assert (note.get_text(), note.get_color()) == ("0.98", "#666666")
    bottom = figure.axes[0].get_position().y0
    assert bottom > caption.get_position()[1] > note.get_position()[1] > 0


@pytest.mark.parametrize("rows", [[], [[]], [[Panel(noise(9, 9))], []]])
def test_a_sheet_without_pictures_is_refused(rows: list[list[Panel]]):
    with pytest.raises(DataError, match="give at least one per row"):
        plots.image_grid(rows, title="nothing")


def test_captions_may_hold_anything_and_the_bytes_are_the_same(tmp_path: Path):
    content = []
    for _ in range(2):
        rows = [[Panel(noise(9, 9), caption=name, note=name)] for name in ODD]
        plots.save(plots.image_grid(rows, title="odd names"), tmp_path / "sheet.png")
        content.append((tmp_path / "sheet.png").read_bytes())
    assert content[0] == content[1]


def test_a_very_tall_picture_does_not_make_a_very_tall_page():
    strip = np.zeros((4000, 10, 3), np.uint8)
    figure = plots.image_grid([[plots.Panel(strip, "strip")]], title="strip", width=2.0)
    assert figure.get_figheight() < 8
    assert figure.axes[0].get_position().height * figure.get_figheight() == pytest.approx(6)
