"""One pass over image files: look up stored features, compute and store the missing ones."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
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
    """One pass over some files, for one or more views.

    Files are read and decoded by threads while the networks compute; only files whose features a
    store lacks are decoded. Networks are compiled only if there is such a file, and a file that the
    index knows to be unchanged is not even read.

    Args:
        paths: The files.
        views: What is needed of each view, under any names.
        index: The digests of unchanged files.
        notes: What had to be assumed when images were decoded earlier.
        progress: Called with (done, total) images, where each view of an image counts.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        views: Mapping[View | None, ViewPass],
        *,
        index: PathIndex | None,
        notes: NoteIndex,
        progress: ProgressCallback,
    ) -> None:
        self._paths, self._views, self._index = paths, views, index
        self._notes, self._progress = notes, progress
        self._digests: list[str | None] = [None] * len(paths)
        self._stored: dict[View | None, set[str]] = {}  # of the digests that the index knew
        self._skipped: list[Skipped] = []
        self._computed: set[str] = set()
        self._done = 0

    def run(self) -> bool:
        """Compute the missing features; return False if an engine had to be replaced."""
        if self._index is not None:
            self._digests = [self._index.digest(path) for path in self._paths]
        known = [digest for digest in self._digests if digest is not None]
        self._stored = {name: view.stored(known) for name, view in self._views.items()}
        complete = set.intersection(*self._stored.values())
        missing = [row for row, digest in enumerate(self._digests) if digest not in complete]
        self._advance(len(self._views) * (len(self._paths) - len(missing)))
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
        self._progress(self._done, len(self._views) * len(self._paths))

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
        path = self._paths[row]
        try:
            taken, status = time.time_ns(), _status(path)
            content = read_bytes(path)
            digest = bytes_digest(content)
            if self._index is not None and status is not None:
                self._index.remember(path, status, digest, taken=taken)
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
            return Skipped(str(path), str(error))

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
