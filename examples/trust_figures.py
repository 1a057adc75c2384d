"""Draws the figures of docs/trust.md and docs/audit.md from the tables on these pages.

    python examples/trust_figures.py docs

The numbers are measured by the benchmarks that the pages name; this reads them from the tables, so
that a figure never differs from its table.
"""

import re
import sys
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from headstart.evaluation.metrics import wilson
from headstart.plots import save
from headstart.plots.canvas import finish, new_figure
from headstart.plots.style import BLUE, FONT_SIZE, GRAY, INK, ORANGE, SKY, WIDTH, style_axes

SECTIONS = {
    "series": "## Photos that come in series",
    "unknown": "## Unknown objects",
    "sets": "## Answers with a guarantee",
    "drift": "## Photos that are different",
    "labels": "# Wrong labels",
}
TITLES = {
    "series": "What fit promises, and the accuracy of the test",
    "unknown": "Images of something else that are called unknown, and false alarms",
    "sets": "How often sets for 0.9 contain the right class",
    "drift": "Share of batches of 50 photos in which drift was reported",
    "labels": "How many of the most suspicious labels had been changed",
}
STRONG, SOFT, WEAK = BLUE, SKY, ORANGE


def table(page: str, section: str, first_column: str) -> list[dict[str, str]]:
    """Read the table of a section whose first column has this name."""
    text = page[page.index(SECTIONS[section]) :]
    lines = text[text.index(f"| {first_column} |") :].split("\n\n")[0].splitlines()
    names, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(names, row, strict=True)) for row in rows]


def number(cell: str) -> float:
    """Return the first number in a cell; NaN if there is none."""
    match = re.search(r"\d+(?:\.\d+)?", cell)
    return float(match.group()) / (100 if "%" in cell else 1) if match else float("nan")


def span(cell: str) -> tuple[float, float]:
    """Return the range that a cell states, or the 95% interval of its count; else the number."""
    if stated := re.search(r"\(([\d.]+) to ([\d.]+)\)", cell):
        return float(stated[1]), float(stated[2])
    if counted := re.search(r"of (\d+)", cell):
        images = int(counted[1])
        interval = wilson(round(number(cell) * images), images)
        return interval.low, interval.high
    return number(cell), number(cell)


def bars(axes: Axes, labels: list[str], series: dict[str, tuple[list[str], str]]) -> None:
    """Draw groups of horizontal bars with the ranges that the cells state, the first on top."""
    height = 0.8 / len(series)
    at = np.arange(len(labels))[::-1]
    for place, (name, (cells, color)) in enumerate(series.items()):
        y, values = at + 0.4 - (place + 0.5) * height, [number(cell) for cell in cells]
        lows, highs = zip(*map(span, cells), strict=True)
        axes.barh(y, values, height, color=color, label=name)
        axes.hlines(y, lows, highs, color="white", linewidth=3)  # also seen on dark bars
        axes.hlines(y, lows, highs, color=GRAY, linewidth=1.2)
        for where, end, value in zip(y, highs, values, strict=True):
            axes.annotate(f"{value:.2f}", (max(end, value), where), (3, 0), va="center",
                          textcoords="offset points", color=GRAY, fontsize=FONT_SIZE, zorder=3,
                          bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5})  # fmt: skip
    axes.set_yticks(at, labels)
    axes.set_xlim(0, 1.06)
    style_axes(axes)
    figure = axes.get_figure()
    assert isinstance(figure, Figure)
    figure.legend(frameon=False, fontsize=FONT_SIZE, loc="outside lower center", ncols=len(series))


def column(rows: list[dict[str, str]], name: str) -> list[str]:
    """Return the cells of a column."""
    return [row[name] for row in rows]


def series_figure(page: str, axes: Axes) -> None:
    """Draw what `fit` promises beside the accuracy of the test."""
    rows = [row for row in table(page, "series", "data") if number(row["same scenes"]) > 0]
    bars(
        axes,
        [row["data"] for row in rows],
        {
            "promised for the same scenes": (column(rows, "same scenes"), SOFT),
            "promised for new scenes": (column(rows, "new scenes"), STRONG),
            "test": (column(rows, "test"), INK),
        },
    )
    axes.set_xlabel("accuracy (lines: 95% intervals, of 400 to 735 test images)", color=GRAY)


def unknown_figure(page: str, axes: Axes) -> None:
    """Draw the share of unknown images that is caught."""
    other = {row["fitted to"]: row for row in table(page, "unknown", "fitted to")}
    rows = table(page, "unknown", "set")
    names = [row["set"].split(",")[0] for row in rows]
    caught = "photos of five other sets that are caught"
    bars(
        axes,
        [row["set"] for row in rows],
        {
            "photos of something else": ([other[name][caught] for name in names], STRONG),
            "a class that it was not shown": (column(rows, "caught"), SOFT),
            "false alarms": ([other[name]["false alarms at 5%"] for name in names], WEAK),
        },
    )
    axes.set_xlabel("share of the images (lines: 95% intervals of false alarms)", color=GRAY)


def sets_figure(page: str, axes: Axes) -> None:
    """Draw how often sets for 0.9 were right."""
    rows = [row for row in table(page, "sets", "set") if row["asked for"].startswith("0.9 ")]
    plain = [row for row in table(page, "sets", "set") if row["asked for"] == "0.9"]
    bars(
        axes,
        [row["set"] for row in plain],
        {
            "all images": (column(plain, "right"), STRONG),
            "lowest class": (column(plain, "lowest class"), SOFT),
            "lowest class, with --coverage-by-class": (column(rows, "lowest class"), INK),
        },
    )
    axes.axvline(0.9, color=WEAK, linewidth=1)
    spread = "means and, for all images, 5% and 95% quantiles of 200 divisions"
    what = "share of the sets with the right class; orange: what was asked for"
    axes.set_xlabel(f"{what}\n({spread})", color=GRAY)


def drift_figure(page: str, axes: Axes) -> None:
    """Draw how often a change of 50 photos was noticed."""
    rows = table(page, "drift", "photos")
    names = [name for name in rows[0] if name != "photos"]
    share = np.array([[number(row[name].split(",")[1]) for name in names] for row in rows])
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1.4, aspect="auto")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelcolor=INK)
    for (row, place), value in np.ndenumerate(share):
        color = "white" if value > 0.5 else INK
        axes.text(place, row, f"{value:.2f}", ha="center", va="center", color=color)
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(rows)), [row["photos"] for row in rows])
    axes.set_xlabel("data set that the model was trained on (100 batches in each cell)", color=GRAY)
    axes.set_ylabel("change of the photos", color=GRAY)


def labels_figure(page: str, axes: Axes) -> None:
    """Draw how many of the suspicious labels were wrong."""
    rows = {row["method"].split(",")[0]: row for row in reversed(table(page, "labels", "method"))}
    names = [name for name in rows["headstart"] if name != "method"]
    colors = {"headstart": STRONG, "confident learning": SOFT}
    bars(axes, names, {one: ([rows[one][n] for n in names], colors[one]) for one in colors})
    measured = "mean, lowest and highest of five runs"
    axes.set_xlabel(
        f"share of the most suspicious labels that were changed ({measured})", color=GRAY
    )


def main() -> None:
    """Write one figure a section."""
    folder = Path(sys.argv[1])
    names = ("trust.md", "audit.md")
    page = "\n".join((folder / name).read_text(encoding="utf-8") for name in names)
    figures = {
        "series": series_figure,
        "unknown": unknown_figure,
        "sets": sets_figure,
        "drift": drift_figure,
        "labels": labels_figure,
    }
    for name, draw in figures.items():
        figure = new_figure(WIDTH, 4.4)
        draw(page, figure.subplots())
        save(finish(figure, TITLES[name]), folder / "gallery" / f"trust-{name}.png")


if __name__ == "__main__":
    main()
