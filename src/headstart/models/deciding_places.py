"""The places in an image by which a model with tile views decided.

Tiles are left out one after the other, always the one without which the odds of the class are
lowest, until the class is no longer probable. A tile decided if putting it back alone restores the
odds; so two defects both count, even if each alone would have been enough. Within such a tile,
windows are hidden behind another part of the tile, first large and then, where the odds were
lowest, smaller ones. This needs no gradients, and suits every head, engine and network.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from PIL import Image

from headstart.backbones.stages import LOGITS
from headstart.errors import UserError
from headstart.features.extractor import Extractor
from headstart.features.views import View, qualified
from headstart.images.decode import decode, read_bytes
from headstart.images.limits import one_large_image
from headstart.images.source import ImageSource
from headstart.images.tiles import PixelBox, Tiles
from headstart.models.trained_model import Model
from headstart.system.prefetch import stack_batches
from headstart.system.text import join_names
from headstart.types import Doubles, Floats, Pixels

_MOST: Final = 12
"""Most tiles of a view that are left out."""
_LEAST: Final = 0.7
"""Smallest rise of the log-odds by a tile that decided; it doubles the odds."""
_FINEST: Final = 48
"""Least side of a window in pixels."""
_NEARLY: Final = 0.9
"""Windows that lower the odds by at least this share of the largest fall show the same thing."""
_ROWS: Final = 20_000
"""Most tiles that are pooled at once: an image may have thousands, and each is left out in turn."""
_LOWEST: Final = 1e-12
"""Least probability in odds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecidingPlace:
    """A place in an image by which a model decided.

    Attributes:
        box: The place in the upright image, in its pixels.
        share: Its share among all places that decided, in (0, 1].
    """

    box: PixelBox
    share: float

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON; the box is [left, top, right, bottom]."""
        return {"box": list(self.box), "share": self.share}


class DecidingPlaces:
    """Finds the places by which a model decided.

    Args:
        model: A model of which at least one view consists of tiles.
        extractor: Runs its networks.

    Raises:
        UserError: No view of the model consists of tiles.
    """

    def __init__(self, model: Model, extractor: Extractor) -> None:
        self._model = model
        self._views = {
            view: (one, one.presentation)
            for view, one in extractor.by_view.items()
            if isinstance(one.presentation, Tiles)
        }
        if not self._views:
            names = join_names(list(dict.fromkeys(one.origin.name for one in model.all_members)))
            raise UserError(
                f"the model sees no tiles of the images ({names}), so it cannot say where in them "
                "it found something; fit one with --quality best, which tries tiles if the images "
                f"are large, or with --views {model.origin.backbone}@tiles"
            )

    def find(
        self, source: ImageSource, features: Mapping[str, Floats], label: int
    ) -> tuple[DecidingPlace, ...]:
        """Return the places by which an image was taken for a class, the most important first.

        There are none if no tile matters alone, as in images that have nothing special.

        Args:
            source: The image file, or its content.
            features: Its features, (1, width), of each of the model's stages.
            label: Index of the class.

        Raises:
            UnreadableImageError: It can no longer be read.
        """
        found: list[tuple[PixelBox, float]] = []
        for view, (extractor, tiles) in self._views.items():
            with one_large_image():
                image, scale = _decoded(source, tiles)
                grid, pixels = tiles.grid(image.size), tiles.prepare(image)
            tiled = _TiledImage(self._model, view, extractor, tiles, features, label)
            across, down = grid.scale
            for tile, window, rise in tiled.places(pixels):
                corner = grid.boxes()[tile]
                box = window.moved(corner.left, corner.top).scaled(across * scale, down * scale)
                found = _joined(found, box, rise)
        total = float(sum(rise for _, rise in found))
        ordered = sorted(found, key=lambda one: -one[1])
        return tuple(DecidingPlace(box=box, share=rise / total) for box, rise in ordered)


class _TiledImage:
    """What a model predicts for an image if it sees some of its tiles, and all other views."""

    def __init__(
        self,
        model: Model,
        view: View | None,
        extractor: Extractor,
        tiles: Tiles,
        features: Mapping[str, Floats],
        label: int,
    ) -> None:
        self._model, self._extractor, self._tiles = model, extractor, tiles
        self._features, self._label = features, label
        names = [*(one.name for one in extractor.backbone.outputs), LOGITS]
        known = [name if view is None else qualified(view, name) for name in names]
        self._places = {name: place for place, name in enumerate(known) if name in model.stages}

    def places(self, pixels: Pixels) -> Iterator[tuple[int, PixelBox, float]]:
        """Yield the tiles that decided, the place in each, and how much it raises the log-odds."""
        outputs = self._outputs(pixels)
        rest, left_out = list(range(len(pixels))), list[int]()
        alone = self._log_odds(outputs, [[tile] for tile in rest])
        # If it takes more than half of the tiles, no place decided.
        most = min(_MOST, max(1, len(pixels) // 2))
        while len(rest) > 1 and len(left_out) < most:
            without = self._log_odds(outputs, ([one for one in rest if one != t] for t in rest))
            # If two tiles show the same thing, nothing changes without one of them.
            left_out.append(rest.pop(int(np.lexsort((-alone[rest], without.round(2)))[0])))
            if without.min() < 0:
                break
        if len(pixels) == 1:
            rest, left_out = [], [0]
        base = self._log_odds(outputs, [rest])[0] if rest else -np.inf
        restored = self._log_odds(outputs, [[*rest, tile] for tile in left_out])
        for tile, odds in zip(left_out, restored.tolist(), strict=True):
            if odds - base < _LEAST:
                continue
            fall, window = self._window(outputs, rest, pixels[tile], odds)
            rise = odds - base if rest else fall
            if rise >= _LEAST:
                yield tile, window, float(rise)

    def _window(
        self, outputs: list[Floats], rest: Sequence[int], tile: Pixels, odds: float
    ) -> tuple[float, PixelBox]:
        """Return how far the odds of a tile fall at most if a window is hidden, and the window."""
        side, first = len(tile), len(outputs[0])
        # Another part of the same surface is less conspicuous than any color.
        elsewhere = np.roll(tile, (side // 2, side // 2), (0, 1))
        found, fall = PixelBox(0, 0, side, side), -np.inf
        while found.right - found.left >= 2 * _FINEST or fall == -np.inf:
            windows = _windows(found)
            hidden = np.repeat(tile[None], len(windows), axis=0)
            for copy, box in zip(hidden, windows, strict=True):
                part = slice(box.top, box.bottom), slice(box.left, box.right)
                copy[part] = elsewhere[part]
            pairs = zip(outputs, self._outputs(hidden), strict=True)
            both = [np.concatenate(pair) for pair in pairs]
            groups = [[*rest, first + row] for row in range(len(windows))]
            falls = odds - self._log_odds(both, groups)
            same = np.flatnonzero(falls >= min(_NEARLY * falls.max(), falls.max()))
            center = np.mean([windows[row] for row in same], axis=0).round().astype(int)
            found, fall = PixelBox(*center.tolist()), float(falls.max())
        return fall, found

    def _outputs(self, pixels: Pixels) -> list[Floats]:
        """Run (T, side, side, 3) through the network: (T, width) for each of its outputs."""
        engine = self._extractor.engine()
        with closing(engine.stream(stack_batches(iter(pixels), engine.batch))) as stream:
            parts = list(stream)
        used = set(self._places.values())
        return [
            # Outputs that the model does not use are left empty.
            np.concatenate(rows)[:, : None if place in used else 0]
            for place, rows in enumerate(zip(*parts, strict=True))
        ]

    def _log_odds(self, outputs: list[Floats], groups: Iterable[Sequence[int]]) -> Doubles:
        """Return the log-odds of the class, (G,), if the image consists of each group of tiles."""
        return np.concatenate([self._some_log_odds(outputs, some) for some in _chunks(groups)])

    def _some_log_odds(self, outputs: list[Floats], groups: Sequence[Sequence[int]]) -> Doubles:
        rows = np.concatenate([np.array(group, dtype=np.int64) for group in groups])
        starts = np.cumsum([0, *(len(group) for group in groups[:-1])])
        pooled = self._tiles.pool([one[rows] for one in outputs], starts)
        values = {
            stage: pooled[self._places[stage]]
            if stage in self._places
            else np.repeat(self._features[stage], len(groups), axis=0)
            for stage in self._model.stages
        }
        found = self._model.probabilities(values).astype(np.float64)
        own = found[:, self._label]
        others = np.delete(found, self._label, axis=1).sum(axis=1)
        odds: Doubles = np.log(np.maximum(own, _LOWEST)) - np.log(np.maximum(others, _LOWEST))
        return odds


def _chunks(groups: Iterable[Sequence[int]]) -> Iterator[list[Sequence[int]]]:
    """Yield groups of tiles, as many at once as have few enough rows together."""
    found: list[Sequence[int]] = []
    rows = 0
    for group in groups:
        if found and rows + len(group) > _ROWS:
            yield found
            found, rows = [], 0
        found.append(group)
        rows += len(group)
    yield found


def _windows(area: PixelBox) -> list[PixelBox]:
    """Return squares of half the side of an area, which overlap by half."""
    side = (area.right - area.left + 1) // 2
    starts = [0, side // 2, area.right - area.left - side]
    return [
        PixelBox(left, top, left + side, top + side).moved(area.left, area.top)
        for top in starts
        for left in starts
    ]


def _decoded(source: ImageSource, tiles: Tiles) -> tuple[Image.Image, float]:
    """Decode an image for tiles; also return how many times larger the original is."""
    asked: list[tuple[int, int]] = []

    def min_size(width: int, height: int) -> tuple[int, int]:
        asked.append((width, height))
        return tiles.min_decode_size(width, height)

    image = decode(read_bytes(source), min_size=min_size)
    # The longer sides, because the image may have been turned upright.
    return image, max(asked[0]) / max(image.size) if asked else 1.0


def _joined(
    found: Sequence[tuple[PixelBox, float]], box: PixelBox, rise: float
) -> list[tuple[PixelBox, float]]:
    """Add a place; of those that overlap, which show the same thing, keep what raises most."""
    same = [one for one in found if one[0].overlaps(box)]
    others = [one for one in found if not one[0].overlaps(box)]
    return [*others, max([*same, (box, rise)], key=lambda one: one[1])]
