"""What running a backbone costs on this machine, measured in a process of its own.

The resident memory of a process that has done other things says nothing of the one network that it
runs now, and freed memory rarely goes back to the system. So a new process loads the backbone,
compiles it, and runs it over batches of random pixels for about a second; its speed and its
highest resident memory are the cost. A network that brings its process down brings down nothing
else.
"""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from itertools import repeat
from pathlib import Path

import numpy as np

from headstart.backbones import Backbone, load_backbone
from headstart.engines import Engine, EnginePlan, build_engine
from headstart.errors import BackboneError, HeadstartError
from headstart.system.files import atomic_write
from headstart.types import EngineName, Precision

_SECONDS = 1.0
"""Of timing; a machine that is busy elsewhere makes longer runs no more repeatable."""
_CHUNK = 0.3
"""Seconds that are timed at a time; the least counts, for other programs can only add to it."""
_FEWEST = 2
"""Batches a chunk, and before the first, which finds the memory not yet there."""
_PATIENCE = 600.0
"""Seconds after which the process is given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a backbone takes of this machine.

    Attributes:
        images_per_second: through the network alone, on prepared pixels, in full batches, with
            what other programs leave of the machine.
        milliseconds: of processor time an image, all cores together; it hardly depends on
            other programs, so that costs of different minutes can be compared. On a GPU, of time.
        memory_bytes: highest resident memory of a process that loads the backbone, compiles it and
            runs it, Python and all libraries included; a GPU's own memory is not counted. None
            where the system does not tell.
    """

    images_per_second: float
    milliseconds: float
    memory_bytes: int | None


def measure_cost(
    backbone: Backbone, plan: EnginePlan, *, asked: EngineName = EngineName.AUTO
) -> Cost:
    """Load a backbone by its name in a new process, and run it.

    Args:
        backbone: its published weights are on this machine.
        plan: engine and precision.
        asked: the engine that the user named; see `build_engine`.

    Raises:
        BackboneError: it cannot be loaded or run there.
    """
    asks = {
        "name": backbone.name,
        "engine": plan.engine,
        "precision": plan.precision,
        "device": plan.device,
        "asked": asked,
    }
    with tempfile.TemporaryDirectory(prefix="headstart-") as folder:
        answer = Path(folder) / "cost.json"
        command = [sys.executable, "-m", __name__, json.dumps(asks), str(answer)]
        try:
            done = subprocess.run(command, capture_output=True, timeout=_PATIENCE, check=False)
        except subprocess.TimeoutExpired:
            raise BackboneError(
                f"{backbone.name} was not ready after {_PATIENCE:.0f} s; try a smaller one"
            ) from None
        if not answer.is_file():
            last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
            raise BackboneError(
                f"the process that ran {backbone.name} broke down (exit code {done.returncode}"
                f"{': ' if last else ''}{''.join(last)}); it may have lacked memory"
            )
        found = json.loads(answer.read_text(encoding="utf-8"))
    if "error" in found:
        raise BackboneError(found["error"])
    return Cost(**found)


def time_engine(engine: Engine, side: int) -> tuple[float, float]:
    """Run random pixels of (side, side, 3).

    Returns:
        Images a second, and milliseconds an image as `Cost` has them.
    """
    shape = (engine.batch, side, side, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)

    def run(batches: int) -> tuple[float, float]:
        wall, processor = time.perf_counter(), time.process_time()
        for _ in engine.stream(repeat(pixels, batches)):
            pass
        return time.perf_counter() - wall, time.process_time() - processor

    run(_FEWEST)
    seconds, _ = run(_FEWEST)
    batches = max(_FEWEST, math.ceil(_CHUNK * _FEWEST / seconds))
    chunks = [run(batches)]
    while sum(wall for wall, _ in chunks) < _SECONDS:
        chunks.append(run(batches))
    wall, processor = (min(kind) for kind in zip(*chunks, strict=True))
    images = batches * engine.batch
    busy = processor if engine.plan.device == "cpu" else wall
    return images / wall, 1000 * busy / images


def peak_memory() -> int | None:
    """Highest resident memory of this process so far, in bytes."""
    status = Path("/proc/self/status")
    # Linux's getrusage would count what the parent held when it started this process.
    if status.is_file() and (found := re.search(r"VmHWM:\s*(\d+) kB", status.read_text())):
        return int(found[1]) * 1024
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return None


def _measured(asks: dict[str, str]) -> Cost:
    backbone = load_backbone(asks["name"], allow_download=False)
    plan = EnginePlan(EngineName(asks["engine"]), Precision(asks["precision"]), asks["device"])
    engine = build_engine(backbone, plan, requested=EngineName(asks["asked"]))
    speed, milliseconds = time_engine(engine, backbone.preprocessing.crop)
    return Cost(images_per_second=speed, milliseconds=milliseconds, memory_bytes=peak_memory())


def _main() -> None:
    """The other process: a question as JSON, and the file for the answer."""
    asks, answer = json.loads(sys.argv[1]), Path(sys.argv[2])
    try:
        found = asdict(_measured(asks))
    except HeadstartError as error:
        found = {"error": str(error)}
    atomic_write(answer, json.dumps(found).encode())


if __name__ == "__main__":
    _main()
