"""A buffer of computed features that is written to the store from time to time."""

import threading
import time
from collections.abc import Mapping, Sequence

import numpy as np

from headstart.errors import BackboneError, StoreError
from headstart.features.store import FeatureStore
from headstart.system.text import pluralize
from headstart.types import Floats

_FLUSH_ROWS, _FLUSH_SECONDS = 2048, 2.0


class FeatureBuffer:
    """Features by image digest, in memory until they are written to the store.

    Args:
        store: Where features are stored; None keeps them in memory only.
        widths: Stage name -> number of features, in the order of the network's outputs.
        warnings: List to which a warning is added if the store cannot be written.
    """

    def __init__(
        self, store: FeatureStore | None, widths: Mapping[str, int], warnings: list[str]
    ) -> None:
        self._store = store
        self._writable = store is not None
        self._widths = widths
        self._warnings = warnings
        self._lock = threading.Lock()
        self._digests: list[str] = []  # of the rows in memory
        self._blocks: list[list[Floats]] = []
        self._flushed = time.monotonic()

    def stored(self, digests: Sequence[str], stages: Sequence[str]) -> set[str]:
        """Return which of these images are in the store. Safe to call from any thread."""
        if self._store is None or not digests:
            return set()
        unique = list(dict.fromkeys(digests))
        with self._lock:
            contained = self._store.contains(unique, stages)
        return {digest for digest, there in zip(unique, contained, strict=True) if there}

    def add(self, digests: Sequence[str], outputs: list[Floats]) -> None:
        """Add a batch: N digests, and the network's outputs, (N, width) each.

        Raises:
            BackboneError: The outputs contain NaN or infinity.
        """
        outputs = outputs[: len(self._widths)]  # without classes, there are no logits to keep
        for name, values in zip(self._widths, outputs, strict=True):
            if not np.isfinite(values).all():  # stored, they would affect every later run
                raise BackboneError(
                    f"the network's output at {name!r} contains NaN or infinity; its weights are "
                    "damaged, or try --precision f32"
                )
        self._digests.extend(digests)
        self._blocks.append(outputs)
        due = time.monotonic() - self._flushed > _FLUSH_SECONDS
        if due or len(self._digests) >= _FLUSH_ROWS:
            self.flush()

    def flush(self) -> None:
        """Move the features in memory to the store; they stay in memory if it cannot be written."""
        self._flushed = time.monotonic()
        if self._store is None or not self._writable or not self._digests:
            return
        try:
            with self._lock:
                self._store.append(self._digests, self._joined())
        except StoreError as error:
            self._warnings.append(f"{error}; this run continues without storing features")
            self._writable = False
        else:
            self._digests, self._blocks = [], []

    def values(self, digests: Sequence[str], stages: Sequence[str]) -> dict[str, Floats]:
        """Return stage name -> (N, width) float32, in the order of the N digests.

        Raises:
            StoreError: Features are neither in memory nor in the store.
        """
        in_memory = {digest: row for row, digest in enumerate(self._digests)}
        rows = np.array([in_memory.get(digest, -1) for digest in digests], dtype=np.int64)
        there = rows >= 0
        joined = self._joined() if self._blocks else {}
        others = [digest for digest, row in zip(digests, rows, strict=True) if row < 0]
        stored = self._store.read(others, stages) if others and self._store else {}
        if others and not stored:
            raise StoreError(f"the features of {pluralize(len(others), 'image')} are missing")
        if stored and not joined:
            return stored
        values = {}
        for stage in stages:
            values[stage] = np.empty((len(digests), self._widths[stage]), np.float32)
            if joined:
                values[stage][there] = joined[stage][rows[there]]
            if stored:
                values[stage][~there] = stored[stage]
        return values

    def _joined(self) -> dict[str, Floats]:
        return {
            name: np.concatenate([block[place] for block in self._blocks])
            for place, name in enumerate(self._widths)
        }
