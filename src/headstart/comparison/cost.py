"""The cost of running a backbone on this machine, measured in a subprocess.

The resident memory of a process that has done other things says little about the network that it
runs now, and freed memory rarely returns to the system. So a new process loads the backbone,
compiles it, and runs it on batches of random pixels for about a second; its speed and its peak
resident memory are the cost. A network that crashes its process crashes nothing else.
"""

import json
import math
import re
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from headstart.backbones import Backbone, load_backbone
from headstart.engines import Engine, EnginePlan, build_engine
from headstart.errors import BackboneError, HeadstartError
from headstart.features.cost import time_batches
from headstart.features.views import View
from headstart.system.files import atomic_write
from headstart.types import EngineName, Precision

_SECONDS = 1.0
"""Seconds of timing; on a machine with other load, longer runs are no more repeatable."""
_CHUNK = 0.3
"""Seconds per timed chunk; the fastest counts, because other programs can only add time."""
_FEWEST = 2
"""Batches per chunk, and for warm-up, which allocates the memory."""
_TIMEOUT = 600.0
"""Seconds after which the subprocess is stopped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Speed and memory of a backbone on this machine.

    Attributes:
        images_per_second: throughput of the network alone, on prepared pixels in full batches.
            Other programs running at the same time lower it.
        milliseconds: core-milliseconds per image: processor time, all cores together, which hardly
            depends on other programs. `measure_cost` returns those of the network alone; in a
            comparison they are those of a prediction, as `headstart.features.cost` defines them.
        memory_bytes: peak resident memory of a process that loads, compiles and runs the backbone,
            Python and all libraries included, without a GPU's own memory. None where the system
            does not report it.
    """

    images_per_second: float
    milliseconds: float
    memory_bytes: int | None


def measure_cost(
    backbone: Backbone,
    plan: EnginePlan,
    *,
    requested: EngineName = EngineName.AUTO,
    view: View | None = None,
) -> Cost:
    """Load a backbone, whose weights are on this machine, in a new process, and run it.

    Args:
        backbone: the network, with the preprocessing of `view`.
        plan: the engine and precision.
        requested: the engine that the user named; see `build_engine`.
        view: the way in which it sees images; None for its own.

    Raises:
        BackboneError: it cannot be loaded or run.
    """
    request = [backbone.address, str(view or "")]
    request += [plan.engine, plan.precision, plan.device, requested]
    with tempfile.TemporaryDirectory(prefix="headstart-") as folder:
        answer = Path(folder) / "cost.json"
        command = [sys.executable, "-m", __name__, *request, str(answer)]
        try:
            done = subprocess.run(command, capture_output=True, timeout=_TIMEOUT, check=False)
        except subprocess.TimeoutExpired:
            raise BackboneError(
                f"{backbone.name} was not ready after {_TIMEOUT:.0f} s; try a smaller backbone"
            ) from None
        if not answer.is_file():
            last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
            raise BackboneError(
                f"the process that ran {backbone.name} crashed (exit code {done.returncode}"
                f"{': ' if last else ''}{''.join(last)}); it may have run out of memory"
            )
        found = json.loads(answer.read_text(encoding="utf-8"))
    if "error" in found:
        raise BackboneError(found["error"])
    return Cost(**found)


def time_engine(engine: Engine, side: int) -> tuple[float, float]:
    """Return images/s, and ms per image, as in `Cost`, on random images (side, side, 3)."""
    shape = (engine.batch, side, side, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)

    time_batches(engine, pixels, _FEWEST)
    seconds, _ = time_batches(engine, pixels, _FEWEST)
    batches = max(_FEWEST, math.ceil(_CHUNK * _FEWEST / seconds))
    chunks = [time_batches(engine, pixels, batches)]
    while sum(elapsed for elapsed, _ in chunks) < _SECONDS:
        chunks.append(time_batches(engine, pixels, batches))
    elapsed, busy = (min(kind) for kind in zip(*chunks, strict=True))
    images = batches * engine.batch
    return images / elapsed, 1000 * busy / images


def peak_memory() -> int | None:
    """Return the peak resident memory of this process in bytes; None if it is unknown."""
    status = Path("/proc/self/status")
    # Linux's getrusage includes the memory of the parent when it started this process.
    if status.is_file() and (found := re.search(r"VmHWM:\s*(\d+) kB", status.read_text())):
        return int(found[1]) * 1024
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return None


def _measure(
    name: str, view: str, engine_name: str, precision: str, device: str, requested: str
) -> Cost:
    # The process that asks has opened it already, so code is allowed if it is code.
    backbone = load_backbone(name, allow_download=False, allow_code=True)
    if view:
        backbone = View.parse(view).of(backbone)
    plan = EnginePlan(EngineName(engine_name), Precision(precision), device)
    engine = build_engine(backbone, plan, requested=EngineName(requested))
    speed, milliseconds = time_engine(engine, backbone.preprocessing.crop)
    return Cost(images_per_second=speed, milliseconds=milliseconds, memory_bytes=peak_memory())


def _main() -> None:
    """Run as the subprocess: the arguments are those of `_measure`, and a file for the answer."""
    *request, answer = sys.argv[1:]
    try:
        found = asdict(_measure(*request))
    except HeadstartError as error:
        found = {"error": str(error)}
    atomic_write(Path(answer), json.dumps(found).encode())


if __name__ == "__main__":
    _main()
