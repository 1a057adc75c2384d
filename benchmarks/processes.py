"""A command as a whole: its seconds, the memory of all its processes, and the JSON it prints."""

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
"""Seconds between two looks at the memory: rare enough to cost a job of many processes nothing."""


@dataclass(frozen=True)
class Finished:
    """A command that ended well."""

    seconds: float
    peak: int
    """Bytes, the most that all its processes were seen to hold; what they share counts once."""
    document: dict
    """The JSON that it printed."""


def run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Finished:
    """Run a command to its end.

    Raises:
        SystemExit: it failed; with what it said.
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
        said = out.read().strip()
    # headstart prints one document; a peer's library may print lines before its own.
    document = json.loads(said if said.startswith("{\n") else said.splitlines()[-1])
    return Finished(seconds, peak, document)


def _descendants(process: int) -> list[int]:
    found = []
    with suppress(OSError):
        for thread in Path(f"/proc/{process}/task").iterdir():
            for child in (thread / "children").read_text().split():
                found += [int(child), *_descendants(int(child))]
    return found


def _memory(process: int) -> int:
    """Bytes, what is shared in equal parts; 0 where the system does not tell."""
    try:
        text = Path(f"/proc/{process}/smaps_rollup").read_text()
    except OSError:
        return 0
    share = re.search(r"^Pss:\s+(\d+) kB", text, re.M)
    return int(share[1]) * 1024 if share else 0
