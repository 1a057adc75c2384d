"""Sheets of pictures with a caption under each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from headstart.errors import DataError
from headstart.plots.canvas import DPI, GRAY, finish, label, new_figure
from headstart.types import Pixels

_TALLEST = 3.0  # of a picture, in widths; the strip of a panorama would make a page of metres
_GAP, _HEAD, _LINE, _MARGIN = 0.14, 0.55, 0.17, 0.14  # inches
_TYPE = 8.0  # points
_COLUMN = 0.068  # inches that a character of this type takes


@dataclass(frozen=True, slots=True)
class Panel:
    """A picture of a sheet.

    Attributes:
        pixels: (H, W, 3) uint8.
        caption: the first line under it, black.
        note: the second, gray.
    """

    pixels: Pixels
    caption: str = ""
    note: str = ""


def sheet(rows: Sequence[Sequence[Panel]], *, title: str, width: float = 1.9) -> Figure:
    """Rows of pictures, each `width` inches wide; pixels are enlarged, never smoothed.

    A picture of more than three times its width in height is drawn narrower.

    Args:
        rows: each of at least one panel; a row is as high as its highest picture.
        title: states the finding.
        width: of every picture, in inches.

    Raises:
        DataError: there is no picture.
    """
    if not rows or not all(rows):
        raise DataError(f"a sheet of {[len(row) for row in rows]} pictures: give some in each row")
    heights = [max(_size(panel, width)[1] for panel in row) for row in rows]
    lines = [max(bool(p.caption) + bool(p.note) for p in row) * _LINE for row in rows]
    columns = max(map(len, rows))
    page_width = max(4.0, columns * (width + _GAP) - _GAP + 2 * _MARGIN)
    page_height = _HEAD + sum(heights) + sum(lines) + len(rows) * _GAP
    figure = new_figure(page_width, page_height, layout="none")
    room = int(width / _COLUMN)
    top = page_height - _HEAD
    for row, height, text in zip(rows, heights, lines, strict=True):
        for column, panel in enumerate(row):
            left = _MARGIN + column * (width + _GAP)
            across, down = _size(panel, width)
            place = (left, top - down, across, down)
            axes = figure.add_axes(
                (
                    place[0] / page_width,
                    place[1] / page_height,
                    place[2] / page_width,
                    place[3] / page_height,
                )
            )
            axes.set_axis_off()
            enlarged = panel.pixels.shape[1] <= width * DPI
            axes.imshow(
                panel.pixels,
                interpolation="nearest" if enlarged else "antialiased",
                aspect="auto",
            )
            below = top - height - 0.04
            for line, color in ((panel.caption, "black"), (panel.note, GRAY)):
                if line:
                    figure.text(
                        left / page_width,
                        below / page_height,
                        label(line, limit=room),
                        fontsize=_TYPE,
                        color=color,
                        va="top",
                    )
                    below -= _LINE
        top -= height + text + _GAP
    return finish(figure, title)


def _size(panel: Panel, width: float) -> tuple[float, float]:
    """Width and height in inches."""
    ratio = panel.pixels.shape[0] / panel.pixels.shape[1]
    return width * min(1.0, _TALLEST / ratio), width * min(ratio, _TALLEST)
