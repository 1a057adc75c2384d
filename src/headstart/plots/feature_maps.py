"""Feature maps beside the picture they were found in, and the filters of a first layer.

Values become colors pixel by pixel; nothing is smoothed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from headstart.errors import DataError
from headstart.plots.canvas import label
from headstart.plots.pages import SMALL_TYPE, Page
from headstart.types import Doubles, Floats, Pixels

if TYPE_CHECKING:
    from headstart.inspection.feature_maps import Channel, Filters, StageMaps

# All lengths are in pixels of the page.
_SIDE: Final = 210  # a map's, as nearly as whole pixels of the map allow
_SMALL, _BAR, _PICTURE = 112, 150, 448
_FILTER, _MANY, _SMALL_FILTER = 130, 64, 66  # where there are more than so many
_GAP, _LINE, _SMALL_LINE = 16, 25, 18
_ROW: Final = 8  # maps of a stage in the overview
_EMPTY: Final = 238  # gray behind bars
_ZERO: Final = 1e-6  # share of the layer's greatest weight that counts as zero

_POSITIVE = matplotlib.colormaps["viridis"]
_SIGNED = matplotlib.colormaps["RdBu_r"]
_LEGEND = {
    False: ("yellow: the map's greatest value", "violet: its least value", ""),
    True: ("red: above zero; blue: below zero", "full color: the map's greatest magnitude", ""),
}
_RANKED = ("ranked by standard deviation over a map,", "numbered as in the network, from 0")
_BARS = ("a channel is one number here: a bar,", "ranked by magnitude,", _RANKED[1])
_TAIL: Final = 0.1
"""Activations such as GELU dip a little below zero: only below this share of the greatest
magnitude is a stage drawn as signed."""


def strongest_channels(stage: StageMaps, pixels: Pixels, *, network: str, picture: str) -> Figure:
    """A stage's strongest channels, each with its range, beside the picture.

    Maps are enlarged by a whole factor. Where a stage has signed values, colors are symmetric
    around zero; elsewhere they run from a map's least to its greatest value.

    Args:
        stage: what the stage made of the picture.
        pixels: (H, W, 3) uint8, the picture as the network sees it.
        network: its name.
        picture: its name.

    Raises:
        DataError: no channel is given.
    """
    _check((stage,))
    page = Page()
    tiles = _tiles(stage, _enlarged_side(stage))
    notes = _BARS if _is_vector(stage) else (*_LEGEND[_is_signed(stage)], *_RANKED)
    left = _put_picture(page, pixels, picture, notes)
    count = len(tiles)
    columns = _ROW if _is_vector(stage) else max(4, math.ceil(math.sqrt(count)))
    side = max(tiles[0].shape[1], _BAR)
    for place, (tile, channel) in enumerate(zip(tiles, stage.ranked, strict=True)):
        x = left + place % columns * (side + _GAP)
        y = place // columns * (tiles[0].shape[0] + 2 * _LINE + _GAP)
        page.put(x, y, tile)
        y += tile.shape[0] + 6
        page.write(x, y, f"{place + 1}.  channel {channel.index}")
        page.write(x, y + _LINE, _range(channel), gray=True)
    share = "all" if count == stage.channels else f"the {count} strongest of"
    return page.figure(
        f"{_name(stage)} of {label(network, limit=60)}: "
        f"{share} {stage.channels:,} channels{_size(stage)}"
    )


def channels_by_stage(
    stages: Sequence[StageMaps], pixels: Pixels, *, network: str, picture: str
) -> Figure:
    """A row of the strongest channels for each stage, from shallow to deep, beside the picture.

    Maps larger than their place are averaged over blocks of pixels; smaller ones are enlarged
    without smoothing.

    Args:
        stages: what they made of the picture.
        pixels: (H, W, 3) uint8, the picture as the network sees it.
        network: its name.
        picture: its name.

    Raises:
        DataError: no stage, or no channel of one, is given.
    """
    _check(stages)
    page = Page()
    notes: list[str] = []
    for signed in {_is_signed(stage): None for stage in stages if not _is_vector(stage)}:
        notes += _LEGEND[signed]
    left = _put_picture(page, pixels, picture, (*notes, *_RANKED))
    y = 0
    for stage in stages:
        named = f"{stage.number}.  {_name(stage)}:  {stage.channels:,} channels{_size(stage)}"
        page.write(left, y, named)
        y += _LINE + 4
        tiles = _tiles(stage, _SMALL)[:_ROW]
        for place, (tile, channel) in enumerate(zip(tiles, stage.ranked, strict=False)):
            x = left + place * (_SMALL + _GAP)
            page.put(x, y, tile)
            below = y + _SMALL + 4
            page.write(x, below, f"channel {channel.index}", size=SMALL_TYPE)
            page.write(x, below + _SMALL_LINE, _range(channel), size=SMALL_TYPE, gray=True)
        y += _SMALL + 2 * _SMALL_LINE + 2 * _GAP
    if len(stages) == 1:
        finding = f"what {_name(stages[0])} of {label(network, limit=60)} extracts"
    else:
        finding = f"from edges to parts: what the stages of {label(network, limit=60)} extract"
    return page.figure(f"{finding[0].upper()}{finding[1:]} from {label(picture, limit=40)}")


def filters(first: Filters, *, network: str) -> Figure:
    """All filters of a first layer, as the patterns of color that they answer to.

    Each is shown with its own range: gray is zero, and the greatest magnitude is full color. What
    training has driven to zero, up to rounding, is gray.

    Args:
        first: the filters.
        network: its name.

    Raises:
        DataError: there is none.
    """
    count, _, height, width = first.values.shape
    if not count:
        raise DataError(f"{first.layer} has no filter: give a layer that has")
    many = count > _MANY
    room = _SMALL_FILTER if many else _FILTER
    factor = max(1, round(room / max(height, width)))
    columns = 2 ** math.ceil(math.log2(math.sqrt(count)))
    page = Page()
    zero = _ZERO * float(np.abs(first.values).max())
    for index, values in enumerate(first.values):
        most = float(np.abs(values).max())
        gray = np.full(values.shape, 0.5) if most <= zero else 0.5 + values / (2 * most)
        pixels = _bytes(gray.transpose(1, 2, 0))
        x = index % columns * (max(room, width * factor) + _GAP)
        y = index // columns * (height * factor + (1 if many else 2) * _SMALL_LINE + _GAP)
        page.put(x, y, pixels.repeat(factor, 0).repeat(factor, 1))
        y += height * factor + 3
        own = f"±{_number(most, most)}"
        if many:  # words take longer to draw than all the rest
            page.write(x, y, f"{index}: {own}", size=SMALL_TYPE, gray=True)
            continue
        page.write(x, y, f"filter {index}", size=SMALL_TYPE)
        page.write(x, y + _SMALL_LINE, own, size=SMALL_TYPE, gray=True)
    return page.figure(
        f"{label(network, limit=60)} begins with {count} filters of {height} × {width} pixels "
        f"({label(first.layer, limit=40)}); gray is zero"
    )


def _check(stages: Sequence[StageMaps]) -> None:
    if not stages or not all(stage.ranked for stage in stages):
        counts = [len(stage.ranked) for stage in stages]
        raise DataError(f"stages with {counts} channels to draw: give some of each stage")


def _put_picture(page: Page, pixels: Pixels, name: str, notes: Sequence[str]) -> int:
    """Draws the picture at the left; returns where the rest begins."""
    factor = max(1, _PICTURE // pixels.shape[1])
    page.put(0, 0, pixels.repeat(factor, 0).repeat(factor, 1))
    side: int = pixels.shape[1] * factor
    y = pixels.shape[0] * factor + 6
    page.write(0, y, label(name, limit=side // 11))
    height, width = pixels.shape[:2]
    page.write(0, y + _LINE, f"{width} × {height} pixels, as the network sees it", gray=True)
    y += 3 * _LINE
    for note in notes:
        page.write(0, y, note, gray=True)
        y += _LINE
    return side + 2 * _GAP


def _tiles(stage: StageMaps, side: int) -> list[Pixels]:
    """Each channel as a picture, its longer side `side` pixels long."""
    if _is_vector(stage):
        return _bars(stage.maps[:, 0, 0], side)
    signed = _is_signed(stage)
    return [_resized(_colored(values, signed=signed), side) for values in stage.maps]


def _colored(values: Floats, *, signed: bool) -> Pixels:
    """(H, W) to (H, W, 3): symmetric around zero if signed, else from minimum to maximum."""
    if signed:
        low, high = -float(np.abs(values).max()), float(np.abs(values).max())
    else:
        low, high = float(values.min()), float(values.max())
    share = (
        (values.astype(np.float64) - low) / (high - low) if high > low else np.zeros(values.shape)
    )
    return _bytes((_SIGNED if signed else _POSITIVE)(share)[..., :3])


def _bars(values: Floats, side: int) -> list[Pixels]:
    """A bar a number, in proportion to the greatest magnitude; from the middle if any is < 0."""
    most = float(np.abs(values).max()) or 1.0
    signed = bool((values < 0).any())
    zero = side // 2 if signed else side
    tiles = []
    for value in values:
        tile = np.full((side, side, 3), _EMPTY, np.uint8)
        end = zero - round(float(value) / most * zero)
        shade = (_SIGNED(0.85 if value > 0 else 0.15) if signed else _POSITIVE(0.35))[:3]
        quarter = side // 4
        tile[min(zero, end) : max(zero, end), quarter : side - quarter] = _bytes(np.array(shade))
        tiles.append(tile)
    return tiles


def _resized(pixels: Pixels, side: int) -> Pixels:
    """The longer side becomes `side`: by repeating pixels, or by averaging blocks of them."""
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    how = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.BOX
    return np.asarray(Image.fromarray(pixels).resize(size, how))


def _enlarged_side(stage: StageMaps) -> int:
    """The multiple of a map's longer side that is nearest to the usual one."""
    if _is_vector(stage):
        return _BAR
    side = max(stage.height, stage.width)
    return side * max(1, round(_SIDE / side))


def _is_vector(stage: StageMaps) -> bool:
    return stage.height == stage.width == 1


def _is_signed(stage: StageMaps) -> bool:
    return float(stage.maps.min()) < -_TAIL * float(np.abs(stage.maps).max())


def _bytes(shares: Doubles) -> Pixels:
    """[0, 1] to uint8."""
    levels: Pixels = np.rint(shares * 255).astype(np.uint8)
    return levels


def _name(stage: StageMaps) -> str:
    return label(stage.name, limit=40)


def _size(stage: StageMaps) -> str:
    return "" if _is_vector(stage) else f" of {stage.height} × {stage.width}"


def _range(channel: Channel) -> str:
    low, high = channel.minimum, channel.maximum
    most = max(abs(low), abs(high))
    if low == high:
        return _number(low, most)
    return f"{_number(low, most)} to {_number(high, most)}"


def _number(value: float, most: float) -> str:
    """With two digits of the greatest magnitude: 5.9, 0.031, −27."""
    if most and not 1e-3 <= most < 1e4:
        text = f"{value:.1e}"
    else:
        text = f"{value:.{max(0, 1 - math.floor(math.log10(most))) if most else 1}f}"
    return text.replace("-", "−")
