"""One view in a pass over images: its store, its engine, and the batches that are computed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from headstart.engines import LazyEngine
from headstart.engines.engine import BatchQueue
from headstart.features.buffer import FeatureBuffer
from headstart.images.presentation import Presentation
from headstart.types import Floats, Pixels


class ViewPass:
    """Looks up stored features, and computes those of the images that it is given.

    Batches span images: the crops of one may be in two batches, and a batch may have those of many.

    Args:
        stages: Names of the stages that are needed.
        engine: Runs the network.
        presentation: How images are shown to the network.
        buffer: Where the features come from and go to.

    Attributes:
        presentation: How images are shown to the network.
        engine: Runs the network.
        plan: The engine and precision that the features are of.
    """

    def __init__(
        self,
        stages: Sequence[str],
        *,
        engine: LazyEngine,
        presentation: Presentation,
        buffer: FeatureBuffer,
    ) -> None:
        self.presentation, self.engine, self.plan = presentation, engine, engine.plan
        self._stages, self._buffer = stages, buffer
        self._queue: BatchQueue | None = None
        self._crops: list[Pixels] = []  # (H, W, 3) each, less than a batch
        self._shown: deque[tuple[str, int]] = deque()  # digests, and how many crops they have
        self._rows: list[Floats] = []  # outputs of crops of an image that has more

    def stored(self, digests: Sequence[str]) -> set[str]:
        """Return which of these images are in the store. Safe to call from any thread."""
        return self._buffer.stored(digests, self._stages)

    def compile(self) -> bool:
        """Compile the network if needed; return False if another engine has to be used."""
        return self.engine.get().plan == self.plan

    def add(self, digest: str, crops: Pixels) -> Iterator[int]:
        """Run an image, (T, H, W, 3), once there is a full batch; yield how many more are done."""
        engine = self.engine.get()
        if self._queue is None:
            self._queue = engine.queue()
        self._shown.append((digest, len(crops)))
        self._crops.extend(crops)
        while len(self._crops) >= engine.batch:
            yield from self._put(engine.batch)

    def put_rest(self) -> Iterator[int]:
        """Run the images that do not fill a batch; yield how many more are done."""
        if self._crops:
            yield from self._put(len(self._crops))

    def finish(self) -> Iterator[int]:
        """Wait for the batches that are computed; yield how many more images are done."""
        if self._queue is not None:
            yield from self._store(self._queue.finish())

    def close(self) -> None:
        """Store what has been computed."""
        if self._queue is not None:
            self._queue.close()
        self._buffer.flush()

    def values(self, digests: Sequence[str]) -> dict[str, Floats]:
        """Return stage name -> (N, width) float32, in the order of the N digests.

        Raises:
            StoreError: Stored features have been deleted meanwhile.
        """
        return self._buffer.values(digests, self._stages)

    def _put(self, count: int) -> Iterator[int]:
        assert self._queue is not None
        batch, self._crops = self._crops[:count], self._crops[count:]
        yield from self._store(self._queue.put(np.stack(batch)))

    def _store(self, batches: Iterable[list[Floats]]) -> Iterator[int]:
        """Store the features of the images whose crops are all done; yield how many they are."""
        for outputs in batches:
            if self._rows:
                pairs = zip(self._rows, outputs, strict=True)
                outputs = [np.concatenate(pair) for pair in pairs]
            digests, starts, end = [], [], 0
            while self._shown and end + self._shown[0][1] <= len(outputs[0]):
                digest, count = self._shown.popleft()
                digests.append(digest)
                starts.append(end)
                end += count
            self._rows = [rows[end:] for rows in outputs] if end < len(outputs[0]) else []
            if digests:
                whole = [rows[:end] for rows in outputs]
                self._buffer.add(digests, self.presentation.pool(whole, np.array(starts)))
                yield len(digests)
