"""headstart watch."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated

from headstart.cli import options as shared
from headstart.cli.console import note, say, warn
from headstart.cli.prediction_files import check_sorting
from headstart.errors import DataError, UserError
from headstart.system.option import Option
from headstart.system.text import one_line, pluralize
from headstart.types import Placement

if TYPE_CHECKING:
    from headstart.serving.folder_watch import LoggedImage


def watch(
    folder: Annotated[Path, Option(folder=True, help="The folder in which images arrive.")],
    *,
    model: Annotated[Path, Option(help="A model folder written by 'headstart fit'.")],
    out: Annotated[Path, Option()] = Path("predictions.csv"),
    sort_into: Annotated[Path | None, Option(folder=True, unset="nothing is sorted")] = None,
    placement: Annotated[Placement, Option(flag="--by")] = Placement.LINK,
    unknown: shared.UnknownRate = shared.DEFAULT_UNKNOWN_RATE,
    min_probability: Annotated[float, Option(low=0, high=1)] = 0.0,
    force: bool = False,
    once: Annotated[bool, Option()] = False,
    poll: Annotated[bool, Option()] = False,
    allow_download: shared.AllowDownload = False,
    runtime: shared.RuntimeOptions,
) -> None:
    """Predict images as they arrive in a folder, and write a CSV row for each.

    Started again with the same --out, it goes on: images that have a row get no second one, unless
    their file is replaced; the last row of an image is about its present file.

    Options:
        out: The CSV file.
        sort_into: Also put each image into a folder of its label here; unknown, unsure and
            unreadable ones into folders of these names.
        placement: How to put it there.
        min_probability: Call an image unsure if its most probable class is less probable than this.
        force: Sort into a folder that has other files; none of them is replaced.
        once: Predict the images that are there, and stop.
        poll: Look at all files every few moments, for network drives that report no changes.
    """
    from headstart.datasets.sorted_folder import SortedFolder
    from headstart.models.answers import UNREADABLE, AnswerRule
    from headstart.models.online_prediction import OnlinePredictor
    from headstart.models.saved_model import load_model
    from headstart.serving.folder_watch import FolderWatch
    from headstart.serving.prediction_log import PredictionLog

    rule = AnswerRule(unknown=shared.unknown_rate(unknown), min_probability=min_probability)
    if not folder.is_dir():
        kind = "not a folder" if folder.exists() else "no such folder"
        raise DataError(f"{kind}: {folder}; give the folder in which images arrive")
    if placement is not Placement.LINK and sort_into is None:
        raise UserError(f"--by {placement} has no effect without --sort-into FOLDER")
    if out.resolve().is_relative_to(folder.resolve()) and not once:
        raise DataError(f"--out {out} is in the watched folder; choose a file outside of it")
    sorted_folder = None if sort_into is None else SortedFolder(sort_into, placement)
    if sorted_folder:
        check_sorting(sorted_folder, [folder], force=force)
    trained = load_model(model)
    extractor = runtime.extractor_of(trained, allow_download=allow_download)
    predictor = OnlinePredictor(trained, extractor)
    with PredictionLog(out) as log, _stopped_by(signal.SIGTERM) as stop:
        work = FolderWatch(
            folder, predictor, trained, log, rule=rule, on_unread=partial(_say_unread, once=once)
        )
        if others := log.count_of_others(trained.digest):
            note(
                f"{pluralize(others, 'row')} in {out} {'is' if others == 1 else 'are'} of another "
                "model (column 'model'); give another --out to predict those images with this one, "
                "too"
            )
        arrived = work.existing(stop) if once else work.arriving(stop, poll=poll)
        if not once:
            note(f"watching {folder}; {pluralize(len(log), 'row')} in {out} so far")
        if sorted_folder:
            sorted_folder.mark()
        for image in arrived:
            _show(image)
            if sorted_folder:
                answer = image.row.answer or UNREADABLE
                for earlier in {one or UNREADABLE for one in image.earlier_answers} - {answer}:
                    sorted_folder.unlink(image.path, earlier)
                sorted_folder.place(image.path, answer)
        warn(extractor.warnings)
        note(f"{pluralize(len(log), 'row')} in {out}")


@contextmanager
def _stopped_by(number: signal.Signals) -> Iterator[Event]:
    """Provide an event that a signal sets instead of ending the process."""
    stop = Event()
    before = signal.signal(number, lambda *_: stop.set())
    try:
        yield stop
    finally:
        signal.signal(number, before)


def _say_unread(path: Path, reason: str, *, once: bool) -> None:
    again = "run this again in a minute" if once else "it is tried again"
    note(f"{one_line(str(path))} cannot be read yet; {again}: {reason}")


def _show(image: LoggedImage) -> None:
    row = image.row
    if image.is_new:
        result = f"error: {row.error}" if row.error else f"{row.answer}  {row.probability:.4f}"
        say(f"{one_line(row.image)}  {result}")
