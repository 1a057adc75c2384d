"""A model in memory, ready to answer, and its replacement when its folder changes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import Any, Final

from headstart.features.extractor import Extractor
from headstart.images.limits import at_most
from headstart.models.model_card import model_card
from headstart.models.online_prediction import OnlinePredictor, PreparedImage
from headstart.models.saved_model import describe, load_model
from headstart.models.trained_model import Model
from headstart.serving.batcher import Answer, Batcher
from headstart.serving.settings import ModelSource
from headstart.system.machine import cores

BATCHES: Final = (1, 4)
"""Images per batch: one alone need not wait for others, and larger batches are no faster."""
_LARGE: Final = 4_000_000
"""Images of more pixels are decoded in threads of their own, so that no other waits for them."""

OpenExtractor = Callable[[Model], Extractor]
"""Loads the networks of a model."""


class Decoders:
    """Threads that decode images, for all models.

    Args:
        max_pixels: Largest image.

    Attributes:
        max_pixels: Largest image.
        small: Threads for all images, which leave large ones to the others.
        large: Threads for large images.
    """

    def __init__(self, *, max_pixels: int) -> None:
        self.max_pixels = max_pixels
        self.small = ThreadPoolExecutor(cores(), thread_name_prefix="image")
        self.large = ThreadPoolExecutor(cores(), thread_name_prefix="large image")

    def close(self) -> None:
        """Accept no further work and cancel what waits."""
        for pool in (self.small, self.large):
            pool.shutdown(wait=False, cancel_futures=True)


class Replica:
    """A version of a model, compiled.

    Args:
        model: The model.
        extractor: Its networks.
        decoders: Threads that decode images.
        on_batch: See `Batcher`.

    Attributes:
        model: The model.
        extractor: Its networks.
        version: 16 hex digits over what the model answers.
    """

    def __init__(
        self,
        model: Model,
        extractor: Extractor,
        *,
        decoders: Decoders,
        on_batch: Callable[[int], None],
    ) -> None:
        self.model = model
        self.extractor = replace(extractor.with_batches(*BATCHES), cache=None)
        self._predictor = OnlinePredictor(model, self.extractor)
        self._predictor.compile()
        self._decoders = decoders
        self._batcher = Batcher(self._predictor, on_batch=on_batch)
        self._users, self._retired = 0, False

    @cached_property
    def description(self) -> dict[str, Any]:
        """The manifest's entries, ready for JSON."""
        return describe(self.model)

    @cached_property
    def version(self) -> str:
        """16 hex digits that differ if the model's answers do."""
        return self.model.digest[:16]

    @cached_property
    def card(self) -> str:
        """The model card as Markdown."""
        return model_card(self.model)

    def predict(self, content: bytes) -> Future[Answer]:
        """Start to decode and predict an image.

        The future raises `UnreadableImageError` if it cannot be decoded. Until a batch has the
        image, the future can be cancelled, which ends the work on the image.
        """
        future: Future[Answer] = Future()
        self._decoders.small.submit(self._prepare_small, content, future)
        return future

    def _prepare_small(self, content: bytes, future: Future[Answer]) -> None:
        if future.cancelled():
            return
        with at_most(min(_LARGE, self._decoders.max_pixels)) as limit:
            outcome = self._prepared(content)
        if limit.exceeded:
            self._decoders.large.submit(self._prepare_large, content, future)
        else:
            self._pass_on(outcome, future)

    def _prepare_large(self, content: bytes, future: Future[Answer]) -> None:
        if future.cancelled():
            return
        with at_most(self._decoders.max_pixels):
            self._pass_on(self._prepared(content), future)

    def _prepared(self, content: bytes) -> PreparedImage | BaseException:
        try:
            return self._predictor.prepare(content)
        except BaseException as error:  # noqa: BLE001 - whoever waits is told
            return error

    def _pass_on(self, outcome: PreparedImage | BaseException, future: Future[Answer]) -> None:
        if not isinstance(outcome, BaseException):
            self._batcher.put(outcome, future)
        elif future.set_running_or_notify_cancel():
            future.set_exception(outcome)

    @contextmanager
    def use(self) -> Iterator[Replica]:
        """Keep the replica working while the block runs, also if it is retired meanwhile."""
        self._users += 1
        try:
            yield self
        finally:
            self._users -= 1
            self._close_if_done()

    def retire(self) -> None:
        """Free the replica when it has answered those who use it."""
        self._retired = True
        self._close_if_done()

    def _close_if_done(self) -> None:
        if self._retired and not self._users:
            self._batcher.close()


class ServedModel:
    """A model under a name. Its methods belong to the thread of the server, except for `load`.

    Args:
        source: Name and folder.
        open_extractor: Loads the networks.
        decoders: Threads that decode images.
        on_batch: See `Batcher`.

    Attributes:
        name: The name.
        folder: The folder.
        is_missing: Whether the folder was missing the last two times that it was looked for.
    """

    is_missing = False

    def __init__(
        self,
        source: ModelSource,
        open_extractor: OpenExtractor,
        *,
        decoders: Decoders,
        on_batch: Callable[[int], None],
    ) -> None:
        self.name, self.folder = source.name, source.folder
        self._open, self._decoders, self._on_batch = open_extractor, decoders, on_batch
        self._current: Replica | None = None
        self._seen = self._tried = self._state()
        self._next_try = math.inf

    @property
    def current(self) -> Replica:
        """The replica that answers; there is one from the first `replace` on."""
        assert self._current is not None
        return self._current

    def load(self) -> Replica:
        """Load the model from its folder.

        Raises:
            HeadstartError: It cannot be loaded.
        """
        model = load_model(self.folder)
        return Replica(model, self._open(model), decoders=self._decoders, on_batch=self._on_batch)

    def replace(self, replica: Replica) -> None:
        """Answer with another replica from now on; the previous one finishes its work."""
        former, self._current = self._current, replica
        if former is not None:
            former.retire()

    def has_changed(self) -> bool:
        """Whether the folder has new content, and rests since the last call.

        While files are being copied, or there is no folder for a moment, the model in memory goes
        on.
        """
        before, self._seen = self._seen, self._state()
        self.is_missing = before is None and self._seen is None
        if self._seen is None or self._seen != before:
            return False
        if self._seen == self._tried and time.monotonic() < self._next_try:
            return False
        self._tried, self._next_try = self._seen, math.inf
        return True

    def try_again(self, seconds: float) -> None:
        """Let the folder count as changed after some time, although it stays as it is."""
        self._next_try = time.monotonic() + seconds

    def _state(self) -> frozenset[tuple[str, int, int]] | None:
        """Return what changes whenever a file in the folder does; None if there is no folder."""
        try:
            return frozenset(
                (path.name, status.st_mtime_ns, status.st_size)
                for path in self.folder.iterdir()
                for status in [path.stat()]
            )
        except OSError:  # also if a file is removed at this moment
            return None
