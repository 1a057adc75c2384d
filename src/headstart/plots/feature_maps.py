"""Feature maps next to their image, and the filters of a first layer.

Each value becomes the color of a pixel, without smoothing.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from headstart.errors import DataError
from headstart.plots.canvas import display_name, wrapped_name
from headstart.plots.pages import LINE_HEIGHT, Page
from headstart.plots.style import CHARACTER, DPI
from headstart.types import Doubles, Floats, Pixels

if TYPE_CHECKING:
    from headstart.inspection.feature_maps import Channel, Filters, StageMaps

# All lengths are in pixels of the page.
_SIDE: Final = 210  # approximate side of a map; the exact one is a multiple of the map's size
_SMALL, _BAR, _IMAGE = 112, 150, 224
_FILTER, _MANY, _SMALL_FILTER = 130, 64, 80  # more than _MANY filters are drawn small
_COLUMNS, _SMALL_COLUMNS = 8, 12  # of filters of either size
_GAP = 16
_ROW: Final = 7  # maps per stage in the overview
_MAPS, _BARS_ROW = 4, 5  # per row on the page of one stage
_EMPTY: Final = 238  # gray behind bars
_ZERO: Final = 1e-6  # share of the layer's largest weight below which a filter counts as zero

_POSITIVE = matplotlib.colormaps["viridis"]
_SIGNED = matplotlib.colormaps["RdBu_r"]
_MEANING = (
    "Each map is a channel: how much of one learned pattern the network finds at each place of the "
    "image."
)
_LEGEND = {
    False: "yellow is the most of a channel, violet the least.",
    True: "red is above zero (the pattern), blue below (its opposite), white zero; the fullest "
    "color is the largest value of a channel.",
}
_NUMBERED = "# is the number of a channel in the network, from 0."
_RANKED = (
    "First the channels whose values differ most between places (standard deviation). "
    f"{_NUMBERED} Below it: smallest to largest value."
)
_BARS = (
    "Each channel is one number for the whole image, drawn as a bar. First the largest in "
    f"magnitude. {_NUMBERED}"
)
_TAIL: Final = 0.1
"""Activations such as GELU are slightly negative below zero, so a stage is drawn as signed only if
it has values below this share of its largest magnitude."""


def strongest_channels(stage: StageMaps, pixels: Pixels, *, network: str, image: str) -> Figure:
    """Draw the strongest channels of a stage next to the image as the network sees it.

    Maps are enlarged by a whole factor. If the stage has signed values, colors are symmetric
    around zero; otherwise they span the range of each map.

    Raises:
        DataError: the stage has no channels.
    """
    _check((stage,))
    page = Page()
    tiles = _tiles(stage, _enlarged_side(stage))
    notes = (
        (_BARS,)
        if _is_vector(stage)
        else (_MEANING, _sentence(_LEGEND[_is_signed(stage)]), _RANKED)
    )
    left = _put_image(page, pixels, image, notes)
    count = len(tiles)
    columns = _BARS_ROW if _is_vector(stage) else _MAPS
    side = max(tiles[0].shape[1], _BAR)
    for rank, (tile, channel) in enumerate(zip(tiles, stage.ranked, strict=True)):
        x = left + rank % columns * (side + _GAP)
        y = rank // columns * (tiles[0].shape[0] + 2 * LINE_HEIGHT + _GAP)
        page.put(x, y, tile)
        y += tile.shape[0] + 6
        page.write(x, y, f"#{channel.index}")
        page.write(x, y + LINE_HEIGHT, _range(channel), gray=True)
    share = "all" if count == stage.channels else f"the {count} strongest of"
    return page.figure(
        f"{_name(stage)} of {display_name(network)}: "
        f"{share} {stage.channels:,} channels{_size(stage)}"
    )


def channels_by_stage(
    stages: Sequence[StageMaps], pixels: Pixels, *, network: str, image: str
) -> Figure:
    """Draw a row of the strongest channels of each stage, shallow to deep, next to the image.

    Larger maps are averaged over blocks of pixels; smaller ones are enlarged without smoothing.

    Raises:
        DataError: there are no stages, or one of them has no channels.
    """
    _check(stages)
    page = Page()
    left = _put_image(page, pixels, image, [_MEANING, *_legends(stages), _RANKED])
    y = 0
    for stage in stages:
        heading = f"{stage.number}.  {_name(stage)}:  {stage.channels:,} channels{_size(stage)}"
        page.write(left, y, heading)
        y += LINE_HEIGHT + 4
        tiles = _tiles(stage, _SMALL)[:_ROW]
        for rank, (tile, channel) in enumerate(zip(tiles, stage.ranked, strict=False)):
            x = left + rank * (_SMALL + _GAP)
            page.put(x, y, tile)
            below = y + _SMALL + 4
            page.write(x, below, f"#{channel.index}")
            page.write(x, below + LINE_HEIGHT, _range(channel), gray=True)
        y += _SMALL + 2 * LINE_HEIGHT + 2 * _GAP
    scope = f"Stage {_name(stages[0])}" if len(stages) == 1 else "Strongest channels by stage"
    return page.figure(f"{scope} of {display_name(network)} for {display_name(image)}")


def _legends(stages: Sequence[StageMaps]) -> list[str]:
    """Return what the colors mean; if there are two kinds of maps, in which stages."""
    numbers: dict[bool, list[int]] = {}
    for stage in stages:
        if not _is_vector(stage):
            numbers.setdefault(_is_signed(stage), []).append(stage.number)
    if len(numbers) == 1:
        return [_sentence(_LEGEND[signed]) for signed in numbers]
    return [f"In {_listed(which)}: {_LEGEND[signed]}" for signed, which in numbers.items()]


def _listed(numbers: Sequence[int]) -> str:
    """Return numbers as text; three or more that follow each other as a range."""
    if len(numbers) > 2 and numbers[-1] - numbers[0] == len(numbers) - 1:
        return f"{numbers[0]} to {numbers[-1]}"
    return ", ".join(map(str, numbers))


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}"


def filters(first: Filters, *, network: str) -> Figure:
    """Draw all filters of a first layer as the color patterns that they respond to.

    Each filter has its own scale: gray is zero, and full color is its largest magnitude. Filters
    that training has reduced to zero, up to rounding, are gray.

    Raises:
        DataError: the layer has no filters.
    """
    count, _, height, width = first.values.shape
    if not count:
        raise DataError(f"{first.layer} has no filters; give another layer")
    many = count > _MANY
    side, columns = (_SMALL_FILTER, _SMALL_COLUMNS) if many else (_FILTER, _COLUMNS)
    factor = max(1, round(side / max(height, width)))
    page = Page()
    zero = _ZERO * float(np.abs(first.values).max())
    for index, values in enumerate(first.values):
        most = float(np.abs(values).max())
        gray = np.full(values.shape, 0.5) if most <= zero else 0.5 + values / (2 * most)
        x = index % columns * (max(side, width * factor) + _GAP)
        y = index // columns * (height * factor + (1 if many else 2) * LINE_HEIGHT + _GAP)
        page.put(x, y, _enlarged(_bytes(gray.transpose(1, 2, 0)), factor))
        y += height * factor + 3
        page.write(x, y, f"#{index}")
        if not many:  # drawing text takes longer than everything else
            page.write(x, y + LINE_HEIGHT, _scale(most, zero), gray=True)
    return page.figure(
        f"First layer of {display_name(network)}: {count} filters of {height} × {width} "
        f"pixels ({display_name(first.layer)}). Gray is zero, full color the largest weight of "
        "each filter"
    )


def _scale(most: float, zero: float) -> str:
    return "zero" if most <= zero else f"±{_number(most, most)}"


def _check(stages: Sequence[StageMaps]) -> None:
    if not stages or not all(stage.ranked for stage in stages):
        counts = [len(stage.ranked) for stage in stages]
        raise DataError(f"stages with {counts} channels to draw; give at least one per stage")


def _put_image(page: Page, pixels: Pixels, name: str, notes: Sequence[str]) -> int:
    """Draw the image and the notes on the left, and return where the maps begin."""
    height: int = pixels.shape[0]
    width: int = pixels.shape[1]
    factor = max(1, _IMAGE // width)
    page.put(0, 0, _enlarged(pixels, factor))
    y = height * factor + 6
    columns = round(width * factor / DPI / CHARACTER)
    named = wrapped_name(name, width=columns)
    page.write(0, y, named)
    y += LINE_HEIGHT * (1 + named.count("\n"))
    for note in (f"{width} × {height} pixels, as the network sees it", *notes):
        lines = textwrap.wrap(note, columns)
        page.write(0, y, "\n".join(lines), gray=True)
        y += LINE_HEIGHT * (len(lines) + 1)
    return width * factor + 2 * _GAP


def _enlarged(pixels: Pixels, factor: int) -> Pixels:
    return pixels.repeat(factor, 0).repeat(factor, 1)


def _tiles(stage: StageMaps, side: int) -> list[Pixels]:
    """Return each channel as an image whose longer side has `side` pixels."""
    if _is_vector(stage):
        return _bars(stage.maps[:, 0, 0], side)
    signed = _is_signed(stage)
    return [_resized(_colored(values, signed=signed), side) for values in stage.maps]


def _colored(values: Floats, *, signed: bool) -> Pixels:
    """Map (H, W) to (H, W, 3) colors, symmetric around zero if signed, else over the range."""
    if signed:
        low, high = -float(np.abs(values).max()), float(np.abs(values).max())
    else:
        low, high = float(values.min()), float(values.max())
    share = (
        (values.astype(np.float64) - low) / (high - low) if high > low else np.zeros(values.shape)
    )
    return _bytes((_SIGNED if signed else _POSITIVE)(share)[..., :3])


def _bars(values: Floats, side: int) -> list[Pixels]:
    """Draw one bar per number relative to the largest magnitude, centered if any is negative."""
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
    """Resize the longer side to `side` pixels by repeating pixels or averaging blocks of them."""
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    how = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.BOX
    return np.asarray(Image.fromarray(pixels).resize(size, how))


def _enlarged_side(stage: StageMaps) -> int:
    """Return the multiple of a map's longer side that is nearest to the usual side."""
    if _is_vector(stage):
        return _BAR
    side = max(stage.height, stage.width)
    return side * max(1, round(_SIDE / side))


def _is_vector(stage: StageMaps) -> bool:
    return stage.height == stage.width == 1


def _is_signed(stage: StageMaps) -> bool:
    return float(stage.maps.min()) < -_TAIL * float(np.abs(stage.maps).max())


def _bytes(shares: Doubles) -> Pixels:
    levels: Pixels = np.rint(shares * 255).astype(np.uint8)
    return levels


def _name(stage: StageMaps) -> str:
    return display_name(stage.name, limit=40)


def _size(stage: StageMaps) -> str:
    return "" if _is_vector(stage) else f" of {stage.height} × {stage.width}"


def _range(channel: Channel) -> str:
    low, high = channel.minimum, channel.maximum
    most = max(abs(low), abs(high))
    if low == high:
        return _number(low, most)
    return f"{_number(low, most)} to {_number(high, most)}"


def _number(value: float, most: float) -> str:
    """Format a value with two significant digits of the largest magnitude: 5.9, 0.031, −27."""
    if most and not 1e-3 <= most < 1e4:
        text = f"{value:.1e}"
    else:
        text = f"{value:.{max(0, 1 - math.floor(math.log10(most))) if most else 1}f}"
    return text.replace("-", "−")
