"""Options that come from signatures, settings dataclasses, docstrings and registries."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from headstart.cli.parameters import Command, with_options
from headstart.system.option import Advanced, Option, summary

SHAPES = {"round": 1, "square": 2}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a thing is made.

    Attributes:
        weight: How heavy it is.
        size: How large it is, in
            meters.
        shape: Its shape.
        shiny: Polish it.
        label: What is written on it.
        seed: Random seed.
    """

    weight: float
    size: Annotated[int, Option(low=1, high=9)] = 3
    shape: Annotated[str | None, Option(choices=lambda: SHAPES, unset="any")] = None
    shiny: Annotated[bool | None, Advanced(unset="if it rains")] = None
    label: str = "mine"
    seed: int = 7


CALLS: list[dict[str, Any]] = []


def make(
    source: Path,
    *,
    out: Path,
    settings: Settings,
    seed: Annotated[int | None, Option(help="Own seed.")] = None,
    kind: Annotated[list[str] | None, Option(choices=lambda: SHAPES)] = None,
) -> None:
    """Make a thing.

    Slowly.

    Options:
        out: Where to.
    """
    CALLS.append({"source": source, "out": out, "settings": settings, "seed": seed, "kind": kind})


@pytest.fixture
def run():
    app = typer.Typer(rich_markup_mode=None, add_completion=False)
    app.command(cls=Command, help=summary(make))(with_options(make))
    CALLS.clear()
    return lambda *words: CliRunner().invoke(app, list(words), env={"COLUMNS": "80"})


def test_the_settings_arrive_as_one_object(run):
    words = (
        "in",
        "--out",
        "there",
        "--weight",
        "2",
        "--size",
        "5",
        "--shape",
        "round",
        "--no-shiny",
    )
    assert run(*words, "--seed", "4", "--kind", "round", "--kind", "square").exit_code == 0
    assert [
        {
            "source": Path("in"),
            "out": Path("there"),
            # The command has a seed of its own, so that of the settings keeps its default.
            "settings": Settings(weight=2, size=5, shape="round", shiny=False, seed=7),
            "seed": 4,
            "kind": ["round", "square"],
        }
    ] == CALLS


def test_defaults_are_those_of_the_dataclass(run):
    assert run("in", "--out", "there", "--weight", "2").exit_code == 0
    assert CALLS[0]["settings"] == Settings(weight=2)


def test_help_says_what_the_docstrings_say(run):
    text = run("--help").output
    assert "Options:\n        out" not in text
    for part in (
        "Make a thing.\n\n  Slowly.",
        "--size <int>                How large it is, in meters.  [default: 3; 1 to 9]",
        "--shape <round|square>      Its shape.  [default: any]",
        "--weight <float>            How heavy it is.  [required]",
        "--out <path>                Where to.  [required]",
        "--seed <int>                Own seed.",
        "Advanced:\n  --shiny / --no-shiny  Polish it.  [default: if it rains]",
    ):
        assert " ".join(part.split()) in " ".join(text.split())
    assert text.index("--label") < text.index("Advanced:") < text.index("--shiny")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--size", "10"), "'--size'"),
        (("--shape", "flat"), "'--shape': 'flat' is not one of 'round', 'square'."),
        (("--label", "--size", "3"), "--label: it has no value before --size"),
        (("--kind", "round", "--kind", "x"), "'--kind': 'x' is not one of 'round', 'square'."),
    ],
)
def test_wrong_values_are_refused(run, words: tuple[str, ...], said: str):
    outcome = run("in", "--out", "there", "--weight", "2", *words)
    assert outcome.exit_code == 2
    assert said in outcome.output
    assert not CALLS
