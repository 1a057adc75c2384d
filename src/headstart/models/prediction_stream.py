"""Predictions one after the other, for images that never end."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from headstart.errors import UserError
from headstart.images.decode import read_bytes
from headstart.images.limits import one_large_image
from headstart.images.source import ImageSource
from headstart.models.answers import is_known
from headstart.models.image_sources import image_source
from headstart.models.online_prediction import OnlinePredictor, PreparedImage
from headstart.novelty.detector import DEFAULT_RATE
from headstart.system.prefetch import prefetch
from headstart.types import ClassProbability, Floats

_SHOWN: Final = ("label", "probability", "novelty", "known")
"""What the `repr` of a prediction has."""
_HELD: Final = 256 * 2**20
"""Bytes of prepared images that are predicted at once."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ImagePrediction:
    """What a model says about one image.

    Attributes:
        image: Its path, or for one in memory its position, such as "image 3".
        classes: (K,) the classes, as in `Classifier.classes_`.
        probabilities: (K,) float32, with sum 1; None if the image cannot be read.
        novelty: As in `headstart.Predictions`; None if it is not known.
        error: Why the image cannot be read; None if it can.
    """

    image: str
    classes: np.ndarray
    probabilities: Floats | None = None
    novelty: float | None = None
    error: str | None = None

    @property
    def label(self) -> Any:
        """The most probable class, as it was given to `fit`; None if the image cannot be read."""
        found = self.top(1)
        return found[0].label if found else None

    @property
    def probability(self) -> float | None:
        """The probability of `label`, in [0, 1]."""
        return None if self.probabilities is None else float(self.probabilities.max())

    @property
    def known(self) -> bool | None:
        """Whether the image looks like one of the classes, as in `headstart.Predictions`."""
        return is_known(self.novelty, DEFAULT_RATE)

    def top(self, count: int) -> list[ClassProbability]:
        """Return up to `count` most probable classes, the best first; none if it is unreadable."""
        if self.probabilities is None:
            return []
        best = np.argsort(-self.probabilities, kind="stable")[: max(0, count)]
        return [
            ClassProbability(self.classes[index].item(), float(self.probabilities[index]))
            for index in best
        ]

    def __repr__(self) -> str:
        known = {"image": self.image} | (
            {"error": self.error} if self.error else {name: getattr(self, name) for name in _SHOWN}
        )
        return f"ImagePrediction({', '.join(f'{name}={one!r}' for name, one in known.items())})"


class PredictionStream:
    """Predicts images in the order in which they come, in bounded memory.

    Args:
        predictor: Runs the model.
        classes: (K,) the classes, as they are to be returned.
        batch: Number of images that are predicted together. With 1, an image is only taken when its
            prediction is asked for; with more, threads decode some images ahead.

    Raises:
        UserError: `batch` is not a whole number of at least 1.
    """

    def __init__(self, predictor: OnlinePredictor, classes: np.ndarray, *, batch: int) -> None:
        if not isinstance(batch, int | np.integer) or batch < 1:
            raise UserError(f"batch is {batch!r}; give the number of images, 1 or more")
        self._predictor, self._classes, self._batch = predictor, classes, batch

    def predict(self, images: Iterable[Any]) -> Generator[ImagePrediction]:
        """Yield a prediction for each image, also for those that cannot be read.

        If the iterable fails, what came before is predicted, and then its exception is raised.
        """
        taken = _Taken(images)
        if self._batch == 1:
            for one in taken:
                yield from self._together([self._prepare(one)])
        else:
            with closing(prefetch(self._prepare, taken, size=_size)) as prepared:
                held: list[_Prepared] = []
                for _, image in prepared:
                    held.append(image)
                    if len(held) == self._batch or sum(map(_size, held)) > _HELD:
                        yield from self._together(held)
                        held = []
                yield from self._together(held)
        if taken.failure is not None:
            raise taken.failure

    def _prepare(self, taken: _TakenImage) -> _Prepared:
        """Decode an image, in any thread."""
        found = ImagePrediction(image=taken.name, classes=self._classes, error=taken.error)
        if taken.source is None:
            return found, None
        try:
            with one_large_image():
                return found, self._predictor.prepare(read_bytes(taken.source))
        except UserError as error:
            return replace(found, error=str(error)), None

    def _together(self, prepared: Sequence[_Prepared]) -> Iterator[ImagePrediction]:
        readable = [shown for _, shown in prepared if shown is not None]
        if readable:
            said = self._predictor.predict(readable)
            rows = iter(range(len(readable)))
        for one, shown in prepared:
            if shown is None:
                yield one
            else:
                row = next(rows)
                yield replace(
                    one,
                    probabilities=said.probabilities[row],
                    novelty=None if said.novelty is None else float(said.novelty[row]),
                )


_Prepared = tuple[ImagePrediction, PreparedImage | None]


@dataclass(frozen=True, slots=True)
class _TakenImage:
    """An image, its name, and why it cannot be used."""

    name: str
    source: ImageSource | None
    error: str | None = None


class _Taken(Iterator[_TakenImage]):
    """The images up to the end or the first failure, copied: a camera may reuse its buffer."""

    def __init__(self, images: Iterable[Any]) -> None:
        self._images = enumerate(images)
        self.failure: Exception | None = None

    def __next__(self) -> _TakenImage:
        try:
            place, image = next(self._images)
        except StopIteration:
            raise
        except Exception as error:  # noqa: BLE001 - raised again after what came before
            self.failure = error
            raise StopIteration from None
        name = f"image {place}"
        try:
            with one_large_image():
                source = image_source(image, name)
            return _TakenImage(str(source), source)
        except UserError as error:
            return _TakenImage(name, None, str(error))


def _size(prepared: _Prepared) -> int:
    return 0 if prepared[1] is None else prepared[1].nbytes
