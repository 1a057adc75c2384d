"""Every public function says what it takes and returns, and all examples run as they are."""

from __future__ import annotations

import doctest
import inspect
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import headstart
from headstart.comparison import successive_halving
from headstart.comparison.cost import Cost
from tests.desk import write_desk

FUNCTIONS = [name for name in headstart.__all__ if inspect.isfunction(getattr(headstart, name))]
SECTIONS = ("Args:", "Returns:", "Raises:", "Example:")
WITH_GRADIENTS = frozenset(
    ["attack", "explain", "feature_maps", "finetune", "imagine", "measure_transfer", "robustness"]
)
"""Functions that take seconds with a real network."""
OPENERS = (
    "headstart.api.networks",
    "headstart.features.extractor",
    "headstart.models.model_backbone",
    "headstart.models.quality",
)


def examples() -> list[doctest.DocTest]:
    """The examples of the package itself, and of what it makes public, methods included."""
    public = {name: getattr(headstart, name) for name in headstart.__all__}
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = finder.find(headstart, "headstart", module=False, globs={})
    for name, value in public.items():
        if inspect.isfunction(value) or inspect.isclass(value):
            found += finder.find(value, name, module=False, globs={})
            for base in inspect.getmro(value)[1:] if inspect.isclass(value) else ():
                if base.__module__.startswith("headstart."):
                    found += finder.find(base, f"{name}.{base.__name__}", module=False, globs={})
    different = {one.docstring: one for one in found if one.examples}.values()
    return sorted(different, key=lambda one: one.name in WITH_GRADIENTS)  # these exchange networks


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, cat: Path) -> Path:
    """A folder with what the examples take for granted, and a model."""
    folder = write_desk(tmp_path_factory.mktemp("desk"))
    shutil.copy(cat, folder / "cat.png")
    headstart.fit(folder / "photos", out=folder / "model", cache=folder / "cache")
    return folder


@pytest.fixture(scope="module")
def small_desk(desk: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The same with a network of a few thousand numbers, whatever is asked for."""
    from tests.finetuning.networks import EAGER, small_backbone

    network = replace(small_backbone(), name="efficientnet-lite0")
    folder = tmp_path_factory.mktemp("small") / "desk"
    shutil.copytree(desk, folder, ignore=shutil.ignore_patterns("model", "cache"))
    with pytest.MonkeyPatch.context() as patch:
        for module in OPENERS:
            patch.setattr(f"{module}.load_backbone", lambda *_, **__: network)
        for module in ("features.extractor", "inspection.inspected_network"):
            patch.setattr(f"headstart.{module}.make_plan", lambda *_, **__: EAGER)
        headstart.fit(folder / "photos", out=folder / "model", cache=folder / "cache")
        yield folder


@pytest.mark.slow
@pytest.mark.parametrize("example", examples(), ids=lambda one: one.name)
def test_an_example_runs_as_it_is(
    example: doctest.DocTest, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = request.getfixturevalue("small_desk" if example.name in WITH_GRADIENTS else "desk")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HEADSTART_CACHE", str(folder / "cache"))
    cost = Cost(images_per_second=100, milliseconds=10, memory_bytes=100_000_000)
    monkeypatch.setattr(successive_halving, "measure_cost", lambda *_, **__: cost)
    said: list[str] = []
    example.globs = {name: getattr(headstart, name) for name in headstart.__all__} | {"np": np}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        failed = doctest.DocTestRunner(verbose=False).run(example, out=said.append).failed
    assert failed == 0, said


def test_every_function_has_an_example() -> None:
    names = {one.name for one in examples()}
    assert {*FUNCTIONS, "Classifier", "ImageDataset", "headstart"} <= names


@pytest.mark.parametrize("kind", [headstart.Classifier, headstart.Featurizer])
def test_every_method_of_an_estimator_has_an_example(kind: type) -> None:
    own = {
        name: member
        for name, member in inspect.getmembers(kind, callable)
        if not name.startswith("_")
        and (getattr(member, "__module__", "") or "").startswith("headstart")
    }
    assert {"fit", "transform"} <= own.keys()
    assert [name for name, member in own.items() if ">>>" not in (member.__doc__ or "")] == []


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_says_what_it_takes_returns_and_raises(name: str) -> None:
    function: Any = getattr(headstart, name)
    text = inspect.getdoc(function) or ""
    parameters = inspect.signature(function).parameters
    needed = SECTIONS if parameters else ("Returns:", "Example:")
    assert [section for section in needed if section not in text] == []
    assert [one for one in parameters if f"{one}: " not in text] == []
