"""Progress of long work: bars in a terminal or a notebook, an occasional line elsewhere.

A notebook shows bars of its own, an HTML element that is rewritten: rich and tqdm need ipywidgets
for theirs, which many notebooks lack.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum, auto
from html import escape
from typing import TYPE_CHECKING, Any, Final

from headstart.system.text import shortened, visible
from headstart.types import ProgressCallback, no_progress

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

_LOG_INTERVAL = 30.0
"""Seconds between lines about progress if stderr is not a terminal, such as in a log."""
_DELAYED: Final = 0.5
"""Seconds of work before a notebook has bars: what is over sooner leaves no trace."""
_REDRAWN: Final = 0.1
"""Seconds between two states of the bars in a notebook."""
_WHOLE: Final = 10
"""Units per second from which the rate has no decimals."""


class _Place(Enum):
    """Where progress is shown."""

    TERMINAL = auto()
    NOTEBOOK = auto()
    LOG = auto()
    NOWHERE = auto()


class ProgressBars:
    """Progress bars with rate and time left; in a log an occasional line.

    One display shows all bars, because a terminal has room for one. It and every bar appear with
    the first update, so that nothing flickers when there is nothing to wait for.

    Args:
        verbose: Whether to show them; None does so in terminals and notebooks only.
    """

    def __init__(self, *, verbose: bool | None = None) -> None:
        self._place = _place(verbose)
        self._display: RichProgress | None = None
        self._notebook: _NotebookBars | None = None
        self._logged = time.monotonic()

    def bar(self, what: str, unit: str, *, scale: int = 1) -> ProgressCallback:
        """Return a callback that shows (done, total) divided by `scale`, and the rate.

        `unit` is a plural; slow work shows seconds per unit instead of units per second.
        """
        if self._place is _Place.NOWHERE:
            return no_progress
        task = None

        def update(done: int, total: int) -> None:
            nonlocal task
            done, total = done // scale, total // scale
            if self._place is _Place.LOG:
                if time.monotonic() - self._logged >= _LOG_INTERVAL:
                    self._logged = time.monotonic()
                    counted = "" if what == unit else f" {unit}"
                    self.note(f"{what}: {done:,} of {total:,}{counted}")
                return
            if self._place is _Place.NOTEBOOK:
                self._notebook = self._notebook or _NotebookBars()
                self._notebook.update(what, unit, done, total)
                return
            display = self._shown()
            if task is None:  # work of an earlier run says nothing about the rate
                task = display.add_task(what, total=total, completed=done, rate="")
                return
            speed = next(one.speed for one in display.tasks if one.id == task)
            rate = rate_text(speed, unit) if speed else ""
            display.update(task, completed=done, total=total, rate=rate)

        return update

    def note(self, text: str) -> None:
        """Write a line about the work to stderr, where progress is shown: above the bars."""
        if self._display is not None:
            from rich.text import Text

            line = Text(_line(text))
            self._display.console.print(line, soft_wrap=True)  # whole, if wider than the terminal
        elif self._place is not _Place.NOWHERE:
            write_note(text)

    def close(self) -> None:
        """Remove all bars."""
        if self._display:
            self._display.stop()
        if self._notebook:
            self._notebook.close()

    def _shown(self) -> RichProgress:
        if self._display is None:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as RichProgress

            self._display = RichProgress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._display.start()
        return self._display


@contextmanager
def progress(*, verbose: bool | None = None) -> Iterator[ProgressBars]:
    """Provide progress bars that are removed at the end, even after an error."""
    bars = ProgressBars(verbose=verbose)
    try:
        yield bars
    finally:
        bars.close()


def write_note(text: str) -> None:
    """Write a line about the work in progress to stderr."""
    line = f"{_line(text)}\n"
    encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
    sys.stderr.write(line.encode(encoding, "backslashreplace").decode(encoding))
    sys.stderr.flush()


def rate_text(speed: float, unit: str) -> str:
    """Return units per second, or where each takes longer than that, seconds per unit.

    `unit` is a plural, such as "steps".
    """
    if speed < 1:
        return f"{1 / speed:,.1f} s/{unit.removesuffix('s')}"
    return f"{speed:,.{0 if speed >= _WHOLE else 1}f} {unit}/s"


def _line(text: str) -> str:
    return f"headstart: {visible(shortened(text))}"


class _NotebookBars:
    """Bars in the output of a notebook's cell."""

    def __init__(self) -> None:
        self._rows: dict[str, str] = {}
        self._started: dict[str, tuple[float, int]] = {}
        self._begun = time.monotonic()
        self._drawn = 0.0
        self._handle: Any = None

    def update(self, what: str, unit: str, done: int, total: int) -> None:
        now = time.monotonic()
        since, first = self._started.setdefault(what, (now, done))
        speed = (done - first) / (now - since) if now - since > 1 else 0
        rate = f", {rate_text(speed, unit)}" if speed else ""
        self._rows[what] = (
            f'<div>{escape(what)} <progress value="{done}" max="{max(total, 1)}"></progress> '
            f"{done:,} of {total:,}{escape(rate)}</div>"
        )
        if now - self._begun >= _DELAYED and (now - self._drawn >= _REDRAWN or done >= total):
            self._drawn = now
            self._show("".join(self._rows.values()), f"{what}: {done:,} of {total:,}")

    def close(self) -> None:
        if self._handle is not None:
            self._show("", "")

    def _show(self, html: str, text: str) -> None:
        from IPython.display import display

        content = {"text/html": html, "text/plain": text}
        if self._handle is None:
            self._handle = display(content, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(content, raw=True)


def _place(verbose: bool | None) -> _Place:
    if verbose is False:
        return _Place.NOWHERE
    if _in_notebook():
        return _Place.NOTEBOOK
    if sys.stderr.isatty():
        return _Place.TERMINAL
    return _Place.LOG if verbose else _Place.NOWHERE


def _in_notebook() -> bool:
    """Whether the program runs in a kernel, which is what imports IPython before anything else."""
    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module is not None else None
    return getattr(shell, "kernel", None) is not None
