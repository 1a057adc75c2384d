"""The models of a server, and everything that its routes share."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Final

from starlette.requests import Request

from headstart.errors import HeadstartError, UserError
from headstart.models.answers import is_known
from headstart.serving.admission import Admission
from headstart.serving.errors import RequestError
from headstart.serving.explanations import Explanations
from headstart.serving.metrics import Metrics
from headstart.serving.predictions import Predicted, predict_images
from headstart.serving.replica import Decoders, OpenExtractor, Replica, ServedModel
from headstart.serving.request_images import SentImage
from headstart.serving.settings import ModelSource, ServingSettings
from headstart.system.machine import cores

_LOOK_EVERY: Final = 1.0
"""Seconds between two looks at the folders."""
_TRY_EVERY: Final = 60.0
"""Seconds between two attempts to load a model that failed for no fault of its own."""
_log = logging.getLogger(__name__)


class Service:
    """The models that a process serves.

    Args:
        sources: Their names and folders.
        settings: Limits.
        open_extractor: Loads the networks of a model.
        unknown: Rate at which images of known classes are called unknown; None for never.

    Raises:
        HeadstartError: A model cannot be loaded.
    """

    def __init__(
        self,
        sources: Sequence[ModelSource],
        settings: ServingSettings,
        *,
        open_extractor: OpenExtractor,
        unknown: float | None,
    ) -> None:
        self.settings, self.unknown = settings, unknown
        self.metrics = Metrics()
        self.admission = Admission(
            queue=settings.queue, max_bytes=settings.max_bytes, timeout=settings.timeout
        )
        self.explanations = Explanations(max_pixels=settings.max_pixels)
        self._decoders = Decoders(max_pixels=settings.max_pixels)
        self.models = {
            source.name: ServedModel(
                source,
                open_extractor,
                decoders=self._decoders,
                on_batch=self.metrics.batches.observe,
            )
            for source in sources
        }
        with ThreadPoolExecutor(cores(), thread_name_prefix="load") as pool:
            loaded = list(pool.map(ServedModel.load, self.models.values()))
        for model, replica in zip(self.models.values(), loaded, strict=True):
            model.replace(replica)
            self.metrics.loads.labels(model.name, "loaded").inc()

    def replica(self, name: str, version: str | None = None) -> Replica:
        """Return what answers for a model now.

        Raises:
            RequestError: There is no such model, or not in this version.
        """
        if name not in self.models:
            names = ", ".join(self.models)
            raise RequestError(404, f"there is no model {name[:100]!r}; choose from {names}")
        current = self.models[name].current
        if version not in (None, current.version):
            raise RequestError(
                404, f"model {name} has the version {current.version}, not {version!r:.100}"
            )
        return current

    async def predict(
        self, name: str, replica: Replica, images: Sequence[SentImage]
    ) -> list[Predicted]:
        """Predict the images of a request with a model that the caller keeps in use.

        Raises:
            RequestError: There is too much to do, or it took too long.
        """
        with self.admission.work(len(images)):
            self.metrics.waiting.set(self.admission.images)
            try:
                found = await predict_images(replica, images, timeout=self.settings.timeout)
            finally:
                self.metrics.waiting.set(self.admission.images - len(images))
        for one in found:
            self.metrics.images.labels(name, self._result(one)).inc()
        return found

    def _result(self, one: Predicted) -> str:
        if one.answer is None:
            return "unreadable"
        return "unknown" if is_known(one.answer.novelty, self.unknown) is False else "known"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Watch the folders while the server runs, and stop all threads at the end."""
        watcher = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watcher.cancel()
            await asyncio.gather(watcher, return_exceptions=True)
            for model in self.models.values():
                model.current.retire()
            self._decoders.close()
            self.explanations.close()

    async def _watch(self) -> None:
        """Replace models whose folders change.

        If the new version cannot be loaded, the previous one stays in use.
        """
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            for model in self.models.values():
                await self._reload_if_changed(model)

    async def _reload_if_changed(self, model: ServedModel) -> None:
        was_missing = model.is_missing
        try:
            changed = await asyncio.to_thread(model.has_changed)
            if model.is_missing and not was_missing:
                _log.warning(
                    "the folder of model %s is gone, so the version in memory stays in use until "
                    "the server ends: %s",
                    model.name,
                    model.folder,
                )
            if not changed:
                return
            replica = await asyncio.to_thread(model.load)
        except Exception as error:  # noqa: BLE001 - the other models are watched on
            self.metrics.loads.labels(model.name, "refused").inc()
            if not isinstance(error, UserError):
                model.try_again(_TRY_EVERY)  # for lack of memory, disk or network: this may pass
            _log.warning(
                "cannot reload model %s, so the previous version stays in use: %s",
                model.name,
                error,
                exc_info=not isinstance(error, HeadstartError | MemoryError),
            )
            return
        model.replace(replica)
        await asyncio.to_thread(_collect_former)
        self.metrics.loads.labels(model.name, "loaded").inc()
        _log.info("model %r has been loaded again, version %s", model.name, replica.version)


def _collect_former() -> None:
    """Collect what is left of former models, which `gc.freeze` has kept from being collected."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def service_of(request: Request) -> Service:
    """Return the service of the app that a request came to."""
    found: Service = request.app.state.service
    return found
