"""One pass over images: look up stored features, compute and store the missing ones."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np

from headstart.engines import EnginePlan, compile_together
from headstart.errors import UnreadableImageError
from headstart.features.note_index import NoteIndex
from headstart.features.path_index import PathIndex
from headstart.features.view_pass import ViewPass
from headstart.features.views import View, is_own, qualified
from headstart.images.decode import read_bytes
from headstart.images.identity import image_identities
from headstart.images.limits import one_large_image
from headstart.images.notes import ImageNote
from headstart.images.presentation import present
from headstart.images.source import ImageSource
from headstart.system.digests import bytes_digest, hasher
from headstart.system.prefetch import prefetch
from headstart.types import Floats, Labels, Pixels, ProgressCallback, Skipped


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """The features of images.

    Attributes:
        values: Stage name -> (N, width) float32.
        rows: (N,) indices into the sources that were given; unreadable images are missing.
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

    @classmethod
    def joined(cls, parts: Sequence[Features], counts: Sequence[int]) -> Features:
        """Return the features of several parts of the same images, one after the other.

        Args:
            parts: P of them, at least one.
            counts: P numbers of images that the parts were extracted from, unreadable ones too.
        """
        if len(parts) == 1:
            return parts[0]
        starts = np.cumsum([0, *counts[:-1]])
        notes: dict[ImageNote, frozenset[str]] = {}
        for part in parts:
            for note, digests in part.notes.items():
                notes[note] = notes.get(note, frozenset()) | digests
        return cls(
            values={
                stage: np.concatenate([part.values[stage] for part in parts])
                for stage in parts[0].values
            },
            rows=np.concatenate(
                [start + part.rows for start, part in zip(starts, parts, strict=True)]
            ),
            digests=tuple(chain.from_iterable(part.digests for part in parts)),
            skipped=tuple(chain.from_iterable(part.skipped for part in parts)),
            notes=notes,
            plan=parts[-1].plan,
            cached=sum(part.cached for part in parts),
            computed=sum(part.computed for part in parts),
            seconds=sum(part.seconds for part in parts),
        )

    def own(self) -> Features:
        """Return the features of the first view alone."""
        own = {name: array for name, array in self.values.items() if is_own(name)}
        return self if len(own) == len(self.values) else replace(self, values=own)

    def identities(self, sources: Sequence[ImageSource]) -> list[str]:
        """Return N strings, equal for images with the same bytes or pixels.

        Images with the same pixels have, to the last bit, the same features.

        Args:
            sources: The N image files.
        """
        hashes = [hasher() for _ in self.digests]
        for values in self.values.values():
            for one, row in zip(hashes, np.ascontiguousarray(values), strict=True):
                one.update(row)
        return image_identities(sources, self.digests, [one.hexdigest() for one in hashes])


class ExtractionPass:
    """One pass over some images, for one or more views.

    Files are read and decoded by threads while the networks compute; only files whose features a
    store lacks are decoded. Networks are compiled only if there is such a file, and a file that the
    index knows to be unchanged is not even read.

    Args:
        sources: The files, or their contents.
        views: What is needed of each view, under any names.
        index: The digests of unchanged files.
        notes: What had to be assumed when images were decoded earlier.
        progress: Called with (done, total) images, where each view of an image counts.
    """

    def __init__(
        self,
        sources: Sequence[ImageSource],
        views: Mapping[View | None, ViewPass],
        *,
        index: PathIndex | None,
        notes: NoteIndex,
        progress: ProgressCallback,
    ) -> None:
        self._sources, self._views, self._index = sources, views, index
        self._notes, self._progress = notes, progress
        self._digests: list[str | None] = [None] * len(sources)
        self._stored: dict[View | None, set[str]] = {}  # of the digests that the index knew
        self._skipped: list[Skipped] = []
        self._computed: set[str] = set()
        self._done = 0

    def run(self) -> bool:
        """Compute the missing features; return False if an engine had to be replaced."""
        if self._index is not None:
            self._digests = [
                self._index.digest(source) if isinstance(source, Path) else None
                for source in self._sources
            ]
        known = [digest for digest in self._digests if digest is not None]
        self._stored = {name: view.stored(known) for name, view in self._views.items()}
        complete = set.intersection(*self._stored.values())
        missing = [row for row, digest in enumerate(self._digests) if digest not in complete]
        self._advance(len(self._views) * (len(self._sources) - len(missing)))
        images = self._missing_images(missing)
        with ExitStack() as at_end:  # also on Ctrl-C: what has been computed is stored
            if self._index is not None:
                at_end.callback(self._index.save)
            at_end.callback(self._notes.save)
            for view in self._views.values():
                at_end.callback(view.close)
            at_end.callback(images.close)
            for digest, shown in images:
                compile_together(self._views[name].engine for name in shown)
                if not all(self._views[name].compile() for name in shown):
                    return False
                for name, crops in shown.items():
                    self._count(self._views[name].add(digest, crops))
            for view in self._views.values():
                self._count(view.put_rest())
            for view in self._views.values():
                self._count(view.finish())
        return True

    def result(self, started: float) -> Features:
        """Collect the features after a completed `run` that began at `started` (`perf_counter`).

        Raises:
            StoreError: Stored features have been deleted meanwhile.
        """
        digests = tuple(digest for digest in self._digests if digest is not None)
        return Features(
            values={
                stage if name is None else qualified(name, stage): values
                for name, view in self._views.items()
                for stage, values in view.values(digests).items()
            },
            rows=np.flatnonzero([digest is not None for digest in self._digests]),
            digests=digests,
            skipped=tuple(self._skipped),
            notes=self._notes.of(digests),
            plan=next(iter(self._views.values())).plan,
            cached=sum(digest not in self._computed for digest in digests),
            computed=len(self._computed),
            seconds=time.perf_counter() - started,
        )

    def _count(self, finished: Iterable[int]) -> None:
        for images in finished:
            self._advance(images)

    def _advance(self, count: int) -> None:
        self._done += count
        self._progress(self._done, len(self._views) * len(self._sources))

    def _missing_images(
        self, rows: Sequence[int]
    ) -> Generator[tuple[str, dict[View | None, Pixels]], None, None]:
        """Yield digests and crops, by the view that lacks them, of different images."""
        for row, result in prefetch(self._read, rows, size=_bytes):
            shown: dict[View | None, Pixels] = {}
            if isinstance(result, Skipped):
                self._digests[row] = None
                self._skipped.append(result)
            else:
                digest, found = result
                self._digests[row] = digest
                if found and digest not in self._computed:
                    self._computed.add(digest)
                    shown = found
            if len(shown) < len(self._views):
                self._advance(len(self._views) - len(shown))
            if shown:
                yield digest, shown

    @one_large_image()
    def _read(self, row: int) -> tuple[str, dict[View | None, Pixels]] | Skipped:
        """Return, in a thread, a file's digest, and its crops for the views that lack it."""
        source = self._sources[row]
        try:
            content, digest = self._content(source)
            lacking = {
                name: view.presentation
                for name, view in self._views.items()
                if not self._is_stored(name, digest, known=digest == self._digests[row])
            }
            if not lacking:
                return digest, {}
            notes: list[ImageNote] = []
            shown = present(content, lacking, on_note=notes.append)
            self._notes.add(digest, notes)
            return digest, shown
        except UnreadableImageError as error:
            return Skipped(str(source), str(error))

    def _content(self, source: ImageSource) -> tuple[bytes, str]:
        """Read an image, and let the index remember the digest of a file."""
        taken, status = time.time_ns(), _status(source) if isinstance(source, Path) else None
        content = read_bytes(source)
        digest = bytes_digest(content)
        if isinstance(source, Path) and self._index is not None and status is not None:
            self._index.remember(source, status, digest, taken=taken)
        return content, digest

    def _is_stored(self, name: View | None, digest: str, *, known: bool) -> bool:
        """Whether a view has an image; the stores have been searched for those `known`."""
        return bool(digest in self._stored[name] if known else self._views[name].stored([digest]))


def _bytes(read: tuple[str, Mapping[View | None, Pixels]] | Skipped) -> int:
    return 0 if isinstance(read, Skipped) else sum(crops.nbytes for crops in read[1].values())


def _status(path: Path) -> os.stat_result | None:
    """Return the status of a file; None if unavailable, in which case reading it will fail."""
    try:
        return path.stat()
    except (OSError, ValueError):
        return None
