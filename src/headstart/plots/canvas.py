"""The canvas of all figures: size, title, fonts for any characters, and the file format.

Figures are made without pyplot or changed settings, so several threads can draw at the same time.

Class names are data and may contain anything: long ones continue on the next line, and a character
that no installed font has is shown as its code, such as [732B].
"""

import io
import textwrap
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from headstart.errors import DataError
from headstart.plots.style import CHARACTER, DPI, FONT_SIZE
from headstart.system.files import atomic_write
from headstart.system.marks import SOFTWARE
from headstart.system.text import shortened

_SHOWN_DPI = 80  # in a notebook: half of what a display with small pixels has
_WORD_ENDS = " _-/"
_MARGIN = 0.1  # inches between the edge and the title
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

    def _repr_png_(self) -> tuple[bytes, dict[str, int | str]]:
        width, height = (round(inches * _SHOWN_DPI) for inches in self.get_size_inches())
        described = " ".join(self.get_suptitle().split())
        return _png(self), {"width": width, "height": height, "alt": described}


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
    columns = int((width - 2 * _MARGIN) / CHARACTER)
    return textwrap.wrap(shortened(title, 500), max(columns, 10), break_on_hyphens=False)


def finish(figure: Figure, title: str) -> Figure:
    """Set the title and the fonts that the characters need, and fix the layout."""
    width, height = figure.get_size_inches()
    # A layout engine makes room for a title without a position.
    place = {} if figure.get_layout_engine() else {"y": 1 - _MARGIN / height}
    figure.suptitle(
        "\n".join(wrap_title(title, width)), x=_MARGIN / width, ha="left", va="top",
        fontsize=FONT_SIZE, weight="bold", color="black", **place,
    )  # fmt: skip
    texts = [text for text in figure.findobj(Text) if isinstance(text, Text)]
    families, _ = _fallbacks(_missing("".join(text.get_text() for text in texts)))
    for text in texts:
        text.set_fontsize(min(text.get_fontsize(), FONT_SIZE))  # smaller where there is no room
        text.set_fontfamily([_FONT, *families])
    if engine := figure.get_layout_engine():
        engine.execute(figure)
        figure.set_layout_engine("none")  # otherwise each drawing moves everything by a pixel
    return figure


def display_name(name: str, *, limit: int = 60) -> str:
    """Return a name as matplotlib can draw it, on one line of at most `limit` columns.

    A longer one ends after a whole word, with an ellipsis.
    """
    return wrapped_name(name, width=limit, lines=1)


def wrapped_name(name: str, *, width: int, lines: int = 3) -> str:
    """Return a name as matplotlib can draw it, broken between words into lines of `width` columns.

    Words end at spaces, underscores, hyphens and slashes; one that is wider than a line is
    broken anywhere. What exceeds `lines` is left out, at the end of a word if possible, and an
    ellipsis marks that.
    """
    if len(name) > 20 * width * lines:  # each character is measured
        name = name[: 20 * width * lines]
    # Some systems write é as two characters in file names, but fonts have it as one.
    text = "".join(c for c in unicodedata.normalize("NFC", name) if unicodedata.category(c) != "Cf")
    text = "".join(c if c.isprintable() else " " if c.isspace() else "\ufffd" for c in text)
    _, missing = _fallbacks(_missing(text))
    words: list[list[str]] = [[]]
    for character in text:
        words[-1].append(f"[{ord(character):X}]" if character in missing else character)
        if character in _WORD_ENDS:
            words.append([])
    found = _broken(words, width)
    if len(found) > lines:
        found = [*found[: lines - 1], _ended(found[lines - 1], width)]
    # Two dollar signs would start a formula.
    return "\n".join(line.rstrip() for line in found).replace("$", r"\$")


def _broken(words: Sequence[Sequence[str]], width: int) -> list[str]:
    """Fill lines of `width` columns with words, given by their characters."""
    found = [""]
    for word in words:
        whole = "".join(word)
        if found[-1] and text_width(found[-1] + whole.rstrip()) > width:
            found.append("")
        for mark in word if text_width(whole.rstrip()) > width else [whole]:
            if found[-1] and text_width(found[-1] + mark.rstrip()) > width:
                found.append("")
            found[-1] += mark
    return found


def _ended(line: str, width: int) -> str:
    """Return a line with an ellipsis, which takes the place of its last word if necessary."""
    line = line.rstrip(_WORD_ENDS)
    if text_width(line) >= width:
        whole = max(line.rfind(end) for end in _WORD_ENDS)
        line = line[:whole].rstrip(_WORD_ENDS) if whole > 0 else line
    while text_width(line) >= width:
        line = line[:-1]
    return f"{line}…"


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
