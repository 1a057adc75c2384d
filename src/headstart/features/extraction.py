"""One pass over image files: look up stored features, compute and store the missing ones."""

from __future__ import annotations

import itertools
import os
import time
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from headstart.engines import EnginePlan, LazyEngine
from headstart.errors import UnreadableImageError
from headstart.features.buffer import FeatureBuffer
from headstart.features.note_index import NoteIndex
from headstart.features.path_index import PathIndex
from headstart.features.views import is_own
from headstart.images.decode import read_bytes
from headstart.images.identity import image_identities
from headstart.images.limits import one_large_image
from headstart.images.notes import ImageNote
from headstart.images.preprocessing import Preprocessing, decode_and_prepare
from headstart.system.digests import bytes_digest, hasher
from headstart.system.prefetch import prefetch
from headstart.types import Floats, Labels, Pixels, ProgressCallback, Skipped


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """The features of images.

    Attributes:
        values: Stage name -> (N, width) float32.
        rows: (N,) indices into the paths that were given; unreadable files are missing.
        digests: N digests of the files' bytes, 32 hex digits each.
        skipped: The files that could not be read, with reasons.
        notes: What had to be assumed when images were decoded, now or earlier, and their digests.
        plan: The engine and precision that computed the features.
        cached: Number of images, copies included, whose features were in the store.
        computed: Number of images that were run through the network.
        seconds: Duration of the extraction.
    """

    values: Mapping[str, Floats]
    rows: Labels
    digests: tuple[str, ...]
    skipped: tuple[Skipped, ...]
    notes: Mapping[ImageNote, frozenset[str]]
    plan: EnginePlan
    cached: int
    computed: int
    seconds: float

    def __len__(self) -> int:
        return len(self.rows)

    def own(self) -> Features:
        """Return the features of the first view alone."""
        own = {name: array for name, array in self.values.items() if is_own(name)}
        return self if len(own) == len(self.values) else replace(self, values=own)

    def identities(self, paths: Sequence[Path]) -> list[str]:
        """Return N strings, equal for images with the same bytes or pixels.

        Images with the same pixels have, to the last bit, the same features.

        Args:
            paths: The N image files.
        """
        hashes = [hasher() for _ in self.digests]
        for values in self.values.values():
            for one, row in zip(hashes, np.ascontiguousarray(values), strict=True):
                one.update(row)
        return image_identities(paths, self.digests, [one.hexdigest() for one in hashes])


class ExtractionPass:
    """One pass over some files.

    Files are read and decoded by threads while the network computes; only files whose features
    the store lacks are decoded. The engine is compiled only if there is such a file, and a file
    that the index knows to be unchanged is not even read.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        stages: Sequence[str],
        *,
        engine: LazyEngine,
        preprocessing: Preprocessing,
        buffer: FeatureBuffer,
        index: PathIndex | None,
        notes: NoteIndex,
        progress: ProgressCallback,
    ) -> None:
        self._paths, self._stages = paths, stages
        self._engine, self._preprocessing = engine, preprocessing
        self._buffer, self._index = buffer, index
        self._notes, self._progress = notes, progress
        self._digests: list[str | None] = [None] * len(paths)
        self._skipped: list[Skipped] = []
        self._computed: set[str] = set()
        self._done = 0

    def run(self) -> bool:
        """Compute the missing features; return False if the engine had to be replaced."""
        if self._index is not None:
            self._digests = [self._index.digest(path) for path in self._paths]
        stored = self._buffer.stored([d for d in self._digests if d is not None], self._stages)
        missing = [row for row, digest in enumerate(self._digests) if digest not in stored]
        self._advance(len(self._paths) - len(missing))
        plan = self._engine.plan
        images = self._missing_images(missing)
        try:
            for first in images:  # only an image that the store lacks needs a compiled network
                if self._engine.get().plan != plan:
                    return False
                self._compute(itertools.chain([first], images))
        finally:  # also on Ctrl-C: what has been computed is stored
            images.close()
            self._buffer.flush()
            self._notes.save()
            if self._index is not None:
                self._index.save()
        return True

    def result(self, started: float) -> Features:
        """Collect the features after a completed `run` that began at `started` (`perf_counter`).

        Raises:
            StoreError: Stored features have been deleted meanwhile.
        """
        digests = tuple(digest for digest in self._digests if digest is not None)
        return Features(
            values=self._buffer.values(digests, self._stages),
            rows=np.flatnonzero([digest is not None for digest in self._digests]),
            digests=digests,
            skipped=tuple(self._skipped),
            notes=self._notes.of(digests),
            plan=self._engine.plan,
            cached=sum(digest not in self._computed for digest in digests),
            computed=len(self._computed),
            seconds=time.perf_counter() - started,
        )

    def _advance(self, count: int) -> None:
        self._done += count
        self._progress(self._done, len(self._paths))

    def _compute(self, images: Iterator[tuple[str, Pixels]]) -> None:
        engine = self._engine.get()
        sent: deque[list[str]] = deque()

        def batches() -> Iterator[Pixels]:
            while batch := list(itertools.islice(images, engine.batch)):
                sent.append([digest for digest, _ in batch])
                yield np.stack([pixels for _, pixels in batch])

        with closing(engine.stream(batches())) as stream:
            for outputs in stream:
                digests = sent.popleft()
                self._buffer.add(digests, outputs)
                self._advance(len(digests))

    def _missing_images(self, rows: Sequence[int]) -> Generator[tuple[str, Pixels], None, None]:
        """Yield digests and prepared pixels of different images that the store lacks."""
        for row, result in prefetch(self._read, rows):
            if isinstance(result, Skipped):
                self._digests[row] = None
                self._skipped.append(result)
            else:
                digest, pixels = result
                self._digests[row] = digest
                if pixels is not None and digest not in self._computed:
                    self._computed.add(digest)
                    yield digest, pixels
                    continue
            self._advance(1)

    @one_large_image()
    def _read(self, row: int) -> tuple[str, Pixels | None] | Skipped:
        """Return, in a thread, a file's digest, and its pixels if the store lacks its features."""
        path = self._paths[row]
        try:
            taken, status = time.time_ns(), _status(path)
            content = read_bytes(path)
            digest = bytes_digest(content)
            if self._index is not None and status is not None:
                self._index.remember(path, status, digest, taken=taken)
            # The store has been searched for the digest that the index knew.
            if digest != self._digests[row] and self._buffer.stored([digest], self._stages):
                return digest, None
            notes: list[ImageNote] = []
            pixels = decode_and_prepare(content, self._preprocessing, on_note=notes.append)
            self._notes.add(digest, notes)
            return digest, pixels
        except UnreadableImageError as error:
            return Skipped(str(path), str(error))


def _status(path: Path) -> os.stat_result | None:
    """Return the status of a file; None if unavailable, in which case reading it will fail."""
    try:
        return path.stat()
    except (OSError, ValueError):
        return None
