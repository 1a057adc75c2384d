"""The canvas of all figures: size, title, fonts for any characters, and the file format.

Figures are made without pyplot or changed settings, so several threads can draw at the same time.
Blue means correct and orange means wrong; both are from the palette of Okabe and Ito, which
color-blind readers can distinguish.

Class names are data and may contain anything: long ones are shortened in the middle, and a
character that no installed font has is shown as its code, such as [732B].
"""

import io
import textwrap
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy.typing as npt
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from headstart.errors import DataError
from headstart.system.files import atomic_write
from headstart.system.marks import SOFTWARE
from headstart.system.text import shortened
from headstart.types import Interval

DPI = 150
_SHOWN_DPI = 80  # in a notebook: half of what a display with small pixels has
BLUE, ORANGE, GRAY, SILVER, PALE = "#0072B2", "#D55E00", "#666666", "#BBBBBB", "#EEEEEE"

_FONT = "DejaVu Sans"  # part of matplotlib, so always available
# Sans-serif families for many scripts on common systems; "Noto Sans ..." families are added.
_FALLBACKS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "WenQuanYi Zen Hei", "PingFang SC", "Hiragino Sans",
    "Microsoft YaHei", "Yu Gothic", "Malgun Gothic", "Apple SD Gothic Neo", "Nirmala UI",
    "Leelawadee UI", "Arial Unicode MS", "Unifont",
)  # fmt: skip


class ResultFigure(Figure):
    """A figure that a notebook displays, whether pyplot is in use or not.

    It belongs to no pyplot state, so it is shown once, where a cell returns it.
    """

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        width, height = (round(inches * _SHOWN_DPI) for inches in self.get_size_inches())
        return _png(self), {"width": width, "height": height}


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG without time or version, so equal figures give equal bytes.

    Raises:
        DataError: the file name does not end in .png.
        HeadstartError: the file cannot be written.
    """
    if path.suffix.lower() != ".png":
        raise DataError(f"{path.name} does not end in .png: figures are written as PNG only")
    atomic_write(path, _png(figure))


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer, metadata=SOFTWARE)  # type: ignore[no-untyped-call]
    return buffer.getvalue()


def new_figure(width: float, height: float, *, layout: str = "constrained") -> ResultFigure:
    """Return a white figure of the given size in inches."""
    return ResultFigure((width, height), dpi=DPI, facecolor="white", layout=layout)  # type: ignore[arg-type]


def wrap_title(title: str, width: float) -> list[str]:
    """Return the lines of a title on a figure `width` inches wide."""
    return textwrap.wrap(
        shortened(title, 500), int(width * 72 / (0.56 * 11)), break_on_hyphens=False
    )


def finish(figure: Figure, title: str) -> Figure:
    """Set the title and the fonts that the characters need, and fix the layout."""
    lines = wrap_title(title, figure.get_figwidth())
    figure.suptitle("\n".join(lines), x=0.012, ha="left", fontsize=11, color="black")
    texts = [text for text in figure.findobj(Text) if isinstance(text, Text)]
    families, _ = _fallbacks(_missing("".join(text.get_text() for text in texts)))
    for text in texts:
        text.set_fontfamily([_FONT, *families])
    if engine := figure.get_layout_engine():
        engine.execute(figure)
        figure.set_layout_engine("none")  # otherwise each drawing moves everything by a pixel
    return figure


def style_axes(*several: Axes) -> None:
    """Remove the upper and right edges of the plots, and make the others and the ticks pale."""
    for axes in several:
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(SILVER)
        axes.tick_params(color=SILVER, labelcolor="#333333", labelsize=9)


def plot_intervals(
    axes: Axes, x: npt.ArrayLike, y: npt.ArrayLike, at: Sequence[Interval], color: str, face: str
) -> None:
    """Draw points with vertical lines as long as their intervals, not clipped by the frame."""
    lows, highs = [i.low for i in at], [i.high for i in at]
    axes.vlines(x, lows, highs, color=color, linewidth=1.5, clip_on=False)
    axes.plot(x, y, "o", color=color, markersize=7, markerfacecolor=face, clip_on=False)


def display_name(name: str, *, limit: int = 24) -> str:
    """Return a name as matplotlib can draw it, at most `limit` columns wide."""
    if len(name) > 20 * limit:  # each character is measured
        name = name[: 10 * limit] + name[-10 * limit :]
    # Some systems write é as two characters in file names, but fonts have it as one.
    text = "".join(c for c in unicodedata.normalize("NFC", name) if unicodedata.category(c) != "Cf")
    text = "".join(c if c.isprintable() else " " if c.isspace() else "\ufffd" for c in text)
    _, missing = _fallbacks(_missing(text))
    marks = [f"[{ord(c):X}]" if c in missing else c for c in text]
    head, tail = marks[: len(marks) // 2], marks[len(marks) // 2 :]
    if text_width("".join(marks)) > limit:
        while text_width("".join(head + tail)) >= limit and head and tail:
            _ = head.pop() if len(head) >= len(tail) else tail.pop(0)
        head.append("…")
    return "".join(head + tail).replace("$", r"\$")  # two dollar signs would start a formula


def text_width(text: str) -> int:
    """Return the width of a text in columns; Chinese, Japanese and Korean characters take two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _missing(text: str) -> frozenset[str]:
    """Return the characters that the main font lacks."""
    return frozenset(text) - _characters(_FONT) - {"\n"}


@lru_cache(maxsize=256)
def _fallbacks(missing: frozenset[str]) -> tuple[tuple[str, ...], frozenset[str]]:
    """Return installed families that have some of the characters, and the uncovered characters."""
    installed = {entry.name for entry in font_manager.fontManager.ttflist if missing}
    noto = sorted(name for name in installed if name.startswith("Noto Sans"))
    found = []
    for family in (*(name for name in _FALLBACKS if name in installed), *noto):
        if missing & _characters(family):
            found.append(family)
            missing -= _characters(family)
    return tuple(found), missing


@lru_cache(maxsize=64)
def _characters(family: str) -> frozenset[str]:
    path = font_manager.findfont(font_manager.FontProperties(family=[family]))
    return frozenset(map(chr, font_manager.get_font(path).get_charmap()))
