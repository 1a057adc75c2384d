"""What the frozen trunk makes of several views of each picture, computed once and kept on disk.

One file of numbers a set of pictures: they are many (a picture's activation has ten thousands)
and serve one purpose, so they are not kept picture by picture as features are. A pass that was
interrupted goes on where it stopped.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from headstart.engines import Engine
from headstart.errors import DataError, HeadstartError, UnreadableImageError
from headstart.images.augmentation import Augmentation
from headstart.images.preprocessing import Preprocessing, prepare
from headstart.images.reading import EncodedImage
from headstart.system.cache_folder import cache_folder
from headstart.system.digests import bytes_digest
from headstart.system.files import write_file
from headstart.system.prefetch import prefetched, stacked
from headstart.types import Floats, Pixels, ProgressCallback, no_progress

KIND = "activations"
ROOM = 12 * 2**30
"""Bytes that activations may take; those of the oldest runs make room."""
_LARGEST = float(np.finfo(np.float16).max)
_SAVED_EVERY = 256
"""Images after which an interrupted pass can go on."""

Halves = npt.NDArray[np.float16]


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentedViews:
    """Which views of a picture there are.

    Attributes:
        count: K, the picture as it is (the first) included.
        augmentation: what the others may differ in.
        seed: of all chance; a picture's views depend on it and on the picture's bytes alone.
    """

    count: int
    augmentation: Augmentation
    seed: int

    def of(self, encoded: EncodedImage, digest: str, preprocessing: Preprocessing) -> Pixels:
        """All views of the picture in a file: (K, crop, crop, 3) uint8."""
        image = encoded.decode(partial(self.augmentation.least, preprocessing))
        chance = np.random.SeedSequence([self.seed, int(digest, 16)])
        others = [
            self.augmentation.view(image, preprocessing, np.random.default_rng(one))
            for one in chance.spawn(self.count - 1)
        ]
        return np.stack([prepare(image, preprocessing), *others])


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivationRequest:
    """What is to be computed.

    Attributes:
        paths: N files.
        digests: of their bytes, 32 hex digits each.
        views: of each.
        preprocessing: of the backbone.
        configuration: names everything of the trunk that may change a number.
        widths: features of each stage up to the cut.
        numbers: of one view's activation at the cut.
    """

    paths: Sequence[Path]
    digests: Sequence[str]
    views: AugmentedViews
    preprocessing: Preprocessing
    configuration: str
    widths: tuple[int, ...]
    numbers: int

    def key(self) -> str:
        """32 hex digits over all that the numbers depend on."""
        said = [self.configuration, asdict(self.views), self.widths, self.numbers]
        return bytes_digest(json.dumps([*said, list(self.digests)]).encode())


@dataclass(frozen=True, slots=True)
class Activations:
    """N pictures, K views of each; the first view is the picture as it is.

    Attributes:
        maps: (N, K, numbers) at the cut: float16, or uint8 pixels where there is no trunk.
        features: (N, K, width) float32 for each stage up to the cut.
    """

    maps: Halves | Pixels
    features: tuple[Floats, ...]


def activations(
    task: ActivationRequest,
    engine: Engine | None,
    root: Path,
    *,
    progress: ProgressCallback | None = None,
) -> Activations:
    """Look up what is kept, and compute what is not.

    Args:
        task: what.
        engine: runs the trunk; None where the cut comes before the first stage, so that the views
            themselves are kept.
        root: the cache folder.
        progress: called with (done, total) pictures.

    Raises:
        DataError: a file is no longer what it was.
        HeadstartError: there is no room on the disk.
    """
    try:
        folder = cache_folder(root, KIND) / task.key()
        return _Pass(task, engine, folder).run(progress or no_progress)
    except OSError as error:
        raise HeadstartError(
            f"cannot keep activations in {root / KIND} ({error.strerror or error}); make room, "
            "name another folder with --cache, or ask for fewer --views"
        ) from error


class _Pass:
    def __init__(self, task: ActivationRequest, engine: Engine | None, folder: Path) -> None:
        self.task, self.engine, self.folder = task, engine, folder
        count, views = len(task.paths), task.views.count
        halves = np.dtype(np.float16 if engine else np.uint8)
        self._forms = [
            ((count, views, task.numbers), halves),
            *(((count, views, width), np.dtype(np.float32)) for width in task.widths),
        ]

    def run(self, progress: ProgressCallback) -> Activations:
        total = len(self.task.paths)
        if not self._progress_file.exists():
            self._make_room()
        done = self._done()
        progress(done, total)
        if done < total:
            files = self._open("r+" if done else "w+")
            for first in range(done, total, _SAVED_EVERY):
                rows = range(first, min(first + _SAVED_EVERY, total))
                self._compute(rows, files, progress)
                for file in files:
                    file.flush()
                write_file(self._progress_file, str(rows.stop).encode())
        self._progress_file.touch()  # used last: the others make room first
        maps, *features = self._open("r")
        return Activations(maps, tuple(features))

    @property
    def _progress_file(self) -> Path:
        return self.folder / "done"

    def _done(self) -> int:
        """Pictures whose numbers are there, all of them: a file may have been lost."""
        try:
            done = int(self._progress_file.read_text())
            sizes = [self._file(place).stat().st_size for place in range(len(self._forms))]
        except (OSError, ValueError):
            return 0
        return done if sizes == self._sizes() else 0

    def _file(self, place: int) -> Path:
        return self.folder / f"{place}.bin"

    def _sizes(self) -> list[int]:
        return [int(np.prod(shape)) * dtype.itemsize for shape, dtype in self._forms]

    def _open(self, mode: Literal["r", "r+", "w+"]) -> list[np.memmap]:
        self.folder.mkdir(parents=True, exist_ok=True)
        return [
            np.memmap(self._file(place), dtype, mode, shape=shape)
            for place, (shape, dtype) in enumerate(self._forms)
        ]

    def _make_room(self) -> None:
        wanted = sum(self._sizes())
        # What was cut off before anything was saved takes its room too.
        others = [path for path in self.folder.parent.glob("*/") if path != self.folder]
        kept = sorted(others, key=_last_used)
        sizes = [sum(file.stat().st_size for file in one.iterdir()) for one in kept]
        while kept and sum(sizes) + wanted > ROOM:
            shutil.rmtree(kept.pop(0), ignore_errors=True)
            sizes.pop(0)
        free = shutil.disk_usage(self.folder.parent).free
        if wanted > free:
            raise OSError(None, f"{wanted / 1e9:.1f} GB needed, {free / 1e9:.1f} GB free")

    def _compute(self, rows: range, files: list[np.memmap], progress: ProgressCallback) -> None:
        pictures = prefetched(self._read, rows)
        if self.engine is None:
            for row, pixels in pictures:
                files[0][row] = pixels.reshape(len(pixels), -1)
                progress(row + 1, len(self.task.paths))
            return
        views = self.task.views.count
        flat = (one for _, pixels in pictures for one in pixels)
        with closing(self.engine.stream(stacked(flat, self.engine.batch))) as stream:
            place = rows.start * views
            for *features, maps in stream:
                # A number beyond float16 becomes the largest there is: infinity would spread.
                maps = np.clip(maps, -_LARGEST, _LARGEST)
                for file, values in zip(files, (maps, *features), strict=True):
                    file.reshape(-1, file.shape[-1])[place : place + len(values)] = values
                place += len(maps)
                progress(place // views, len(self.task.paths))

    def _read(self, row: int) -> Pixels:
        path, digest = self.task.paths[row], self.task.digests[row]
        with suppress(UnreadableImageError):
            image = EncodedImage.read(path)
            if image.digest() == digest:
                return self.task.views.of(image, digest, self.task.preprocessing)
        raise DataError(f"{path} has changed since it was first read; run the command again")


def _last_used(folder: Path) -> float:
    return max((file.stat().st_mtime for file in folder.iterdir()), default=0.0)
