"""What every figure shares: size, title, fonts for whatever a name holds, and the file.

Each figure is a `Figure` of its own and leaves no trace elsewhere: no pyplot, no settings changed,
so that threads may draw at the same time. Blue is right and orange is wrong, both from Okabe and
Ito's palette that color-blind readers can tell apart.

Class names are data and may hold anything: long ones lose their middle, and a character that no
installed font can draw is shown as its code, [732B], instead of one same box for all.
"""

from __future__ import annotations

import io
import textwrap
import unicodedata
from collections.abc import Sequence, Sized
from functools import lru_cache
from pathlib import Path

import numpy.typing as npt
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from headstart.errors import DataError
from headstart.system.files import write_file
from headstart.types import Interval

DPI = 150
BLUE, ORANGE, GRAY, SILVER, PALE = "#0072B2", "#D55E00", "#666666", "#BBBBBB", "#EEEEEE"

_FONT = "DejaVu Sans"  # comes with matplotlib, so it is always there
# Sans-serif families with many scripts, as systems ship them; "Noto Sans ..." are added to these.
_FALLBACKS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "WenQuanYi Zen Hei", "PingFang SC", "Hiragino Sans",
    "Microsoft YaHei", "Yu Gothic", "Malgun Gothic", "Apple SD Gothic Neo", "Nirmala UI",
    "Leelawadee UI", "Arial Unicode MS", "Unifont",
)  # fmt: skip


def save(figure: Figure, path: Path) -> None:
    """Writes a figure as PNG, the same bytes for the same picture: no time, no version inside."""
    if path.suffix.lower() != ".png":
        raise DataError(f"{path.name} does not end in .png: figures are written as PNG only")
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})  # type: ignore[no-untyped-call]
    write_file(path, buffer.getvalue())


def new_figure(width: float, height: float, *, layout: str = "constrained") -> Figure:
    """A white figure of so many inches."""
    return Figure((width, height), dpi=DPI, facecolor="white", layout=layout)  # type: ignore[arg-type]


def finish(figure: Figure, finding: str) -> Figure:
    """Sets the title, the fonts that the characters need, and all in place, once."""
    title = "\n".join(textwrap.wrap(finding, int(figure.get_figwidth() * 72 / (0.56 * 11))))
    figure.suptitle(title, x=0.012, ha="left", fontsize=11, color="black")
    texts = [text for text in figure.findobj(Text) if isinstance(text, Text)]
    families, _ = _fallbacks(_beyond("".join(text.get_text() for text in texts)))
    for text in texts:
        text.set_fontfamily([_FONT, *families])
    if engine := figure.get_layout_engine():
        engine.execute(figure)
        figure.set_layout_engine("none")  # or every drawing would move things by a pixel
    return figure


def same_length(**columns: Sized) -> None:
    """Refuse columns of different lengths."""
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(f"these have different lengths, give as many of each: {lengths}")


def quiet(*several: Axes) -> None:
    """Keep the frame of a plot in the background."""
    for axes in several:
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(SILVER)
        axes.tick_params(color=SILVER, labelcolor="#333333", labelsize=9)


def points(
    axes: Axes, x: npt.ArrayLike, y: npt.ArrayLike, at: Sequence[Interval], color: str, face: str
) -> None:
    """Points with a line through each, as long as its interval; whole even at the frame."""
    lows, highs = [i.low for i in at], [i.high for i in at]
    axes.vlines(x, lows, highs, color=color, linewidth=1.5, clip_on=False)
    axes.plot(x, y, "o", color=color, markersize=7, markerfacecolor=face, clip_on=False)


def label(name: str, *, limit: int = 24) -> str:
    """A class name as matplotlib can draw it, without its middle if it is wider than `limit`."""
    # Some systems spell é as two characters in file names; fonts know the one.
    text = "".join(c for c in unicodedata.normalize("NFC", name) if unicodedata.category(c) != "Cf")
    text = "".join(c if c.isprintable() else " " if c.isspace() else "\ufffd" for c in text)
    _, lost = _fallbacks(_beyond(text))
    marks = [f"[{ord(c):X}]" if c in lost else c for c in text]
    head, tail = marks[: len(marks) // 2], marks[len(marks) // 2 :]
    if text_width("".join(marks)) > limit:
        while text_width("".join(head + tail)) >= limit and head and tail:
            _ = head.pop() if len(head) >= len(tail) else tail.pop(0)
        head.append("…")
    return "".join(head + tail).replace("$", r"\$")  # two dollars would begin a formula


def text_width(text: str) -> int:
    """Columns that a text takes; Chinese, Japanese and Korean characters take two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _beyond(text: str) -> frozenset[str]:
    """Characters that the main font lacks."""
    return frozenset(text) - _characters(_FONT) - {"\n"}


@lru_cache(maxsize=256)
def _fallbacks(missing: frozenset[str]) -> tuple[tuple[str, ...], frozenset[str]]:
    """Installed families that have most of these characters, and the ones that none has."""
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
