"""`python -m tests.campaign`: run the campaigns and write their report."""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from tests.campaign.campaign import Campaign, Tally
from tests.campaign.campaigns import CAMPAIGNS
from tests.campaign.report import Conditions, report
from tests.campaign.runner import Runner

_ISOLATED: Final = "HEADSTART_CAMPAIGN_ISOLATED"
"""Set in the environment of the process that runs in a network namespace of its own."""
_COLUMNS: Final = (
    TextColumn("{task.description}"),
    BarColumn(),
    MofNCompleteColumn(),
    TextColumn("{task.fields[done]}"),
    TimeElapsedColumn(),
)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description=__doc__)
    add = parser.add_argument
    add("--seed", type=int, default=0, help="seed of all chance (default: 0)")
    add("--only", nargs="+", metavar="KIND-PART", help="campaigns whose kind contains one of these")
    add("--share", type=float, default=1.0, metavar="FRACTION", help="fraction of the tries")
    add("--minutes", type=float, default=30.0, metavar="N", help="time per campaign (default: 30)")
    add("--write", type=Path, metavar="FILE", help="write the report")
    return parser


def chosen(parts: Sequence[str] | None) -> tuple[Campaign, ...]:
    """Return the campaigns whose kind contains one of the parts; all if there are no parts."""
    if parts is None:
        return CAMPAIGNS
    return tuple(c for c in CAMPAIGNS if any(part.lower() in c.kind.lower() for part in parts))


class _Display:
    """Shows the tries and failures of a campaign, at most five times a second."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task, self._shown = progress, task, time.monotonic()
        self._start = self._shown

    def __call__(self, tries: int, failures: int) -> None:
        """See `Runner.show`."""
        if (now := time.monotonic()) - self._shown > 0.2:
            self._shown, rate = now, tries / (now - self._start)
            description = f"{failures:,} failed, {rate:.1f} tries/s"
            self._progress.update(self._task, completed=tries, done=description, refresh=True)


def isolate() -> None:
    """Start this program again in a network namespace of its own, where that can be had."""
    # As root, users stay who they are: the campaign of two users needs them.
    unshare = ["unshare", "-n" if os.geteuid() == 0 else "-rn"]
    try:
        possible = subprocess.run([*unshare, "true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        return
    if possible:
        command = [*unshare, sys.executable, "-m", "tests.campaign", *sys.argv[1:]]
        os.execvpe(command[0], command, os.environ | {_ISOLATED: "1"})


def run(arguments: argparse.Namespace, console: Console) -> list[Tally]:
    """Run the campaigns, with progress and a line about each."""
    tallies = []
    for campaign in chosen(arguments.only):
        count = max(1, round(arguments.share * campaign.full))
        # No thread that refreshes, since the runner forks.
        with Progress(*_COLUMNS, console=console, transient=True, auto_refresh=False) as progress:
            show = _Display(
                progress, progress.add_task(escape(campaign.kind), total=count, done="")
            )
            tally = Runner(arguments.seed, arguments.minutes, show).run(campaign, count)
        tallies.append(tally)
        console.print(
            f"{tally.kind}: {tally.tries:,} tries, {len(tally.failures):,} failed, "
            f"{tally.seconds:.0f} s, at most {tally.peak:,} MB"
            + (f" ({tally.missing})" if tally.missing else ""),
            markup=False,
            highlight=False,
        )
        for failure in tally.failures[:10]:
            console.print(f"  {failure}", markup=False, highlight=False)
    return tallies


def main() -> int:
    """Run the campaigns that the arguments choose; 1 if any try failed."""
    arguments, console = _parser().parse_args(), Console()
    if not chosen(arguments.only):
        kinds = "\n".join(f"  {campaign.kind}" for campaign in CAMPAIGNS)
        console.print(f"No kind contains {arguments.only}; the kinds:\n{kinds}", markup=False)
        return 2
    if _ISOLATED not in os.environ:
        isolate()  # does not return where it succeeds
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # ends its processes, deletes its files
    tallies = run(arguments, console)
    conditions = Conditions(arguments.seed, arguments.share, offline=_ISOLATED in os.environ)
    if arguments.write:
        arguments.write.write_text(report(tallies, conditions), encoding="utf-8")
    return int(any(tally.failures for tally in tallies))


if __name__ == "__main__":
    raise SystemExit(main())
