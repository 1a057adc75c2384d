"""The rows of features that a pass collects, on their way to the store."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence

import numpy as np

from headstart.errors import BackboneError, StoreError
from headstart.features.store import FeatureStore
from headstart.types import Floats

_FLUSH_ROWS, _FLUSH_SECONDS = 2048, 2.0


class FeatureRows:
    """Features by digest: kept in the store where there is one, and in memory where not.

    Args:
        store: where they are kept; None keeps them in memory alone.
        widths: stage -> number of features, in the order of a network's outputs.
        warnings: where a sentence goes if the store cannot be written.
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

    def held(self, digests: Sequence[str], stages: Sequence[str]) -> set[str]:
        """Which of these are in the store; may be called from any thread."""
        if self._store is None or not digests:
            return set()
        unique = list(dict.fromkeys(digests))
        with self._lock:
            known = self._store.known(unique, stages)
        return {digest for digest, there in zip(unique, known, strict=True) if there}

    def add(self, digests: Sequence[str], outputs: list[Floats]) -> None:
        """Take a batch of the network's outputs.

        Raises:
            BackboneError: they are not numbers; kept, they would spoil every later run.
        """
        for name, values in zip(self._widths, outputs, strict=True):
            if not np.isfinite(values).all():
                raise BackboneError(
                    f"the network computes numbers that are not finite at {name!r}; its weights "
                    "are damaged, or try --precision f32"
                )
        self._digests.extend(digests)
        self._blocks.append(outputs)
        due = time.monotonic() - self._flushed > _FLUSH_SECONDS
        if due or len(self._digests) >= _FLUSH_ROWS:
            self.flush()

    def flush(self) -> None:
        """Bring what is in memory to the store, if that can be had."""
        self._flushed = time.monotonic()
        if self._store is None or not self._writable or not self._digests:
            return
        try:
            with self._lock:
                self._store.append(self._digests, self._joined())
        except StoreError as error:
            self._warnings.append(f"{error}; this run goes on and keeps no features")
            self._writable = False
        else:
            self._digests, self._blocks = [], []

    def _joined(self) -> dict[str, Floats]:
        return {
            name: np.concatenate([block[place] for block in self._blocks])
            for place, name in enumerate(self._widths)
        }

    def gather(self, digests: Sequence[str], stages: Sequence[str]) -> dict[str, Floats]:
        """(N, width) a stage, in the order of `digests`."""
        memory = {digest: row for row, digest in enumerate(self._digests)}
        rows = np.array([memory.get(digest, -1) for digest in digests], dtype=np.int64)
        there = rows >= 0
        joined = self._joined() if self._blocks else {}
        others = [digest for digest, row in zip(digests, rows, strict=True) if row < 0]
        stored = self._store.read(others, stages) if others and self._store else {}
        if others and not stored:
            raise StoreError(f"the features of {len(others)} images are nowhere")
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
