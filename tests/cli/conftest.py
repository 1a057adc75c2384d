"""Runs the command line as a user sees it: exit code, stdout and stderr."""

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from website.json_schemas import OUTPUTS, json_schema

from headstart.cli.app import run

_NEXT = "headstart: next, "
SCHEMAS = {command: Draft202012Validator(json_schema(command)) for command in OUTPUTS}
"""Of what commands print with --json; all of that in these tests is checked against them."""


@dataclass(frozen=True)
class Outcome:
    """What a command did; `err` is without the hint at a next step, which is `next`."""

    code: int
    out: str
    err: str
    next: str = ""

    @property
    def document(self) -> Any:
        """The one JSON document on stdout; fails if there is anything beside it."""
        assert self.out, self.err  # says why there is none
        return json.loads(self.out)


Cli = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def _shared(shared_networks: None) -> None:
    """These tests take networks as they are."""


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.delenv("COLUMNS", raising=False)
    # A slow machine would add lines about progress to stderr.
    monkeypatch.setattr("headstart.system.progress._LOG_INTERVAL", math.inf)

    def call(*arguments: object) -> Outcome:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        lines = captured.err.splitlines(keepends=True)
        hint = lines.pop() if lines and lines[-1].startswith(_NEXT) else ""
        outcome = Outcome(code, captured.out, "".join(lines), hint.removeprefix(_NEXT).strip())
        if "--json" in arguments and outcome.out and (schema := SCHEMAS.get(str(arguments[0]))):
            schema.validate(outcome.document)
        return outcome

    return call


@pytest.fixture
def new(new_photos: Path, tmp_path: Path) -> Path:
    """A copy of the new photos that a test may change."""
    return Path(shutil.copytree(new_photos, tmp_path / "new"))


def one_sentence(outcome: Outcome) -> bool:
    """Whether an error is said in a line, without a traceback, and nothing else."""
    lines = outcome.err.strip().splitlines()
    return len(lines) == 1 and lines[0].startswith("headstart: error: ") and not outcome.out
