"""What a prediction depends on, drawn over the image; needs PyTorch."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

import numpy as np

from headstart.errors import HeadstartError, MissingExtraError
from headstart.images.decode import decode
from headstart.images.limits import at_most, one_large_image
from headstart.serving.errors import RequestError
from headstart.serving.predictions import Predicted
from headstart.serving.replica import Replica

if TYPE_CHECKING:
    from headstart.inspection.explanation import Explainer

METHOD: Final = "grad-cam"
_LONGEST: Final = 768
"""Longer side in pixels of what is drawn."""
_log = logging.getLogger(__name__)


class Explanations:
    """Draws explanations in one thread, and keeps the networks with gradients.

    Args:
        max_pixels: Largest image.
    """

    def __init__(self, *, max_pixels: int) -> None:
        self._max_pixels = max_pixels
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="explain")
        self._explainers: WeakKeyDictionary[Replica, Explainer] = WeakKeyDictionary()

    async def draw(
        self, replica: Replica, predicted: Sequence[Predicted], *, timeout: float
    ) -> list[bytes | None]:
        """Return a PNG file for each image, None for unreadable ones.

        Raises:
            RequestError: The model cannot be explained here, or it takes too long.
        """
        work = asyncio.get_running_loop().run_in_executor(
            self._thread, self._draw_all, replica, list(predicted)
        )
        try:
            return await asyncio.wait_for(work, timeout)
        except TimeoutError:
            raise RequestError(
                503,
                f"the explanation took more than {timeout:g} seconds; send fewer images",
                headers={"Retry-After": "5"},
            ) from None
        except MissingExtraError as error:
            raise RequestError(501, f"this model cannot be explained here: {error}") from error
        except HeadstartError as error:  # no gradient leads through its networks
            _log.warning("cannot explain a model: %s", error)
            raise RequestError(
                501, "this model cannot be explained here; the server's log says why"
            ) from error

    def close(self) -> None:
        """Accept no further work and cancel what waits."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _draw_all(self, replica: Replica, predicted: Sequence[Predicted]) -> list[bytes | None]:
        if replica not in self._explainers:
            self._explainers[replica] = _explainer(replica)
        explainer = self._explainers[replica]
        with at_most(self._max_pixels):
            return [
                None
                if one.answer is None or one.image.content is None
                else _draw(explainer, one.image.content, int(one.answer.probabilities.argmax()))
                for one in predicted
            ]


def _explainer(replica: Replica) -> Explainer:
    from headstart.inspection.inspected_network import InspectedNetwork

    extractor = replica.extractor
    others = {view: one.backbone for view, one in extractor.others.items()}
    network = InspectedNetwork(extractor.backbone, replica.model, others)
    _ = network.differentiable  # reports what is missing before PyTorch is imported
    from headstart.inspection.explanation import Explainer

    return Explainer(network, (METHOD,))


@one_large_image()
def _draw(explainer: Explainer, content: bytes, target: int) -> bytes:
    from PIL import Image

    from headstart.plots.overlays import overlay

    shown = decode(content, min_size=_shown_size)
    shown.thumbnail((_LONGEST, _LONGEST))
    heat = explainer.heat(content, target, shown_size=shown.size)
    file = BytesIO()
    Image.fromarray(overlay(np.asarray(shown), heat.values, heat.seen)).save(file, "PNG")
    return file.getvalue()


def _shown_size(width: int, height: int) -> tuple[int, int]:
    scale = min(1.0, _LONGEST / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def as_data(png: bytes | None) -> dict[str, Any]:
    """Return the entry of an explanation in JSON; empty without one."""
    from base64 import b64encode

    if png is None:
        return {}
    return {"explanation": {"method": METHOD, "png": b64encode(png).decode()}}
