"""Threads that predict the images of concurrent requests together, in batches."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Condition, Thread
from typing import Final

from headstart.models.online_prediction import OnlinePredictor, PreparedImage
from headstart.types import Floats

_HELD: Final = 256 * 2**20
"""Bytes of prepared images that wait, at most; then decoding waits. Images in tiles are large."""


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What a model says about an image.

    Attributes:
        probabilities: (K,) float32.
        novelty: In (0, 1]; None if the model cannot tell.
    """

    probabilities: Floats
    novelty: float | None


class Batcher:
    """One thread for each batch that the engine computes at a time.

    No image waits for others: a lane that is free takes as many of the waiting images as the engine
    likes best, and a single one if there is no more. So batches grow with the load.

    Args:
        predictor: The model, compiled.
        on_batch: Called with the number of images of each batch, in any thread.
    """

    def __init__(self, predictor: OnlinePredictor, *, on_batch: Callable[[int], None]) -> None:
        self._predictor, self._on_batch = predictor, on_batch
        self._changed = Condition()
        self._waiting: deque[tuple[PreparedImage, Future[Answer]]] = deque()
        self._bytes = 0
        self._closed = False
        self._threads = [
            Thread(target=self._run, name=f"lane {number}", daemon=True)
            for number in range(predictor.lanes)
        ]
        for thread in self._threads:
            thread.start()

    def put(self, image: PreparedImage, future: Future[Answer]) -> None:
        """Let an image be predicted, and the future have the answer.

        Waits while too many large images wait. Once the threads may end, the future is cancelled.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._has_room(image))
            if self._closed:
                future.cancel()
                return
            self._bytes += image.nbytes
            self._waiting.append((image, future))
            self._changed.notify()

    def _has_room(self, image: PreparedImage) -> bool:
        return not self._waiting or self._bytes + image.nbytes <= _HELD

    def close(self) -> None:
        """Accept no further images, and let the threads end when no image waits."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _run(self) -> None:
        while batch := self._next():
            images, futures = zip(*batch, strict=True)
            try:
                self._on_batch(len(images))
                found = self._predictor.predict(images)
            except BaseException as error:  # noqa: BLE001 - whoever waits is told
                for future in futures:
                    future.set_exception(error)
                continue
            for row, future in enumerate(futures):
                novelty = None if found.novelty is None else float(found.novelty[row])
                future.set_result(Answer(found.probabilities[row], novelty))

    def _next(self) -> list[tuple[PreparedImage, Future[Answer]]]:
        """Wait for images, and take a batch of those whose answer is wanted; none at the end."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return []
                count = self._predictor.next_batch(len(self._waiting))
                taken = [self._waiting.popleft() for _ in range(count)]
                self._bytes -= sum(image.nbytes for image, _ in taken)
                self._changed.notify_all()
                if batch := [one for one in taken if one[1].set_running_or_notify_cancel()]:
                    return batch
