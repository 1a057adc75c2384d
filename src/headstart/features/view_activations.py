"""Activations of the frozen trunk for several views of each image, computed once and stored.

An activation has tens of thousands of values and serves a single fine-tuning, so there is one set
of files per data set, unlike for features. An interrupted pass continues where it stopped.
"""

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
from headstart.images.decode import decode, read_bytes
from headstart.images.limits import one_large_image
from headstart.images.preprocessing import Preprocessing, prepare
from headstart.system.cache_folder import cache_folder
from headstart.system.digests import bytes_digest
from headstart.system.files import atomic_write, read_regular, reserve
from headstart.system.prefetch import prefetch, stack_batches
from headstart.types import Floats, Pixels, ProgressCallback, no_progress

KIND = "activations"
ROOM = 12 * 2**30
"""Bytes that activations may take on disk; the least recently used are deleted."""
_LARGEST = float(np.finfo(np.float16).max)
_MAX_DIGITS = 20
_SAVED_EVERY = 256
"""Images between two points from which an interrupted pass can continue."""

Halves = npt.NDArray[np.float16]


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentedViews:
    """The views of each image.

    Attributes:
        count: K, the number of views; the first is the image without augmentation.
        augmentation: How the other views differ.
        seed: Random seed; an image's views depend on it and on the bytes of the file alone.
    """

    count: int
    augmentation: Augmentation
    seed: int

    def of(self, content: bytes, digest: str, preprocessing: Preprocessing) -> Pixels:
        """Return all views, (K, crop, crop, 3) uint8, of a file with this content and digest."""
        enough = partial(self.augmentation.min_decode_size, preprocessing)
        image = decode(content, min_size=enough)
        seeds = np.random.SeedSequence([self.seed, int(digest, 16)]).spawn(self.count - 1)
        others = [
            self.augmentation.view(image, preprocessing, np.random.default_rng(seed))
            for seed in seeds
        ]
        return np.stack([prepare(image, preprocessing), *others])


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivationRequest:
    """The activations to compute.

    Attributes:
        paths: N image files.
        digests: N digests of their bytes, 32 hex digits each.
        views: The views of each image.
        preprocessing: What the backbone expects.
        configuration: Identifies everything about the trunk that may change a value.
        widths: Number of features of each stage up to the cut.
        numbers: Number of values of one view's activation at the cut.
    """

    paths: Sequence[Path]
    digests: Sequence[str]
    views: AugmentedViews
    preprocessing: Preprocessing
    configuration: str
    widths: tuple[int, ...]
    numbers: int

    def key(self) -> str:
        """Return 32 hex digits over everything that the activations depend on."""
        inputs = [self.configuration, asdict(self.views), self.widths, self.numbers]
        return bytes_digest(json.dumps([*inputs, list(self.digests)]).encode())


@dataclass(frozen=True, slots=True)
class Activations:
    """The activations of K views of N images; the first view is without augmentation.

    Attributes:
        maps: (N, K, numbers) at the cut: float16, or uint8 pixels if there is no trunk.
        features: (N, K, width) float32 for each stage up to the cut.
    """

    maps: Halves | Pixels
    features: tuple[Floats, ...]


def activations(
    task: ActivationRequest,
    engine: Engine | None,
    root: Path,
    *,
    progress: ProgressCallback = no_progress,
) -> Activations:
    """Read the stored activations, and compute the missing ones.

    Args:
        task: The activations to compute.
        engine: Runs the trunk; None if the cut is before the first stage, so that the views
            themselves are stored.
        root: The cache folder.
        progress: Called with (done, total) images.

    Raises:
        DataError: A file has changed.
        HeadstartError: There is not enough space on the disk.
    """
    try:
        folder = cache_folder(root, KIND) / task.key()
        return _Pass(task, engine, folder).run(progress)
    except OSError as error:
        raise HeadstartError(
            f"cannot store activations in {root / KIND} ({error.strerror or error}); free some "
            "space, choose another folder with --cache, or use fewer --views"
        ) from error


class _Pass:
    def __init__(self, task: ActivationRequest, engine: Engine | None, folder: Path) -> None:
        self.task, self.engine, self.folder = task, engine, folder
        count, views = len(task.paths), task.views.count
        dtype = np.dtype(np.float16 if engine else np.uint8)
        self._arrays = [
            ((count, views, task.numbers), dtype),
            *(((count, views, width), np.dtype(np.float32)) for width in task.widths),
        ]

    def run(self, progress: ProgressCallback) -> Activations:
        total = len(self.task.paths)
        if not self._progress_file.exists():
            self._free_space()
        done = self._done()
        progress(done, total)
        if done < total:
            files = self._open("r+" if done else "w+")
            for first in range(done, total, _SAVED_EVERY):
                rows = range(first, min(first + _SAVED_EVERY, total))
                self._compute(rows, files, progress)
                for file in files:
                    file.flush()
                atomic_write(self._progress_file, str(rows.stop).encode())
        self._progress_file.touch()  # mark as most recently used
        maps, *features = self._open("r")
        return Activations(maps, tuple(features))

    @property
    def _progress_file(self) -> Path:
        return self.folder / "done"

    def _done(self) -> int:
        """Return the number of images whose activations are stored; 0 if a file has been lost."""
        try:
            done = int(read_regular(self._progress_file, limit=_MAX_DIGITS))
            sizes = [self._file(place).stat().st_size for place in range(len(self._arrays))]
        except (OSError, ValueError):
            return 0
        return done if sizes == self._sizes() else 0

    def _file(self, place: int) -> Path:
        return self.folder / f"{place}.bin"

    def _sizes(self) -> list[int]:
        return [int(np.prod(shape)) * dtype.itemsize for shape, dtype in self._arrays]

    def _open(self, mode: Literal["r", "r+", "w+"]) -> list[np.memmap]:
        self.folder.mkdir(parents=True, exist_ok=True)
        files = []
        for place, (shape, dtype) in enumerate(self._arrays):
            with self._file(place).open(f"{mode}b") as file:
                if mode == "w+":
                    reserve(file, self._sizes()[place])
                files.append(np.memmap(file, dtype, "r" if mode == "r" else "r+", shape=shape))
        return files

    def _free_space(self) -> None:
        wanted = sum(self._sizes())
        # Including passes that were interrupted before they saved anything.
        others = [path for path in self.folder.parent.glob("*/") if path != self.folder]
        others.sort(key=lambda one: max((f.stat().st_mtime for f in one.iterdir()), default=0.0))
        sizes = [sum(file.stat().st_size for file in one.iterdir()) for one in others]
        while others and sum(sizes) + wanted > ROOM:
            shutil.rmtree(others.pop(0), ignore_errors=True)
            sizes.pop(0)
        free = shutil.disk_usage(self.folder.parent).free
        if wanted > free:
            raise OSError(None, f"{wanted / 1e9:.1f} GB needed, {free / 1e9:.1f} GB free")

    def _compute(self, rows: range, files: list[np.memmap], progress: ProgressCallback) -> None:
        images = prefetch(self._read, rows)
        if self.engine is None:
            for row, pixels in images:
                files[0][row] = pixels.reshape(len(pixels), -1)
                progress(row + 1, len(self.task.paths))
            return
        views = self.task.views.count
        flat = (one for _, pixels in images for one in pixels)
        with closing(self.engine.stream(stack_batches(flat, self.engine.batch))) as stream:
            place = rows.start * views
            for *features, maps in stream:
                # Values beyond float16 are clipped: infinity would spread through the tail.
                maps = np.clip(maps, -_LARGEST, _LARGEST)
                for file, values in zip(files, (maps, *features), strict=True):
                    file.reshape(-1, file.shape[-1])[place : place + len(values)] = values
                place += len(maps)
                progress(place // views, len(self.task.paths))

    @one_large_image()
    def _read(self, row: int) -> Pixels:
        path, digest = self.task.paths[row], self.task.digests[row]
        with suppress(UnreadableImageError):
            content = read_bytes(path)
            if bytes_digest(content) == digest:
                return self.task.views.of(content, digest, self.task.preprocessing)
        raise DataError(f"{path} has changed since it was first read; run the command again")
