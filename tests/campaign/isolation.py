"""Trials in processes of their own, so that a crash or a hang is a verdict and not the end."""

import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Final, TypeAlias

from headstart.errors import HeadstartError

Task: TypeAlias = "int | str"
"""A seed, or the name of a case; all that is needed to repeat a trial."""
Trial: TypeAlias = Callable[[Path, Task], str | None]
"""Maps an empty folder and a task to None, or to what went wrong."""

_START: Final = 60.0
"""Seconds that a process may take to import what it needs, on top of its first trial."""
_ADDRESSES: Final = 6 * 2**30
"""Bytes of addresses that a process may add; far more than it may use, to protect the machine."""
_MESSAGE_BYTES: Final = 10_000
# A fork of this process would inherit locks of its threads; the fork server has none.
_PROCESSES: Final = multiprocessing.get_context("forkserver")


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one trial may take.

    Attributes:
        seconds: wall-clock time.
        megabytes: growth of the process's resident memory at its peak.
        batch: trials in one process, of which each starts where the last one left it.
    """

    seconds: float
    megabytes: int = 1_500
    batch: int = 250


def isolated(
    trial: Trial, tasks: Sequence[Task], folder: Path, bounds: Bounds
) -> Iterator[str | None]:
    """Yield the verdict of each task in order, made on as many processes as there are cores."""
    _PROCESSES.set_forkserver_preload([trial.__module__])  # no effect once the server runs
    cores = len(os.sched_getaffinity(0))
    size = max(1, min(bounds.batch, -(-len(tasks) // cores)))
    batches = [tasks[at : at + size] for at in range(0, len(tasks), size)]
    with ThreadPoolExecutor(cores) as pool:
        for verdicts in pool.map(partial(_verdicts, trial, folder, bounds), batches):
            yield from verdicts


def refusal_fault(error: HeadstartError) -> str | None:
    """Return what is wrong with the message of a refusal, if anything.

    It may contain line breaks of a name, which are escaped where it is shown.
    """
    text = str(error)
    if not text.strip():
        return "refused without a reason"
    if len(text.encode("utf-8", "replace")) > _MESSAGE_BYTES:
        return f"refused with {len(text):,} characters: {text[:200]!r}"
    return None


def _verdicts(
    trial: Trial, folder: Path, bounds: Bounds, tasks: Sequence[Task]
) -> list[str | None]:
    found: list[str | None] = []
    while len(found) < len(tasks):
        reader, writer = _PROCESSES.Pipe(duplex=False)
        rest = tasks[len(found) :]
        process = _PROCESSES.Process(target=_try_all, args=(trial, rest, folder, bounds, writer))
        process.start()
        writer.close()
        patience = _START + bounds.seconds
        try:
            while len(found) < len(tasks):
                if not reader.poll(patience):
                    found.append(f"{tasks[len(found)]}: no end within {patience:.0f} s")
                    break
                found.append(reader.recv())
                patience = bounds.seconds
        except EOFError:
            process.join()
            found.append(f"{tasks[len(found)]}: {_end(process.exitcode or 0)}")
        finally:
            process.kill()
            process.join()
            reader.close()
    return found


def _end(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _try_all(
    trial: Trial, tasks: Sequence[Task], folder: Path, bounds: Bounds, results: Connection
) -> None:
    addresses = _status("VmSize") * 1024 + _ADDRESSES
    resource.setrlimit(resource.RLIMIT_AS, (addresses, addresses))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with tempfile.TemporaryFile() as printed:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(printed.fileno(), stream.fileno())
        for task in tasks:
            fault = _fault(trial, task, folder, bounds) or _printed(printed)
            results.send(fault and f"{task}: {fault}")


def _fault(trial: Trial, task: Task, folder: Path, bounds: Bounds) -> str | None:
    Path("/proc/self/clear_refs").write_text("5")  # forget the highest resident memory
    before = _status("VmRSS")
    with tempfile.TemporaryDirectory(dir=folder, ignore_cleanup_errors=True) as own:
        try:
            fault = trial(Path(own), task)
        except Exception as error:  # noqa: BLE001 - whatever escapes is the verdict
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(place.filename).name}:{place.lineno}"
            return f"{type(error).__name__} at {where}: {str(error)[:300]!r}"
    grown = (_status("VmHWM") - before) // 1024
    if fault is None and grown > bounds.megabytes:
        return f"took {grown:,} MB"
    return fault


def _printed(file: IO[bytes]) -> str | None:
    """Return what the trial printed, if anything, and forget it."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    file.seek(0)
    text = file.read(400)
    file.seek(0)
    file.truncate()
    return f"printed {text!r}" if text else None


def _status(field: str) -> int:
    """Return a field of this process's memory in kB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0])
    raise LookupError(field)
