"""Progress of long work: bars in a terminal or a notebook, an occasional line elsewhere.

A notebook shows bars of its own, an HTML element that is rewritten: rich and tqdm need ipywidgets
for theirs, which many notebooks lack.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum, auto
from html import escape
from typing import TYPE_CHECKING, Any, Final

from headstart.system.text import duration, shortened, visible
from headstart.types import ProgressCallback, no_progress

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

_LOG_INTERVAL = 30.0
"""Seconds between lines about progress if stderr is not a terminal, such as in a log."""
_DELAYED: Final = 0.5
"""Seconds of work before a notebook has bars: what is over sooner leaves no trace."""
_REDRAWN: Final = 0.1
"""Seconds between two states of the bars in a notebook."""
_RECENT: Final = 30.0
"""Seconds that the rate is measured over."""
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
        """Return a callback that shows (done, total) divided by `scale`, rate and time left.

        `unit` is a plural; slow work shows seconds per unit instead of units per second.
        """
        if self._place is _Place.NOWHERE:
            return no_progress
        work = _Work(unit)
        return lambda done, total: self._update(work, what, done // scale, total // scale)

    def rounds(self, what: str, unit: str) -> Callable[[int, int, int, int], None]:
        """Return a callback that shows (number, last, done, total): "epoch 2 of 3", then as `bar`.

        Each round starts with `done` = 0.
        """
        work = _Work(unit)
        return lambda number, last, done, total: self._update(
            work, f"{what} {number:,} of {last:,}", done, total
        )

    def _update(self, work: _Work, what: str, done: int, total: int) -> None:
        if self._place is _Place.NOWHERE:
            return
        if self._place is _Place.LOG:
            if time.monotonic() - self._logged >= _LOG_INTERVAL:
                self._logged = time.monotonic()
                counted = "" if what == work.unit else f" {work.unit}"
                self.note(f"{what}: {done:,} of {total:,}{counted}")
            return
        work.add(done)
        if self._place is _Place.NOTEBOOK:
            self._notebook = self._notebook or _NotebookBars()
            self._notebook.update(work, what, done, total)
            return
        display, rate, left = self._shown(), work.rate, work.left(total)
        if work.task is None:
            work.task = display.add_task(what, total=total, completed=done, rate=rate, left=left)
            return
        if not done:  # a new round: the bar is no longer that of finished work
            display.reset(work.task)
        display.update(
            work.task, description=what, total=total, completed=done, rate=rate, left=left
        )

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
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
            from rich.progress import Progress as RichProgress

            self._display = RichProgress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}", style="progress.data.speed"),
                TextColumn("{task.fields[left]}", style="progress.remaining"),
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


class _Work:
    """How fast some work is: over the last half minute or, if it took longer, the last unit.

    Work of an earlier run, done before the first update, says nothing about the speed.

    Attributes:
        unit: A plural, such as "steps".
        task: Its bar in a terminal, once it has one.
    """

    def __init__(self, unit: str) -> None:
        self.unit = unit
        self.task: TaskID | None = None
        self._recent: deque[tuple[float, int]] = deque()

    def add(self, done: int) -> None:
        """Note how many units are done now; fewer than before are those of a new round."""
        now, recent = time.monotonic(), self._recent
        if recent and done < recent[-1][1]:
            recent.clear()
        recent.append((now, done))
        while len(recent) > 2 and now - recent[1][0] >= _RECENT:
            recent.popleft()

    @property
    def speed(self) -> float:
        """Units per second; 0 if it is not known yet."""
        (then, first), (now, done) = self._recent[0], self._recent[-1]
        return (done - first) / (now - then) if now > then else 0.0

    @property
    def rate(self) -> str:
        """The speed as text; empty if it is not known yet."""
        return rate_text(self.speed, self.unit) if self.speed else ""

    def left(self, total: int) -> str:
        """Return the time left; nothing if it is not known yet, or if none is."""
        units = total - self._recent[-1][1]
        return f"{duration(units / self.speed)} left" if self.speed and units > 0 else ""


class _NotebookBars:
    """Bars in the output of a notebook's cell."""

    def __init__(self) -> None:
        self._rows: dict[_Work, str] = {}
        self._begun = time.monotonic()
        self._drawn = 0.0
        self._handle: Any = None

    def update(self, work: _Work, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        said = ", ".join(filter(None, (f"{done:,} of {total:,}", work.rate, work.left(total))))
        self._rows[work] = (
            f'<div>{escape(what)} <progress value="{done}" max="{max(total, 1)}"></progress> '
            f"{escape(said)}</div>"
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
