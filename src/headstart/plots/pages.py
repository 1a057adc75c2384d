"""Pages of many small images and texts, positioned to the pixel.

The images are composed into one array and the texts are drawn over it. This takes a fraction of
the time that hundreds of axes would take, and no image is resampled.
"""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from matplotlib.figure import Figure

from headstart.plots.canvas import finish, new_figure, wrap_title
from headstart.plots.style import DPI, GRAY, LINE
from headstart.types import Pixels

_MARGIN, _BELOW_TITLE = 15, 15  # pixels
_WHITE: Final = 255
LINE_HEIGHT: Final = round(LINE * DPI)
"""Pixels from one line of text to the next."""


@dataclass(slots=True)
class Page:
    """A page that expands to its content; all lengths are in pixels from the upper left.

    Attributes:
        width: width of the images, without margins.
        height: height of the images and texts, without margins and title.
    """

    width: int = 0
    height: int = 0
    _images: list[tuple[int, int, Pixels]] = field(default_factory=list)
    _texts: list[tuple[int, int, str, str]] = field(default_factory=list)

    def put(self, x: int, y: int, pixels: Pixels) -> None:
        """Place an image, (H, W, 3) uint8, with its upper left corner at (x, y)."""
        self._images.append((x, y, pixels))
        self.width = max(self.width, x + pixels.shape[1])
        self.height = max(self.height, y + pixels.shape[0])

    def write(self, x: int, y: int, text: str, *, gray: bool = False) -> None:
        """Place lines of text with the upper left corner at (x, y); they never widen the page.

        Names from users need `canvas.display_name` first.
        """
        self._texts.append((x, y, text, GRAY if gray else "black"))
        self.height = max(self.height, y + LINE_HEIGHT * (1 + text.count("\n")))

    def figure(self, title: str) -> Figure:
        """Return the page with margins and a title above."""
        width = self.width + 2 * _MARGIN
        lines = len(wrap_title(title, width / DPI))
        height = self.height + 2 * _MARGIN + lines * LINE_HEIGHT + _BELOW_TITLE
        top = height - self.height - _MARGIN
        paper = np.full((height, width, 3), _WHITE, np.uint8)
        for x, y, pixels in self._images:
            rows, columns = pixels.shape[:2]
            paper[top + y : top + y + rows, _MARGIN + x : _MARGIN + x + columns] = pixels
        figure = new_figure(width / DPI, height / DPI, layout="none")
        figure.figimage(paper, origin="upper")
        for x, y, text, color in self._texts:
            position = ((_MARGIN + x) / width, 1 - (top + y) / height)
            figure.text(*position, text, color=color, va="top")
        return finish(figure, title)
