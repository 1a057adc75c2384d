"""Maps of relevance over the pictures they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from PIL import Image

from headstart.plots.canvas import DPI, label
from headstart.plots.sheets import Panel, sheet
from headstart.types import Floats, Pixels

if TYPE_CHECKING:
    from headstart.inspection.explanation import Explanation, HeatMap

_COLORS = matplotlib.colormaps["inferno"]  # perceptually uniform: equal steps look equal
_GRAY: Final = np.array([0.299, 0.587, 0.114], np.float32)  # luma of ITU-R BT.601
_CALM, _CALM_GRAY = 0.75, 0.5  # brightness, and share of gray, where nothing is relevant
_UNSEEN: Final = 0.35  # brightness of what the network did not see, all gray
_OPAQUE: Final = 0.8  # of the most relevant; the picture must stay visible
_WIDTH: Final = 3.2  # inches of a picture on the sheet
_ROWS: Final = 1024  # colored at a time: bounds the memory for large photos


def overlay(pixels: Pixels, heat: Floats, seen: npt.NDArray[np.bool_]) -> Pixels:
    """A picture that glows where a map is high: violet, orange, yellow.

    Elsewhere the picture calms down a little; what the network did not see is gray and dark.

    Args:
        pixels: (H, W, 3).
        heat: (H, W) from 0, irrelevant, to 1.
        seen: (H, W), what the network saw.

    Returns:
        (H, W, 3).
    """
    parts = [
        _overlay(pixels[rows], heat[rows], seen[rows])
        for rows in (slice(at, at + _ROWS) for at in range(0, len(pixels), _ROWS))
    ]
    return np.concatenate(parts)


def _overlay(pixels: Pixels, heat: Floats, seen: npt.NDArray[np.bool_]) -> Pixels:
    picture = pixels.astype(np.float32)
    gray = (picture @ _GRAY)[..., None]
    calm = _CALM * (_CALM_GRAY * gray + (1 - _CALM_GRAY) * picture)
    # The colors' black end would only darken: they begin where they are colored.
    colors = _COLORS(0.2 + 0.75 * heat)[..., :3].astype(np.float32) * 255
    share = heat[..., None]
    # Where the map is high, the picture is at full brightness under the color.
    lit = (1 - share) * calm + share * picture
    mixed = (1 - _OPAQUE * share) * lit + _OPAQUE * share * colors
    return np.where(seen[..., None], mixed, _UNSEEN * gray).round().clip(0, 255).astype(np.uint8)


def explained(explanation: Explanation, overlays: Sequence[Pixels]) -> Figure:
    """The picture and its overlays side by side, with their scores.

    Args:
        explanation: what was found.
        overlays: one a map, as `overlay` gives them.
    """
    reading = explanation.reading
    seen_as = f"{label(reading.label)} {reading.probability:.3f}"
    note = f"what speaks for {reading.explained}"
    if reading.explained != reading.label:
        note += f" ({reading.explained_probability:.3f})"
    row = [Panel(_shown(explanation.pixels), f"{reading.label} {reading.probability:.3f}", note)]
    row += [
        Panel(_shown(pixels), _caption(one), _note(one))
        for one, pixels in zip(explanation.maps, overlays, strict=True)
    ]
    title = (
        f"{label(reading.image.name, limit=40)}: {seen_as}. In brackets: the same map in wrong "
        f"places; a map worth trusting has less deletion and more insertion"
    )
    return sheet([row], title=title, width=_WIDTH)


def _caption(one: HeatMap) -> str:
    where = f" at {one.stage}" if one.stage else ""
    verdict = "passes" if one.faithfulness.trustworthy else "doubtful"
    return f"{one.method}{where}: {verdict}"


def _note(one: HeatMap) -> str:
    found = one.faithfulness
    return (
        f"deletion {found.deletion:.2f} ({found.random_deletion:.2f})  "
        f"insertion {found.insertion:.2f} ({found.random_insertion:.2f})"
    )


def _shown(pixels: Pixels) -> Pixels:
    """No larger than the sheet can show."""
    height, width = pixels.shape[:2]
    most = round(_WIDTH * DPI)
    if width <= most:
        return pixels
    size = (most, max(1, round(height * most / width)))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))
