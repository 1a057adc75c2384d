"""What a prediction depends on, drawn over the image.

A map of colors needs a network with gradients, and PyTorch. For a model that sees images in tiles,
the places that decided are marked instead, which the server's own engine finds.
"""

from __future__ import annotations

import asyncio
import logging
import time
from base64 import b64encode
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

import numpy as np

from headstart.errors import HeadstartError, MissingExtraError
from headstart.images.decode import decode
from headstart.images.limits import at_most, one_large_image
from headstart.images.tiles import Tiles
from headstart.models.online_prediction import OnlinePredictor
from headstart.serving.errors import RequestError
from headstart.serving.predictions import Predicted
from headstart.serving.replica import Replica

if TYPE_CHECKING:
    from PIL import Image

    from headstart.models.deciding_places import DecidingPlace

_LONGEST: Final = 768
"""Longer side in pixels of what is drawn."""
_log = logging.getLogger(__name__)


class Method(StrEnum):
    """A way to explain, which depends on what the model sees."""

    GRAD_CAM = "grad-cam"
    PLACES = "places"

    @classmethod
    def of(cls, replica: Replica) -> Method:
        """Return the way that suits a model."""
        views = replica.extractor.by_view.values()
        tiles = any(isinstance(one.presentation, Tiles) for one in views)
        return cls.PLACES if tiles else cls.GRAD_CAM


@dataclass(frozen=True, slots=True)
class Drawing:
    """An explanation of a prediction.

    Attributes:
        method: How it was found.
        png: A PNG file.
        places: The places that decided, the most important first; None for maps of colors.
    """

    method: Method
    png: bytes
    places: Sequence[DecidingPlace] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        found = {"method": str(self.method), "png": b64encode(self.png).decode()}
        if self.places is None:
            return found
        return {**found, "places": [one.as_dict() for one in self.places]}


_Draw = Callable[[bytes, int], Drawing]
"""Explains why an image file was taken for a class."""


class Explanations:
    """Draws explanations in one thread, and keeps the networks with gradients.

    Args:
        max_pixels: Largest image.
    """

    def __init__(self, *, max_pixels: int) -> None:
        self._max_pixels = max_pixels
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="explain")
        self._drawers: WeakKeyDictionary[Replica, _Draw] = WeakKeyDictionary()

    async def draw(
        self, replica: Replica, predicted: Sequence[Predicted], *, timeout: float
    ) -> list[Drawing | None]:
        """Return a drawing for each image, None for unreadable ones.

        Raises:
            RequestError: The model cannot be explained here, or it takes too long.
        """
        work = asyncio.get_running_loop().run_in_executor(
            self._thread, self._draw_all, replica, list(predicted), time.monotonic() + timeout
        )
        try:
            return await asyncio.wait_for(work, timeout)
        except TimeoutError:
            raise RequestError(
                503,
                f"the explanation took more than {timeout:g} s; send fewer images",
                headers={"Retry-After": "5"},
            ) from None
        except MissingExtraError as error:
            _log.warning("cannot explain a model: %s", error)
            raise RequestError(
                501, "this server cannot explain predictions; its log says what to install"
            ) from error
        except HeadstartError as error:  # no gradient leads through its networks
            _log.warning("cannot explain a model: %s", error)
            raise RequestError(
                501, "this model cannot be explained here; the server's log says why"
            ) from error

    def close(self) -> None:
        """Accept no further work and cancel what waits."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _draw_all(
        self, replica: Replica, predicted: Sequence[Predicted], end: float
    ) -> list[Drawing | None]:
        if replica not in self._drawers:
            self._drawers[replica] = _drawer(replica)
        draw = self._drawers[replica]
        drawn: list[Drawing | None] = []
        with at_most(self._max_pixels):
            for one in predicted:
                if one.answer is None or one.image.content is None:
                    drawn.append(None)
                    continue
                if time.monotonic() > end:
                    raise TimeoutError  # nobody waits any longer
                drawn.append(draw(one.image.content, int(one.answer.probabilities.argmax())))
        return drawn


def _drawer(replica: Replica) -> _Draw:
    return _place_drawer(replica) if Method.of(replica) is Method.PLACES else _map_drawer(replica)


def _map_drawer(replica: Replica) -> _Draw:
    from headstart.inspection.inspected_network import InspectedNetwork

    extractor = replica.extractor
    others = {view: one.backbone for view, one in extractor.others.items()}
    network = InspectedNetwork(extractor.backbone, replica.model, others)
    _ = network.differentiable  # reports what is missing before PyTorch is imported
    from PIL import Image

    from headstart.inspection.explanation import Explainer
    from headstart.plots.overlays import overlay

    explainer = Explainer(network, (Method.GRAD_CAM,))

    @one_large_image()
    def draw(content: bytes, target: int) -> Drawing:
        shown, _ = _shown(content)
        heat = explainer.heat(content, target, shown_size=shown.size)
        drawn = Image.fromarray(overlay(np.asarray(shown), heat.values, heat.seen))
        return Drawing(Method.GRAD_CAM, _png(drawn))

    return draw


def _place_drawer(replica: Replica) -> _Draw:
    from headstart.images.marks import marked
    from headstart.images.source import ImageContent
    from headstart.models.deciding_places import DecidingPlaces

    predictor = OnlinePredictor(replica.model, replica.extractor)
    finder = DecidingPlaces(replica.model, replica.extractor)

    def draw(content: bytes, target: int) -> Drawing:
        features = predictor.features([predictor.prepare(content)])
        places = finder.find(ImageContent("the image", content), features, target)
        shown, scale = _shown(content)
        drawn = marked(shown, [one.box.scaled(scale, scale) for one in places])
        return Drawing(Method.PLACES, _png(drawn), places)

    return draw


def _shown(content: bytes) -> tuple[Image.Image, float]:
    """Return an image as it is drawn, and how many times as large as the file's it is."""
    sizes: list[tuple[int, int]] = []

    def min_size(width: int, height: int) -> tuple[int, int]:
        sizes.append((width, height))
        return _shown_size(width, height)

    image = decode(content, min_size=min_size)
    longest = max(*image.size, *(sizes[0] if sizes else ()))  # it may have been turned upright
    image.thumbnail((_LONGEST, _LONGEST))
    return image, max(image.size) / longest


def _png(image: Image.Image) -> bytes:
    file = BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def _shown_size(width: int, height: int) -> tuple[int, int]:
    scale = min(1.0, _LONGEST / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))
