"""Predictions of the images in a request, and how they are told in JSON."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from headstart.errors import UnreadableImageError
from headstart.models.answers import is_known
from headstart.serving.batcher import Answer
from headstart.serving.errors import RequestError
from headstart.serving.replica import Replica
from headstart.serving.request_images import SentImage

_NO_READER: Final = "the server cannot read this format; send the image as JPEG or PNG"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Predicted:
    """An image, and what a model says about it.

    Attributes:
        image: The image.
        answer: What the model says; None if it could not be decoded.
        error: Why not.
    """

    image: SentImage
    answer: Answer | None = None
    error: str | None = None

    def as_dict(self, replica: Replica, *, top: int, unknown: float | None) -> dict[str, Any]:
        """Return an object for JSON.

        Args:
            replica: The model that said it.
            top: Number of classes.
            unknown: The rate at which images of known classes are called unknown; None for never.
        """
        name = {} if self.image.name is None else {"name": self.image.name}
        if self.answer is None:
            return {**name, "error": self.error}
        p, novelty = self.answer.probabilities, self.answer.novelty
        order = np.argsort(-p, kind="stable")[:top].tolist()
        classes = replica.model.classes
        guesses = [{"label": classes[row], "probability": float(p[row])} for row in order]
        return {
            **name,
            **guesses[0],
            "known": is_known(novelty, unknown),
            "novelty": novelty,
            "top": guesses,
        }


async def predict_images(
    replica: Replica, images: Sequence[SentImage], *, timeout: float
) -> list[Predicted]:
    """Predict images; those that cannot be decoded do not affect the others.

    Raises:
        RequestError: It took too long, or the model is damaged.
    """
    futures = [
        None if one.content is None else asyncio.wrap_future(replica.predict(one.content))
        for one in images
    ]
    waiting = [one for one in futures if one is not None]
    if waiting:
        done, late = await asyncio.wait(waiting, timeout=timeout)
        for one in late:
            one.cancel()
        if late:
            for one in done:
                one.exception()  # else asyncio logs it
            raise RequestError(
                503,
                f"the answer took more than {timeout:g} s; send fewer or smaller images",
                headers={"Retry-After": "1"},
            )
    return [_predicted(image, future) for image, future in zip(images, futures, strict=True)]


def _predicted(image: SentImage, future: asyncio.Future[Answer] | None) -> Predicted:
    if future is None:
        return Predicted(image, error=image.error)
    try:
        return Predicted(image, future.result())
    except UnreadableImageError as error:
        if isinstance(error.__cause__, ImportError):  # what to install is for who runs the server
            _log.warning("an image could not be read: %s", error)
            return Predicted(image, error=_NO_READER)
        return Predicted(image, error=str(error))
    except Exception as error:
        _log.exception("a prediction failed")
        raise RequestError(
            500, "the model failed on this image; the server's log says why"
        ) from error
