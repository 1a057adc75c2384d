"""Pages of many small pictures and words, placed to the pixel.

The pictures are composed to one array and the words are set on it: hundreds of pictures in a
fraction of the time that as many axes would take, and none of them is resampled.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from matplotlib.figure import Figure

from headstart.plots.canvas import DPI, GRAY, finish, new_figure
from headstart.types import Pixels

TYPE, SMALL_TYPE = 8.0, 6.5  # points
_MARGIN, _TITLE_LINE, _BELOW_TITLE = 24, 28, 20  # pixels
_PAPER: Final = 255


@dataclass(slots=True)
class Page:
    """A page that grows with what is put on it; all lengths are in pixels, from the upper left.

    Attributes:
        width: of what is on it, without margins and title.
        height: likewise.
    """

    width: int = 0
    height: int = 0
    _pictures: list[tuple[int, int, Pixels]] = field(default_factory=list)
    _words: list[tuple[int, int, str, float, str]] = field(default_factory=list)

    def put(self, x: int, y: int, pixels: Pixels) -> None:
        """Place a picture, (H, W, 3) uint8, with its upper left corner at (x, y)."""
        self._pictures.append((x, y, pixels))
        self.width = max(self.width, x + pixels.shape[1])
        self.height = max(self.height, y + pixels.shape[0])

    def write(self, x: int, y: int, text: str, *, size: float = TYPE, gray: bool = False) -> None:
        """Place a line of words with its upper left corner at (x, y); they widen no page.

        Args:
            x: from the left.
            y: from the top.
            text: names of others must have passed `canvas.label`.
            size: in points.
            gray: for what matters less.
        """
        self._words.append((x, y, text, size, GRAY if gray else "black"))
        self.height = max(self.height, y + round(size * DPI / 72))

    def figure(self, title: str) -> Figure:
        """All of it, with margins, under a title that states the finding."""
        width = self.width + 2 * _MARGIN
        lines = len(textwrap.wrap(title, int(width / DPI * 72 / (0.56 * 11))))  # as `finish` does
        # matplotlib sets a title 2% of the height below the edge.
        height = round((self.height + _MARGIN + lines * _TITLE_LINE + _BELOW_TITLE) / 0.98)
        top = height - self.height - _MARGIN
        paper = np.full((height, width, 3), _PAPER, np.uint8)
        for x, y, pixels in self._pictures:
            rows, columns = pixels.shape[:2]
            paper[top + y : top + y + rows, _MARGIN + x : _MARGIN + x + columns] = pixels
        figure = new_figure(width / DPI, height / DPI, layout="none")
        figure.figimage(paper, origin="upper")
        for x, y, text, size, color in self._words:
            place = ((_MARGIN + x) / width, 1 - (top + y) / height)
            figure.text(*place, text, fontsize=size, color=color, va="top")
        return finish(figure, title)
