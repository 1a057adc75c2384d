"""Processes that are killed while they write: at random, and before each file operation."""

import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Final

import numpy as np

from headstart.features.segment_file import Segment, write_segment
from headstart.models.saved_model import load_model, save_model
from tests.campaign import eager
from tests.campaign.campaign import Campaign
from tests.campaign.commands import SEEDS, Reference, finish, fit, kill_after, start, stored_rows
from tests.models.trained_models import features, make_model

_EAGER: Final = "tests.campaign.eager"


def random_kills(folder: Path, count: int, chance: Random) -> Iterator[str | None]:
    """Kill `fit` again and again on the same cache and model, then let it end."""
    reference = Reference.of(folder, images=30)
    left, stored, work = 0, 0, folder
    for i in range(count):
        if not left:
            left, stored, work = chance.randint(5, 10), 0, folder / f"life-{i}"
        seed = chance.choice(SEEDS)
        whole = stored == len(reference.rows)
        longest = reference.warm if whole else reference.cold
        delay = chance.uniform(0.2, 1.1) * longest
        process = start(*fit(reference.data, work, seed=seed), cache=work / "cache", module=_EAGER)
        outcome = kill_after(process, delay)
        fault = outcome.fault if outcome.code != -signal.SIGKILL else None
        fault = fault or reference.model_fault(work / "model")
        fault = fault or reference.rows_fault(work / "cache", least=stored)
        stored = len(stored_rows(work / "cache"))
        left -= 1
        if not fault and (not left or i == count - 1):
            fault = _ends_well(reference, work, seed=seed, reused=stored)
        if fault:
            left = 0
        if not left:
            shutil.rmtree(work, ignore_errors=True)
        yield fault and f"kill {i} after {delay:.3f} s: {fault}"


def _ends_well(reference: Reference, work: Path, *, seed: int, reused: int) -> str | None:
    """None if a fit that is not disturbed uses the stored rows and gives the right model."""
    command = start(*fit(reference.data, work, seed=seed), cache=work / "cache", module=_EAGER)
    outcome = finish(command)
    if outcome.failure:
        return f"then: {outcome.failure}"
    if (cached := outcome.document["cached"]) < reused:
        return f"{reused} rows were stored, but the next fit used {cached}"
    return reference.result_fault(work, seed=seed)


def _first_model(_reference: Reference, work: Path) -> None:
    work.mkdir()


def _replacement(reference: Reference, work: Path) -> None:
    """A cache with everything, and the model of the other seed."""
    shutil.copytree(reference.data.parent / "undisturbed", work)
    (work / "model").mkdir()
    for name, content in reference.models[1].items():
        (work / "model" / name).write_bytes(content)


def _many_segments(reference: Reference, work: Path) -> None:
    """A cache in which the rest of the features makes so many segments that they are merged."""
    shutil.copytree(reference.data.parent / "undisturbed", work)
    for path in list((work / "cache" / "features").glob("*/*.safetensors")):
        for row in range(17):
            _write_row(Segment(path), np.array([row]))
        path.unlink()


def _write_row(segment: Segment, row: np.ndarray) -> None:
    """Write a row of a segment as a segment of its own."""

    def rows(stage: str, begin: int, end: int) -> np.ndarray:
        values = np.empty((1, segment.widths[stage]), np.float32)
        with segment.open([stage]) as file:
            segment.copy_rows(file, stage, row, into=values, at=np.array([0]))
        return values[begin:end]

    write_segment(segment.path.parent, segment.keys[row], segment.widths, rows)


_STARTS: Final = {
    "a first model": _first_model,
    "an archive": _first_model,
    "a replaced model": _replacement,
    "merged features": _many_segments,
}


def kills_at_operations(folder: Path, count: int, chance: Random) -> Iterator[str | None]:
    """Kill `fit` before one of its file operations; the same command must then work."""
    reference = Reference.of(folder, images=12)
    archive = shutil.make_archive(str(folder / "archive"), "zip", reference.data)
    points, manifests = [], {}
    for name in _STARTS:
        points += [(name, point) for point in range(_operations(name, reference, archive))]
        manifests[name] = (folder / "work" / "model" / "model.json").read_bytes()
        shutil.rmtree(folder / "work")
    chance.shuffle(points)
    for i in range(count):
        name, point = points[i % len(points)]
        work = _prepared(name, reference)
        stored = len(stored_rows(work / "cache"))
        killed = _fit(name, reference, archive, point=point)
        fault = None if killed == -signal.SIGKILL else f"was not killed, exit code {killed}"
        fault = fault or reference.model_fault(work / "model", also=manifests[name])
        fault = fault or reference.rows_fault(work / "cache", least=stored)
        if not fault:
            data = Path(archive) if name == "an archive" else reference.data
            outcome = finish(start(*fit(data, work), cache=work / "cache"))
            fault = outcome.failure
            if not fault and data == reference.data:
                fault = reference.result_fault(work, seed=0)
            elif not fault and (work / "model" / "model.json").read_bytes() != manifests[name]:
                fault = "the model differs from that of an undisturbed fit"
            fault = fault or reference.rows_fault(work / "cache", least=len(reference.rows))
        shutil.rmtree(work)
        yield fault and f"{name}, killed before file operation {point}: {fault}"


def _prepared(name: str, reference: Reference) -> Path:
    work = reference.data.parent / "work"
    _STARTS[name](reference, work)
    return work


def _operations(name: str, reference: Reference, archive: str) -> int:
    """Return the number of file operations of an undisturbed fit."""
    _prepared(name, reference)
    if code := _fit(name, reference, archive, point=-1):
        raise RuntimeError(f"the undisturbed fit of {name} ended with {code}")
    return int((reference.data.parent / "operations").read_text())


def _fit(name: str, reference: Reference, archive: str, *, point: int) -> int:
    """Run `fit` to the point, or to its end, and return its exit code."""
    folder = reference.data.parent
    places = {
        eager.POINT: str(point),
        eager.WATCHED: str(folder / "work"),
        eager.COUNT: str(folder / "operations"),
    }
    data = Path(archive) if name == "an archive" else reference.data
    command = fit(data, folder / "work")
    return finish(start(*command, cache=folder / "work" / "cache", module=_EAGER, more=places)).code


def kills_while_replacing(folder: Path, count: int, chance: Random) -> Iterator[str | None]:
    """Kill a process at a random time while it saves a model over another one."""
    models = [make_model(seed=seed) for seed in SEEDS]
    due = {model.probabilities(features()).tobytes() for model in models}
    begin = time.monotonic()
    for model in models:
        save_model(model, folder / "model")
    longest = time.monotonic() - begin
    for i in range(count):
        delay = chance.uniform(0, longest)
        child = os.fork()
        if child == 0:
            for k in range(100):
                save_model(models[(i + k) % 2], folder / "model")
            os._exit(0)
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        yield loads_as(folder / "model", due, f"kill {i} after {1000 * delay:.2f} ms")


def loads_as(model: Path, due: set[bytes], name: str) -> str | None:
    """None if a model loads, and answers like one of those that were saved."""
    try:
        answer = load_model(model).probabilities(features()).tobytes()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the verdict
        return f"{name}: {type(error).__name__}: {error}"
    return None if answer in due else f"{name}: answers like neither of the models"


KILLS: Final = (
    Campaign(
        kind="`fit` killed at a random time, its cache and model used again",
        failure="a model that does not load, a lost or wrong row of features, or a different model "
        "in the end",
        tries=random_kills,
        full=200,
        short=2,
        slow=True,
    ),
    Campaign(
        kind="`fit` killed before one of its file operations: the first model, a replaced one, an "
        "archive, merged features",
        failure="neither the old model nor the new one, a lost row, or a command that does not "
        "work afterwards",
        tries=kills_at_operations,
        full=100,
        short=2,
        slow=True,
    ),
    Campaign(
        kind="processes killed while saving over a model",
        failure="a model that does not load, or answers like neither",
        tries=kills_while_replacing,
        full=500,
        short=10,
    ),
)
