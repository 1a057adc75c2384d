"""headstart's commands, started as users start them: a process each, on small data."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

import safetensors.numpy

import headstart
from headstart.errors import HeadstartError
from headstart.models.saved_model import load_model
from tests.conftest import write_photos

SEEDS: Final = (0, 1)
"""Seeds of `fit`, which give two models of the same images."""
_TREES: Final = [str(Path(headstart.__file__).parents[1]), str(Path(__file__).parents[2])]
_TIMEOUT: Final = 120.0
Process: TypeAlias = "subprocess.Popen[str]"
Rows: TypeAlias = Mapping[bytes, bytes]
"""Image digest -> the bytes of its features."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended: its exit code, negative for a signal, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def fault(self) -> str | None:
        """None if it succeeded or refused in one sentence, else what is wrong."""
        said = f"exit code {self.code}: {self.err[-300:]!r}"
        if self.code not in (0, 1, 2):
            return said
        if "Traceback" in self.err or "This is a bug" in self.err:
            return said
        errors = [one for one in self.err.splitlines() if one.startswith("headstart: error: ")]
        return said if len(errors) != (self.code > 0) else None

    @property
    def failure(self) -> str | None:
        """None if it succeeded, else what is wrong."""
        return self.fault or (f"exit code {self.code}: {self.err[-300:]!r}" if self.code else None)

    @property
    def document(self) -> Any:
        """What it printed, as JSON."""
        return json.loads(self.out)


def environment(cache: Path) -> dict[str, str]:
    """Return the environment of a command of the tree under test."""
    return os.environ | {"HEADSTART_CACHE": str(cache), "PYTHONPATH": os.pathsep.join(_TREES)}


def as_user(user: int | None) -> list[str]:
    """Return the command that runs a command as another user, who may read Python and the tree."""
    if user is None:
        return []
    may_read = ("--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search")
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *may_read]


def start(
    *arguments: object,
    cache: Path,
    module: str = "headstart",
    user: int | None = None,
    umask: int = -1,
    more: Mapping[str, str] | None = None,
) -> Process:
    """Start a command, as another user if one is given, with `more` in its environment."""
    return subprocess.Popen(
        [*as_user(user), sys.executable, "-m", module, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(cache) | dict(more or {}),
        cwd="/",
        umask=umask,
    )


def finish(process: Process) -> Outcome:
    """Wait for a command; one that hangs is killed."""
    try:
        out, err = process.communicate(timeout=_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        err += f" (killed after {_TIMEOUT:.0f} s)"
    return Outcome(process.returncode, out, err)


def kill_after(process: Process, seconds: float) -> Outcome:
    """Kill a command with SIGKILL unless it ends before."""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
    return Outcome(process.returncode, out, err)


def fit(data: Path, work: Path, *, seed: int = 0) -> Sequence[object]:
    """Return the arguments of `fit` for a folder that contains the model and the cache."""
    return ("fit", data, "--out", work / "model", "--seed", seed, "--json")


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files of a model by name."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def stored_rows(cache: Path) -> dict[bytes, bytes]:
    """Return the features in a cache, read by safetensors itself; a damaged file is an error."""
    found: dict[bytes, bytes] = {}
    for path in sorted((cache / "features").glob("*/*.safetensors")):
        arrays = safetensors.numpy.load_file(path)
        digests = arrays.pop("digests")
        stages = [arrays[name] for name in sorted(arrays)]
        for i, digest in enumerate(digests):
            found[digest.tobytes()] = b"".join(stage[i].tobytes() for stage in stages)
    return found


@dataclass(frozen=True, slots=True)
class Reference:
    """What an undisturbed `fit` gives: of the same images, every other must give the same.

    Attributes:
        data: the folder of images.
        models: the files of the model of each of `SEEDS`.
        rows: the features.
        cold: seconds of a fit with an empty cache.
        warm: seconds of a fit that finds all features in the cache.
    """

    data: Path
    models: Sequence[Mapping[str, bytes]]
    rows: Rows = field(repr=False)
    cold: float
    warm: float

    @classmethod
    def of(cls, folder: Path, *, images: int) -> "Reference":
        """Write `images` of each of three classes into a new folder, and fit them."""
        data, work = write_photos(folder / "photos", images), folder / "undisturbed"
        models, times = [], []
        for seed in SEEDS:
            begin = time.monotonic()
            outcome = finish(start(*fit(data, work, seed=seed), cache=work / "cache"))
            times.append(time.monotonic() - begin)
            if outcome.failure:
                raise RuntimeError(f"the undisturbed fit failed: {outcome.failure}")
            models.append(contents(work / "model"))
            shutil.rmtree(work / "model")
        return cls(data, models, stored_rows(work / "cache"), *times)

    def model_fault(self, model: Path, *, also: bytes = b"") -> str | None:
        """None if a folder contains no model, or a whole one: of `SEEDS`, or of this manifest."""
        if not (model / "model.json").exists():
            return None
        try:
            load_model(model)
        except HeadstartError as error:
            return f"the model does not load: {error}"
        manifest = (model / "model.json").read_bytes()
        whole = manifest in (also, *(one["model.json"] for one in self.models))
        return None if whole else "the model is neither the old one nor the new one"

    def rows_fault(self, cache: Path, *, least: int) -> str | None:
        """None if a cache contains at least so many rows, and all are right."""
        found = stored_rows(cache)
        if len(found) < least:
            return f"{least - len(found)} of {least} stored rows are lost"
        wrong = sum(self.rows.get(digest) != row for digest, row in found.items())
        return f"{wrong} of {len(found)} stored rows are wrong" if wrong else None

    def result_fault(self, work: Path, *, seed: int) -> str | None:
        """None if a fit that succeeded has left the right model and the right features."""
        found, due = contents(work / "model"), self.models[seed]
        if wrong := [name for name in due if found.get(name) != due[name]]:
            return f"{', '.join(wrong)} of the model differ from those of an undisturbed fit"
        return self.rows_fault(work / "cache", least=0)
