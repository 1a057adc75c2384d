import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from headstart.plots.pages import Page
from tests.properties import examples

pytestmark = pytest.mark.slow


def drawn(figure: Figure) -> np.ndarray:
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return np.asarray(Image.open(buffer).convert("RGB"))


def found_at(page: np.ndarray, pixels: np.ndarray) -> list[tuple[int, int]]:
    """Where (x, y) a picture lies on a page, to the last bit."""
    height, width = pixels.shape[:2]
    corners = np.argwhere((page == pixels[0, 0]).all(2))
    return [
        (int(x), int(y))
        for y, x in corners
        if np.array_equal(page[y : y + height, x : x + width], pixels)
    ]


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 250, (height, width, 3), dtype=np.uint8)


@examples(15)
@given(
    places=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 300)), min_size=1, max_size=3),
    title=st.sampled_from(["", "a title", "a title that takes several lines " * 8]),
)
def test_pictures_lie_where_they_were_put_to_the_last_bit(places, title):
    pixels, page = noise(30, 40), Page()
    for number, (x, y) in enumerate(places):
        page.put(x, y + 400 * number, pixels)
    image = drawn(page.figure(title))
    found = sorted(found_at(image, pixels), key=lambda place: place[1])
    assert len(found) == len(places)
    for number, ((x, y), (at_x, at_y)) in enumerate(zip(places, found, strict=True)):
        assert at_x == 15 + x
        assert at_y - y - 400 * number == found[0][1] - places[0][1]


def test_words_stand_clear_of_the_title_and_inside_the_page():
    for height in (10, 3000):
        page = Page()
        page.put(0, 0, noise(height, 500))
        page.write(20, height + 5, "a caption")
        figure = page.figure("the finding is said in a sentence of more than one line " * 2)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        boxes = {
            text.get_text().replace("\n", " "): text.get_window_extent(canvas.get_renderer())
            for text in figure.findobj(Text)
        }
        title, caption = (
            next(box for words, box in boxes.items() if words.startswith(start))
            for start in ("the finding", "a caption")
        )
        ((x, y),) = found_at(drawn(figure), noise(height, 500))
        top = figure.bbox.height - y
        assert figure.bbox.height > title.y1 > title.y0 > top
        assert caption.x0 == x + 20
        assert top - height > caption.y1
        assert caption.y0 > 0
