"""`headstart serve` against `predict`, against servers as everyone writes them, and under attack.

    python benchmarks/serving.py [--seconds 20] [--memory 300] [--peers FOLDER] [--write FILE]

Server and loader run on different processors, as `taskset` assigns them; the same number serves
`predict`. Images are JPEGs of 500 x 375 pixels of noise with the spectrum of photographs, and every
server has the same network. With two cores and the defaults it takes about 12 minutes.
"""

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from hostile_uploads import KINDS, attack
from http_load import Load, as_form, as_request, run
from photographs import photographs

PREDICT = "/v1/models/m/predict"
_CLIENTS = 16
_UPLOADS, _STRANGERS = 1000, 8
_LIMITS = ("--timeout", "2", "--max-bytes", "8000000")
"""For the attack: slow bodies last as long as the server lets them."""


@dataclass(frozen=True)
class Process:
    """A server that runs.

    Attributes:
        port: Where it listens.
        ids: Its process and those that it started.
    """

    port: int
    ids: tuple[int, ...]

    def memory(self) -> float:
        """Return the resident memory of all its processes in MB."""
        pages = [int(Path(f"/proc/{one}/statm").read_text().split()[1]) for one in self.ids]
        return sum(pages) * os.sysconf("SC_PAGE_SIZE") / 1e6


@contextmanager
def serving(command: Sequence[str], port: int, ready: str, cores: str) -> Iterator[Process]:
    """Run a server on some cores."""
    environment = os.environ | {"OMP_NUM_THREADS": str(len(cores.split(",")))}
    process = subprocess.Popen(
        ["taskset", "-c", cores, sys.executable, *command],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_until_ready(process, f"http://127.0.0.1:{port}{ready}")
        yield Process(port, (process.pid, *children(process.pid)))
    finally:
        process.terminate()
        process.wait(60)
        with suppress(ProcessLookupError):  # LitServe leaves processes behind
            os.killpg(process.pid, signal.SIGKILL)


def wait_until_ready(process: subprocess.Popen, address: str) -> None:
    """Wait for the first answer, whatever it is."""
    for _ in range(1200):
        if process.poll() is not None:
            raise SystemExit(f"the server ended with {process.returncode}: {process.args}")
        try:
            urllib.request.urlopen(address, timeout=10).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit(f"no answer from {address}")


def children(process: int) -> list[int]:
    """Return all processes that a process has started."""
    found = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [one for child in map(int, found) for one in (child, *children(child))]


def headstart(model: Path, port: int, cores: str, *options: str) -> contextmanager:
    """Run `headstart serve`."""
    command = ["-m", "headstart", "serve", f"m={model}", "--port", str(port), *options]
    return serving(command, port, "/v2/health/ready", cores)


def alone(model: Path, folder: Path) -> dict[str, float]:
    """Return the images per second of `predict`, and the milliseconds of a single image."""
    from headstart.models.model_backbone import build_model_extractor
    from headstart.models.online_prediction import OnlinePredictor
    from headstart.models.prediction import predict
    from headstart.models.saved_model import load_model

    paths, trained = sorted(folder.iterdir()), load_model(model)
    extractor = replace(build_model_extractor(trained), cache=None)
    extractor.compile()
    rates = []
    for _ in range(3):
        started = time.perf_counter()
        predict(trained, extractor, paths)
        rates.append(len(paths) / (time.perf_counter() - started))
    predictor = OnlinePredictor(trained, extractor.with_batches(1))
    predictor.compile()
    times = []
    for path in paths:
        content = path.read_bytes()
        started = time.perf_counter()
        predictor.predict([predictor.prepare(content)])
        times.append(1000 * (time.perf_counter() - started))
    return {"rate": statistics.median(rates), "single": statistics.median(times)}


def pinned_alone(model: Path, folder: Path, cores: str) -> dict[str, float]:
    """Run `alone` in a process on some cores."""
    command = ["taskset", "-c", cores, sys.executable, __file__, "--alone", model, folder]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def load(server: Process, requests: Sequence[bytes], seconds: float, **options: float) -> Load:
    """Send requests from this process."""
    options = {"clients": _CLIENTS} | options
    return asyncio.run(run(server.port, requests, seconds=seconds, **options))


def row(*cells: str) -> str:
    """Return a row of the table."""
    return f"| {' | '.join(cells)} |"


def compared(what: str, found: Load, share: float, other: float, name: str) -> tuple[str, str, str]:
    """Return a row about a quantile, as a multiple of another time."""
    time_ = found.quantile(share)
    return what, f"{time_:.1f} ms", f"{time_ / other:.2f} times {name}"


def speed(model: Path, folder: Path, seconds: float, cores: str) -> tuple[list[str], float]:
    """Compare the server with `predict`, and measure the times of requests."""
    plain = pinned_alone(model, folder, cores)
    requests = [as_request(PREDICT, one.read_bytes(), "image/jpeg") for one in folder.iterdir()]
    with headstart(model, 8101, cores) as server:
        load(server, requests, 2)
        full = load(server, requests, seconds)
        single = load(server, requests, seconds / 2, clients=1)
        half = load(server, requests, seconds, rate=full.rate / 2)
    again = pinned_alone(model, folder, cores)
    rate = (plain["rate"] + again["rate"]) / 2
    time_alone = (plain["single"] + again["single"]) / 2
    rows = [
        ("`predict` on a folder", f"{rate:.0f} images/s", ""),
        ("16 clients", f"{full.rate:.0f} images/s", f"{full.rate / rate:.2f} of `predict` (0.85)"),
        ("one image alone, in Python", f"{time_alone:.1f} ms", ""),
        compared("a single client, median", single, 0.5, time_alone, "alone (1.5)"),
        ("half load, median", f"{half.quantile(0.5):.1f} ms", ""),
        compared("half load, 99 of 100", half, 0.99, half.quantile(0.5), "the median (3)"),
    ]
    return [row(*one) for one in rows], full.rate


def memory(model: Path, folder: Path, seconds: float, cores: str) -> str:
    """Measure the memory at full load from quarter to quarter."""
    requests = [as_request(PREDICT, one.read_bytes(), "image/jpeg") for one in folder.iterdir()]
    with headstart(model, 8102, cores) as server:
        quarters = []
        for _ in range(4):
            load(server, requests, seconds / 4)
            quarters.append(server.memory())
    shown = ", ".join(f"{one:.0f}" for one in quarters)
    return row(f"memory after each quarter of {seconds:.0f} s", f"{shown} MB", "")


def peers(folder: Path, packages: Path, seconds: float, cores: str, rate: float) -> list[str]:
    """Measure the peers."""
    os.environ["PYTHONPATH"] = f"{os.environ.get('PYTHONPATH', '')}{os.pathsep}{packages}"
    requests = [as_form("/predict", "request", one.read_bytes()) for one in folder.iterdir()]
    lines = []
    for port, name in ((8103, "fastapi"), (8104, "litserve")):
        script = str(Path(__file__).with_name(f"{name}_server.py"))
        with serving([script, str(port)], port, "/", cores) as server:
            load(server, requests, 3)
            found = load(server, requests, seconds)
        assert set(found.statuses) == {200}, found.statuses
        times = f"headstart is {rate / found.rate:.1f} times as fast (5)"
        lines.append(row(f"{name} with timm", f"{found.rate:.0f} images/s", times))
    return lines


def hostile(model: Path, folder: Path, cores: str, rate: float) -> list[str]:
    """Send hostile uploads while good requests go on at a quarter of the full load."""
    requests = [as_request(PREDICT, one.read_bytes(), "image/jpeg") for one in folder.iterdir()]
    most = 0.0

    async def both(server: Process) -> tuple[Load, Load, dict[str, list]]:
        nonlocal most

        async def watch() -> None:
            nonlocal most
            while True:
                most = max(most, server.memory())
                await asyncio.sleep(0.05)

        calm = await run(server.port, requests, clients=8, seconds=15, rate=rate / 4)
        watching = asyncio.create_task(watch())
        good = asyncio.create_task(run(server.port, requests, clients=8, seconds=90, rate=rate / 4))
        answers = await attack(server.port, uploads=_UPLOADS, at_once=_STRANGERS, wait=30)
        disturbed = await good
        watching.cancel()
        return calm, disturbed, answers

    with headstart(model, 8105, cores, *_LIMITS) as server:
        before = server.memory()
        calm, disturbed, answers = asyncio.run(both(server))
    every = [one for kind in answers.values() for one in kind]
    in_words = sum(one is not None and 400 <= one[0] < 500 and len(one[1]) > 5 for one in every)
    for kind, found in answers.items():
        print(f"{kind}: {sorted({str(one) for one in found})[:3]}", flush=True)
    rows = [
        (
            f"{len(every)} hostile uploads of {len(KINDS)} kinds",
            f"{in_words} answered with 4xx in words",
            "",
        ),
        ("memory before, and most during them", f"{before:.0f}, {most:.0f} MB", ""),
        ("good requests before, 99 of 100", f"{calm.quantile(0.99):.1f} ms", f"{calm.statuses}"),
        compared(
            "good requests meanwhile, 99 of 100", disturbed, 0.99, calm.quantile(0.99), "that (2)"
        ),
        ("good requests meanwhile", "", f"{disturbed.statuses}"),
    ]
    return [row(*one) for one in rows]


def main() -> None:
    """Run the benchmark and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=20, help="duration of a measurement")
    parser.add_argument("--memory", type=float, default=300, help="seconds of full load")
    parser.add_argument("--peers", type=Path, help="folder with LitServe, from pip --target")
    parser.add_argument("--write", type=Path, help="file for the table")
    parser.add_argument("--alone", type=Path, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        print(json.dumps(alone(*options.alone)))
        return
    every = sorted(os.sched_getaffinity(0))
    half = len(every) // 2
    cores = ",".join(map(str, every[:half]))
    os.sched_setaffinity(0, every[half:])
    lines = ["| | measured | |", "|---|---|---|"]
    with tempfile.TemporaryDirectory() as scratch:
        folder, model = Path(scratch) / "photos", Path(scratch) / "model"
        list(photographs(folder, (500, 375), 300))
        for kind in ("a", "b"):
            list(photographs(Path(scratch) / "train" / kind, (500, 375 + 9 * (kind == "b")), 20))
        command = [sys.executable, "-m", "headstart", "fit", Path(scratch) / "train"]
        subprocess.run([*command, "--out", model], check=True, capture_output=True)
        measured, rate = speed(model, folder, options.seconds, cores)
        parts = [lambda: measured, lambda: hostile(model, folder, cores, rate)]
        if options.memory:
            parts.append(lambda: [memory(model, folder, options.memory, cores)])
        if options.peers:
            parts.append(lambda: peers(folder, options.peers, options.seconds, cores, rate))
        for part in parts:
            found = part()
            lines += found
            print(*found, sep="\n", flush=True)
    if options.write:
        options.write.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
