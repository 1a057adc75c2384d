"""Runs a campaign in a process of its own, with bounds on its time, memory and disk.

Whatever a try does to that process, such as a crash or a hang, is a failed try.
"""

import contextlib
import multiprocessing
import os
import resource
import shutil
import signal
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import Final

from tests.campaign.campaign import Campaign, Tally

_MEMORY: Final = 24 * 2**30
"""Bytes of addresses per process: far more than a try needs, since libraries reserve many."""
_FILE: Final = 4 * 2**30
_DISK: Final = 8 * 2**30
_TRY: Final = 600.0
"""Seconds for one try. Tries have closer bounds of their own; this one is for hangs."""


def source_of_chance(seed: int, campaign: Campaign) -> Random:
    """Return the same source for the same seed, whichever campaigns are run beside it."""
    return Random(f"{seed}: {campaign.kind}")


@dataclass(frozen=True, slots=True)
class Runner:
    """How campaigns are run.

    Attributes:
        seed: the seed of chance.
        minutes: time for each campaign; no try is started later.
        show: is called after each try with the numbers of tries and of failures.
    """

    seed: int
    minutes: float
    show: Callable[[int, int], None] = lambda _tries, _failures: None

    def run(self, campaign: Campaign, count: int) -> Tally:
        """Make `count` tries, or as many as the time allows."""
        start = time.monotonic()

        def tally(failures: list[str], *, tries: int, missing: str | None, peak: int = 0) -> Tally:
            seconds = time.monotonic() - start
            return Tally(
                campaign.kind, campaign.failure, tries, tuple(failures), seconds, missing, peak
            )

        if missing := campaign.needs():
            return tally([], tries=0, missing=missing)
        with tempfile.TemporaryDirectory(prefix="headstart-campaign-") as name:
            context = multiprocessing.get_context("fork")
            reader, writer = context.Pipe(duplex=False)
            process = context.Process(
                target=_try_all, args=(campaign, count, self.seed, Path(name), writer)
            )
            free = shutil.disk_usage(name).free
            process.start()
            writer.close()
            failures, tries, missing, peak, done = list[str](), 0, None, 0, False
            try:
                while not done:
                    if not reader.poll(_TRY):
                        failures.append(f"try {tries} did not end in {_TRY:.0f} s")
                        break
                    match reader.recv():
                        case int(peak):
                            done = True
                        case (verdict,):
                            tries += 1
                            failures += [verdict] if verdict else []
                            self.show(tries, len(failures))
                    if free - shutil.disk_usage(name).free > _DISK:
                        failures.append(f"over {_DISK >> 30} GB were on disk after try {tries - 1}")
                        break
                    if tries < count and time.monotonic() - start > 60 * self.minutes:
                        missing = f"{tries:,} of {count:,} tries in {self.minutes:g} minutes"
                        break
            except EOFError:
                process.join()
                failures.append(f"try {tries} ended the campaign with code {process.exitcode}")
            finally:
                _end(process)
            if done and tries < count:
                failures.append(f"only {tries:,} of {count:,} tries were made")
        # A try that gave no verdict is one, too.
        tries = max(tries, len(failures))
        return tally(failures, tries=tries, missing=missing, peak=peak)


def _try_all(campaign: Campaign, count: int, seed: int, folder: Path, results: Connection) -> None:
    """Send the verdict of each try, then the peak memory in MB."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.setsid()  # so that its own processes can be ended with it
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_FILE, _FILE))
    os.environ["HEADSTART_CACHE"] = str(folder / "cache")
    try:
        (folder / "tries").mkdir()
        for verdict in campaign.tries(folder / "tries", count, source_of_chance(seed, campaign)):
            results.send((verdict,))
    except Exception:  # noqa: BLE001 - a campaign that breaks must not look like one that passes
        results.send((f"the campaign itself broke: {traceback.format_exc(limit=-3)}",))
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    results.send(max(usage.ru_maxrss for usage in usages) // 1024)


def _end(process: multiprocessing.process.BaseProcess) -> None:
    """End a campaign's process and all those that it started."""
    process.join(1)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.join()
