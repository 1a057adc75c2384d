"""Run a command and measure its time, the memory of all its processes and its JSON output."""

import json
import re
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_EVERY = 1.0
"""Seconds between two measurements of the memory, long enough not to slow the command down."""


@dataclass(frozen=True)
class Finished:
    """A command that succeeded."""

    seconds: float
    peak: int
    """Peak memory of all its processes in bytes; shared memory counts once."""
    document: dict
    """The JSON document that it printed."""


def run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Finished:
    """Run a command and wait for its end.

    Raises:
        SystemExit: the command failed; the message contains its standard error.
    """
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        started = time.perf_counter()
        peak = 0
        with subprocess.Popen(command, env=environment, stdout=out, stderr=errors) as process:
            while process.returncode is None:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_EVERY)
                peak = max(peak, sum(map(_memory, (process.pid, *_descendants(process.pid)))))
        seconds = time.perf_counter() - started
        out.seek(0)
        errors.seek(0)
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{errors.read()}")
        output = out.read().strip()
    # headstart prints one document; other libraries may print lines before theirs.
    document = json.loads(output if output.startswith("{\n") else output.splitlines()[-1])
    return Finished(seconds, peak, document)


def _descendants(process: int) -> list[int]:
    found = []
    with suppress(OSError):
        for thread in Path(f"/proc/{process}/task").iterdir():
            for child in (thread / "children").read_text().split():
                found += [int(child), *_descendants(int(child))]
    return found


def _memory(process: int) -> int:
    """Return the proportional set size in bytes; 0 if the system does not report it."""
    try:
        text = Path(f"/proc/{process}/smaps_rollup").read_text()
    except OSError:
        return 0
    share = re.search(r"^Pss:\s+(\d+) kB", text, re.M)
    return int(share[1]) * 1024 if share else 0
