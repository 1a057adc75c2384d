"""Several processes that use one cache or one model folder at the same time."""

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import Final

from headstart.models.saved_model import save_model
from headstart.models.trained_model import Model
from tests.campaign.campaign import Campaign
from tests.campaign.commands import SEEDS, Outcome, Reference, finish, fit, kill_after, start
from tests.campaign.kills import loads_as
from tests.models.trained_models import features, make_model

_ROUND: Final = 4
"""Fits at the same time; half of them are killed."""


def concurrent_fits(folder: Path, count: int, chance: Random) -> Iterator[str | None]:
    """Run four fits of one cache and one model at a time, and kill two of them."""
    reference = Reference.of(folder, images=12)
    for begin in range(0, count, _ROUND):
        work, seed = folder / f"round-{begin}", chance.choice(SEEDS)
        command = fit(reference.data, work, seed=seed)
        processes = [
            start(*command, cache=work / "cache", module="tests.campaign.eager")
            for _ in range(_ROUND)
        ]
        delays = [chance.uniform(0, 2 * reference.cold) for _ in range(_ROUND // 2)]
        killed = []
        for process, pause in zip(processes, _pauses(delays), strict=False):
            killed.append(kill_after(process, pause))
        survived = [finish(process) for process in processes[len(delays) :]]
        faults = [_fault_of_killed(outcome) for outcome in killed]
        faults += [outcome.failure for outcome in survived]
        after = reference.result_fault(work, seed=seed) if not any(faults) else None
        after = after or reference.model_fault(work / "model")
        shutil.rmtree(work)
        for k, fault in list(enumerate(faults))[: count - begin]:
            fault = fault or (after if k == _ROUND - 1 else None)
            yield fault and f"fit {k} of the round at {begin}: {fault}"


def _pauses(delays: list[float]) -> list[float]:
    """Return the time to wait for each in turn, so that they end at these delays."""
    ordered = sorted(delays)
    return [after - before for before, after in zip([0.0, *ordered], ordered, strict=False)]


def _fault_of_killed(outcome: Outcome) -> str | None:
    return None if outcome.code == -signal.SIGKILL else outcome.failure


def clears_during_fits(folder: Path, count: int, chance: Random) -> Iterator[str | None]:
    """Clear the cache at a random time while a fit uses it."""
    reference = Reference.of(folder, images=12)
    for i in range(count):
        work, seed = folder / f"clear-{i}", chance.choice(SEEDS)
        if chance.random() < 0.5:  # features are read as well as written
            shutil.copytree(folder / "undisturbed" / "cache", work / "cache")
        command = fit(reference.data, work, seed=seed)
        fitting = start(*command, cache=work / "cache", module="tests.campaign.eager")
        delay = chance.uniform(0, reference.cold)
        time.sleep(delay)
        cleared = finish(start("cache", "--clear", cache=work / "cache"))
        outcome = finish(fitting)
        fault = outcome.fault or (cleared.failure and f"cache --clear: {cleared.failure}")
        if not fault and outcome.code == 0:
            fault = reference.result_fault(work, seed=seed)
        shutil.rmtree(work)
        yield fault and f"cleared after {delay:.3f} s: {fault}"


def loads_during_writes(folder: Path, count: int, chance: Random) -> Iterator[str | None]:
    """Load a model while another process replaces it again and again."""
    models, due = _models()
    save_model(models[0], folder / "model")

    def write() -> None:
        while True:
            for model in models:
                save_model(model, folder / "model")

    child = _forked(write)
    try:
        for i in range(count):
            time.sleep(chance.uniform(0, 0.04))
            yield loads_as(folder / "model", due, f"load {i}")
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def two_writers(folder: Path, count: int, chance: Random) -> Iterator[str | None]:
    """Let two processes save different models to one folder at the same time."""
    models, due = _models()
    for i in range(count):
        # A first model in one of four rounds, a replacement otherwise.
        model = folder / f"model-{i // 4}"
        begin = time.monotonic() + 0.01

        def write(mine: Model, model: Path = model, begin: float = begin) -> None:
            time.sleep(max(0.0, begin - time.monotonic()))
            save_model(mine, model)

        children = [_forked(partial(write, mine)) for mine in models]
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        fault = loads_as(model, due, f"round {i}")
        yield fault or (f"round {i}: exit codes {codes}" if any(codes) else None)


def _models() -> tuple[list[Model], set[bytes]]:
    """Return two models, and how each answers."""
    models = [make_model(seed=seed) for seed in SEEDS]
    return models, {model.probabilities(features()).tobytes() for model in models}


def _forked(work: Callable[[], None]) -> int:
    """Run a function in a child process, and return its number."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001 - nothing of the parent may run in the child
            os._exit(1)
        os._exit(0)
    return child


CONCURRENCY: Final = (
    Campaign(
        kind="four fits of one cache and one model at a time, half of them killed",
        failure="a survivor that fails, a model that does not load or differs, or a wrong row",
        tries=concurrent_fits,
        full=40,
        short=4,
        slow=True,
    ),
    Campaign(
        kind="`cache --clear` during a fit",
        failure="a fit that does not end well or in one sentence, or gives a different model",
        tries=clears_during_fits,
        full=20,
        short=1,
        slow=True,
    ),
    Campaign(
        kind="loads of a model that another process replaces all the time",
        failure="a load that fails, or a model that answers like neither",
        tries=loads_during_writes,
        full=500,
        short=20,
    ),
    Campaign(
        kind="two processes that save to one model folder at a time",
        failure="a writer that fails, or a model that does not load or answers like neither",
        tries=two_writers,
        full=400,
        short=8,
    ),
)
