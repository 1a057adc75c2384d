"""Grids of images with captions."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from headstart.errors import DataError, UnreadableImageError
from headstart.images.decode import decode
from headstart.images.limits import shown_size
from headstart.plots.canvas import finish, new_figure, wrap_title, wrapped_name
from headstart.plots.style import CHARACTER, DPI, GRAY, LINE
from headstart.types import Pixels

_GAP, _MARGIN = 0.14, 0.1  # inches
_THUMBNAIL = 320  # pixels, more than a panel of the grid can show


@dataclass(frozen=True, slots=True)
class Panel:
    """An image of a grid with its captions.

    Attributes:
        pixels: (H, W, 3) uint8; None for a file that cannot be read.
        caption: first line below the image, in black.
        note: the next one, in gray.
        file: the name of its file, in gray.

    Long ones continue on further lines.
    """

    pixels: Pixels | None
    caption: str = ""
    note: str = ""
    file: str = ""

    def lines(self, columns: int) -> list[tuple[str, str]]:
        """Return the lines of text below an image that is this wide, each with its color."""
        return [
            (line, color)
            for text, color in ((self.caption, "black"), (self.note, GRAY), (self.file, GRAY))
            for line in (wrapped_name(text, width=columns).split("\n") if text else ())
        ]


def small_copy(path: Path) -> Pixels | None:
    """Return an image file's pixels for a panel; None if it cannot be read."""
    try:
        image = decode(path, min_size=shown_size)
    except UnreadableImageError:
        return None
    image.thumbnail((_THUMBNAIL, _THUMBNAIL))
    return np.asarray(image)


def image_grid(
    rows: Sequence[Sequence[Panel]], *, title: str, width: float = 1.845, tallest: float = 3.0
) -> Figure:
    """Draw rows of images with captions below, enlarging small images without smoothing.

    Args:
        rows: at least one panel each; a row is as high as its tallest image.
        title: the result that the images show.
        width: width of the images in inches; by default, four fill the page.
        tallest: largest ratio of height to width; taller images are drawn narrower, because a
            vertical panorama would be meters high.

    Raises:
        DataError: there are no images.
    """
    if not rows or not all(rows):
        raise DataError(f"rows of {[len(row) for row in rows]} images; give at least one per row")
    heights = [max(_size(panel, width, tallest)[1] for panel in row) for row in rows]
    limit = int(width / CHARACTER)
    lines = [max(len(panel.lines(limit)) for panel in row) * LINE for row in rows]
    columns = max(map(len, rows))
    page_width = max(4.0, columns * (width + _GAP) - _GAP + 2 * _MARGIN)
    head = _MARGIN + _GAP + len(wrap_title(title, page_width)) * LINE
    page_height = head + sum(heights) + sum(lines) + len(rows) * _GAP
    figure = new_figure(page_width, page_height, layout="none")
    top = page_height - head
    for row, height, text in zip(rows, heights, lines, strict=True):
        for column, panel in enumerate(row):
            left = _MARGIN + column * (width + _GAP)
            across, down = _size(panel, width, tallest)
            _draw(figure, panel.pixels, left, top - down, across, down)
            below = top - down - 0.04
            for line, color in panel.lines(limit):
                figure.text(left / page_width, below / page_height, line, color=color, va="top")
                below -= LINE
        top -= height + text + _GAP
    return finish(figure, title)


def _draw(
    figure: Figure, pixels: Pixels | None, left: float, bottom: float, width: float, height: float
) -> None:
    page_width, page_height = figure.get_size_inches()
    axes = figure.add_axes(
        (left / page_width, bottom / page_height, width / page_width, height / page_height)
    )
    axes.set_axis_off()
    if pixels is None:
        axes.text(0.5, 0.5, "cannot be read", ha="center", color=GRAY)
        return
    enlarged = pixels.shape[1] <= width * DPI
    axes.imshow(pixels, interpolation="nearest" if enlarged else "antialiased", aspect="auto")


def _size(panel: Panel, width: float, tallest: float) -> tuple[float, float]:
    ratio = 1.0 if panel.pixels is None else panel.pixels.shape[0] / panel.pixels.shape[1]
    return width * min(1.0, tallest / ratio), width * min(ratio, tallest)
