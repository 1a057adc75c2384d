"""Every public name has a docstring with an example, and the examples run as they are."""

from __future__ import annotations

import doctest
import inspect
import warnings
from pathlib import Path
from typing import Any

import pytest

import headstart
from headstart.cli.app import run
from headstart.comparison import successive_halving
from headstart.comparison.cost import Cost
from tests.conftest import picture, write_photos

ROOT = Path(headstart.__file__).parent
FUNCTIONS = [
    name for name in headstart.__all__ if inspect.isfunction(getattr(headstart, name, None))
]
SECTIONS = ("Args:", "Returns:", "Raises:", "Example:")


def examples() -> list[doctest.DocTest]:
    """The examples of the package itself, and of what it makes public."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = finder.find(headstart, "headstart", module=False, globs={})
    for name in headstart.__all__:
        value = getattr(headstart, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            found += finder.find(value, name, module=False, globs={})
    return [one for one in found if one.examples]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the examples take for granted: photos/, test-photos/, new.jpg, model/."""
    folder = tmp_path_factory.mktemp("desk")
    write_photos(folder / "photos", 8)
    write_photos(folder / "test-photos", 2, first=100)
    picture("checks", 200).save(folder / "new.jpg")
    arguments = ["fit", str(folder / "photos"), "--out", str(folder / "model")]
    assert run([*arguments, "--cache", str(folder / "cache")]) == 0
    return folder


@pytest.fixture
def at_the_desk(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk)
    monkeypatch.setenv("HEADSTART_CACHE", str(desk / "cache"))
    cost = Cost(images_per_second=100, milliseconds=10, memory_bytes=100_000_000)
    monkeypatch.setattr(successive_halving, "measure_cost", lambda *_, **__: cost)


@pytest.mark.slow
@pytest.mark.usefixtures("at_the_desk")
@pytest.mark.parametrize("example", examples(), ids=lambda one: one.name)
def test_an_example_runs_as_it_is(example: doctest.DocTest) -> None:
    said: list[str] = []
    example.globs = {}
    runner = doctest.DocTestRunner(verbose=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert runner.run(example, out=said.append).failed == 0, "".join(said)


def test_the_examples_are_found() -> None:
    names = {one.name.partition(".")[0] for one in examples()}
    assert {*FUNCTIONS, "Classifier", "ImageDataset", "headstart"} <= names


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_says_what_it_takes_returns_and_raises(name: str) -> None:
    function: Any = getattr(headstart, name)
    text = inspect.getdoc(function) or ""
    parameters = inspect.signature(function).parameters
    needed = SECTIONS if parameters else ("Returns:", "Example:")
    assert [section for section in needed if section not in text] == []
    for parameter in parameters:
        assert f"{parameter}: " in text, parameter
