"""Attribution maps drawn over the images they explain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from PIL import Image

from headstart.plots.canvas import display_name
from headstart.plots.image_grid import Panel, image_grid
from headstart.plots.style import DPI
from headstart.types import Floats, Pixels

if TYPE_CHECKING:
    from headstart.inspection.explanation import Explanation, HeatMap

_COLORS = matplotlib.colormaps["inferno"]  # perceptually uniform: equal steps look equal
_GRAY: Final = np.array([0.299, 0.587, 0.114], np.float32)  # luma of ITU-R BT.601
_DIMMED, _DIMMED_GRAY = 0.75, 0.5  # brightness and share of gray where nothing is relevant
_UNSEEN: Final = 0.35  # brightness of gray areas that the network did not see
_OPACITY: Final = 0.8  # of the most relevant color; the image must stay visible
_WIDTH: Final = 3.8  # inches, of an image in the figure
_COLUMNS: Final = 2
_ROWS: Final = 1024  # colored at a time, to limit the memory for large images


def overlay(pixels: Pixels, heat: Floats, seen: npt.NDArray[np.bool_]) -> Pixels:
    """Color an image by an attribution map: violet, orange, then yellow for the highest values.

    Irrelevant areas are dimmed a little; areas that the network did not see are dark gray.

    Pixels are (H, W, 3) uint8, relevance (H, W) from 0 to 1; `seen` (H, W) is true where the
    network saw the image.
    """
    parts = [
        _overlay(pixels[rows], heat[rows], seen[rows])
        for rows in (slice(at, at + _ROWS) for at in range(0, len(pixels), _ROWS))
    ]
    return np.concatenate(parts)


def _overlay(pixels: Pixels, heat: Floats, seen: npt.NDArray[np.bool_]) -> Pixels:
    image = pixels.astype(np.float32)
    gray = (image @ _GRAY)[..., None]
    dimmed = _DIMMED * (_DIMMED_GRAY * gray + (1 - _DIMMED_GRAY) * image)
    # Without the black end of the colormap, which would only darken the image.
    colors = _COLORS(0.2 + 0.75 * heat)[..., :3].astype(np.float32) * 255
    share = heat[..., None]
    # Where the map is high, the image below the color has its full brightness.
    base = (1 - share) * dimmed + share * image
    mixed = (1 - _OPACITY * share) * base + _OPACITY * share * colors
    return np.where(seen[..., None], mixed, _UNSEEN * gray).round().clip(0, 255).astype(np.uint8)


def explanation_figure(explanation: Explanation, overlays: Sequence[Pixels]) -> Figure:
    """Draw an image and its overlays, one per map, side by side with their faithfulness scores."""
    reading = explanation.prediction
    prediction = f"{reading.label} {reading.probability:.3f}"
    note = f"evidence for {reading.explained}"
    if reading.explained != reading.label:
        note += f" ({reading.explained_probability:.3f})"
    row = [Panel(_reduced(explanation.pixels), prediction, note)]
    row += [
        Panel(_reduced(pixels), _caption(one), _note(one))
        for one, pixels in zip(explanation.maps, overlays, strict=True)
    ]
    title = (
        f"{display_name(reading.image.name)}: {display_name(prediction)}. Bright yellow marks what "
        "counts most; in parentheses, the scores of the same map shifted elsewhere, which a "
        "faithful map clearly beats: lower deletion, higher insertion"
    )
    if not all(one.full_size.seen.all() for one in explanation.maps):
        title += ". The network does not see what is dark gray"
    rows = [row[first : first + _COLUMNS] for first in range(0, len(row), _COLUMNS)]
    return image_grid(rows, title=title, width=_WIDTH)


def _caption(one: HeatMap) -> str:
    stage = f" at {one.stage}" if one.stage else ""
    return f"{one.method}{stage}: {'faithful' if one.faithfulness.trustworthy else 'doubtful'}"


def _note(one: HeatMap) -> str:
    found = one.faithfulness
    return (
        f"deletion {found.deletion:.2f} ({found.random_deletion:.2f})  "
        f"insertion {found.insertion:.2f} ({found.random_insertion:.2f})"
    )


def _reduced(pixels: Pixels) -> Pixels:
    height, width = pixels.shape[:2]
    most = round(_WIDTH * DPI)
    if width <= most:
        return pixels
    size = (most, max(1, round(height * most / width)))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))
