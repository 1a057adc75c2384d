"""Predict the images in a folder, those that are there and those that arrive."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any, Final

from headstart.datasets.image_tree import is_litter
from headstart.datasets.unlabeled import find_images
from headstart.errors import DataError, MissingExtraError, UnreadableImageError
from headstart.images.decode import read_bytes
from headstart.images.formats import looks_like_image
from headstart.models.answers import AnswerRule, is_known
from headstart.models.online_prediction import OnlinePredictor, PreparedImage
from headstart.models.trained_model import Model
from headstart.serving.prediction_log import LoggedPrediction, PredictionLog
from headstart.system.digests import bytes_digest
from headstart.system.machine import cores

SETTLED: Final = 1.0
"""Seconds without a change after which a file counts as complete: copies take time to arrive."""
PATIENCE: Final = 30.0
"""Seconds without a change after which a file that cannot be read counts as damaged: until then,
whoever writes it may have paused."""
_BATCH: Final = 32
"""Images that are decoded, predicted and logged together."""


@dataclass(frozen=True, slots=True)
class LoggedImage:
    """An image that has a row.

    Attributes:
        path: The file.
        row: Its row.
        is_new: Whether the row was written now, not by an earlier run.
        earlier_answers: What the answers were before the file was replaced; "" for none.
    """

    path: Path
    row: LoggedPrediction
    is_new: bool
    earlier_answers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _ReadImage:
    """An image with its row, which is incomplete if there is something to predict."""

    logged: LoggedImage
    prepared: PreparedImage | None = None


@dataclass(frozen=True, slots=True)
class _State:
    """The size and modification time of a file, and since when it has had both."""

    size: int
    modified: int
    since: float


class FolderWatch:
    """Predicts the images in a folder, at any depth.

    Args:
        folder: The folder.
        predictor: Predicts the images.
        trained: The model, for its classes and its digest.
        log: Gets a row for each image; an image that has one is not predicted again.
        rule: When the most probable class of an image is the answer.
        on_unread: Called with the file and the reason, once for each file that cannot be read yet,
            and is tried again.
    """

    def __init__(
        self,
        folder: Path,
        predictor: OnlinePredictor,
        trained: Model,
        log: PredictionLog,
        *,
        rule: AnswerRule,
        on_unread: Callable[[Path, str], None] = lambda *_: None,
    ) -> None:
        self._folder = folder.resolve()  # which is how changes are reported
        self._predictor, self._classes, self._model = predictor, trained.classes, trained.digest
        self._log, self._rule, self._on_unread = log, rule, on_unread
        self._unread: dict[Path, str] = {}
        self._said: set[Path] = set()

    def existing(self, stop: Event) -> Iterator[LoggedImage]:
        """Predict the images that are in the folder now.

        Those with a row of an earlier run are yielded, too, so that what that run did not finish
        can be finished. Files that cannot be read yet are left out.

        Args:
            stop: Ends it when set.
        """
        yield from self._logged(self._images([self._folder]), stop)

    def arriving(self, stop: Event, *, poll: bool = False) -> Iterator[LoggedImage]:
        """Predict the images in the folder, wait for more, and predict those once complete.

        Args:
            stop: Ends it when set.
            poll: Look at all files again and again, for network drives, which report no changes.

        Raises:
            DataError: The folder has been removed.
            MissingExtraError: The package that watches folders is not installed.
        """
        try:
            from watchfiles import Change, watch
        except ImportError:
            raise MissingExtraError("headstart watch", extra="serve") from None
        waiting: dict[Path, _State] = {}
        changed = [self._folder]
        for changes in watch(
            self._folder,
            stop_event=stop,
            rust_timeout=int(1000 * SETTLED),
            # Also yields before the first change: what arrives during the first scan is not missed.
            yield_on_timeout=True,
            force_polling=poll or None,
            raise_interrupt=True,
        ):
            if not self._folder.is_dir():
                raise DataError(f"{self._folder} is gone; create it, and start again")
            changed += [Path(path) for change, path in changes if change is not Change.deleted]
            waiting = _states([*waiting, *self._images(changed)], waiting)
            changed = []
            now = time.monotonic()
            settled = [path for path, one in waiting.items() if now - one.since >= SETTLED]
            for path in settled:
                del waiting[path]
            yield from self._logged(settled, stop)
            changed, self._unread = [*self._unread], {}

    def _images(self, paths: Iterable[Path]) -> list[Path]:
        """Return the image files among paths, and in the folders among them."""
        found: list[Path] = []
        for path in paths:
            parts = path.relative_to(self._folder).parts
            if any(part.startswith(".") or is_litter(part) for part in parts):
                continue
            if path.is_dir():
                try:
                    found += find_images([path]).paths
                except DataError:  # no image is in it, or it is gone
                    continue
            elif looks_like_image(path):
                found.append(path)
        return found

    def _logged(self, paths: Sequence[Path], stop: Event) -> Iterator[LoggedImage]:
        """Predict images, write their rows, and yield them in order."""
        with ThreadPoolExecutor(cores(), thread_name_prefix="decode") as pool:
            for start in range(0, len(paths), _BATCH):
                if stop.is_set():
                    return
                found = pool.map(self._read, paths[start : start + _BATCH])
                done = self._predicted([one for one in found if one is not None])
                self._log.append([one.row for one in done if one.is_new])
                for one in done:
                    self._said.discard(one.path)
                    yield replace(one, earlier_answers=self._log.earlier_answers(one.row.image))
            for path, reason in self._unread.items():
                if path not in self._said:
                    self._said.add(path)
                    self._on_unread(path, reason)

    def _read(self, path: Path) -> _ReadImage | None:
        """Read and decode an image, in a thread; return None if it is gone or incomplete."""
        name = path.relative_to(self._folder).as_posix()
        digest = ""
        try:
            content = read_bytes(path)
            digest = bytes_digest(content)
            if known := self._log.row(name, digest):
                return _ReadImage(LoggedImage(path, known, is_new=False))
            prepared, error = self._predictor.prepare(content), ""
        except UnreadableImageError as reason:
            if not path.exists():
                return None
            if known := self._log.row(name, digest):
                return _ReadImage(LoggedImage(path, known, is_new=False))
            if _may_be_incomplete(path):
                self._unread[path] = str(reason)
                return None
            prepared, error = None, str(reason)
        taken = datetime.now(UTC).isoformat(timespec="seconds")
        row = LoggedPrediction(
            time=taken, image=name, digest=digest, error=error, model=self._model
        )
        return _ReadImage(LoggedImage(path, row, is_new=True), prepared)

    def _predicted(self, images: Sequence[_ReadImage]) -> list[LoggedImage]:
        """Complete the rows of the images that were decoded."""
        prepared = [one.prepared for one in images if one.prepared]
        answers = iter(self._answers(prepared) if prepared else ())
        return [
            replace(one.logged, row=replace(one.logged.row, **next(answers)))
            if one.prepared
            else one.logged
            for one in images
        ]

    def _answers(self, prepared: Sequence[PreparedImage]) -> Iterator[dict[str, Any]]:
        found = self._predictor.predict(prepared)
        for number, probabilities in enumerate(found.probabilities):
            best = int(probabilities.argmax())
            novelty = None if found.novelty is None else float(found.novelty[number])
            label, probability = self._classes[best], float(probabilities[best])
            yield {
                "label": label,
                "probability": round(probability, 6),
                "novelty": novelty,
                "known": is_known(novelty, self._rule.unknown),
                "answer": self._rule.answer(label, probability, novelty),
            }


def _may_be_incomplete(path: Path) -> bool:
    """Whether a file has been changed so recently that it may still be written."""
    try:
        return 0 <= time.time() - path.stat().st_mtime < PATIENCE
    except OSError:
        return False


def _states(paths: Iterable[Path], earlier: Mapping[Path, _State]) -> dict[Path, _State]:
    """Return the state of each file that is still there, and since when it has been that."""
    found = {}
    for path in paths:
        with suppress(OSError):
            status, old = path.stat(), earlier.get(path)
            now = _State(status.st_size, status.st_mtime_ns, time.monotonic())
            same = old is not None and (old.size, old.modified) == (now.size, now.modified)
            found[path] = old if old is not None and same else now
    return found
