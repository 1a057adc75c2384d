"""The examples in the docstrings of the public classes run, in a folder with what they name."""

from __future__ import annotations

import doctest
import inspect
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

import headstart
from headstart import Classifier, Featurizer, open_dataset

DOCUMENTED = (Classifier, Featurizer)
"""Classes of which every public method has an example."""


def methods(kind: type) -> Iterator[tuple[str, Any]]:
    """The public methods that are headstart's own, also inherited ones."""
    for name, member in inspect.getmembers(kind, callable):
        of = getattr(member, "__module__", "") or ""
        if not name.startswith("_") and of.startswith("headstart"):
            yield f"{kind.__name__}.{name}", member


METHODS = dict(entry for kind in DOCUMENTED for entry in methods(kind))
# The example of `Classifier` itself needs a data set; its own test runs that.
EXAMPLES: dict[str, Any] = {"headstart": headstart, "Featurizer": Featurizer, **METHODS}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photos/, new.jpg, cat.png and a model of the photos."""
    folder = tmp_path_factory.mktemp("desk")
    for name, color in (("cat", (180, 90, 60)), ("dog", (60, 90, 180))):
        (folder / "photos" / name).mkdir(parents=True)
        for seed in range(24):
            noise = np.random.default_rng(seed).normal(0, 40, (64, 80, 3))
            pixels = np.clip(noise + color, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / "photos" / name / f"{seed}.jpg")
    shutil.copy(folder / "photos" / "cat" / "0.jpg", folder / "new.jpg")
    Image.fromarray(pixels).save(folder / "cat.png")
    classifier = Classifier(cache=folder / "cache").fit(open_dataset(folder / "photos"))
    classifier.save(folder / "model")
    return folder


@pytest.mark.parametrize("name", METHODS)
def test_every_public_method_has_an_example(name: str) -> None:
    assert ">>>" in inspect.getdoc(METHODS[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_run(name: str, desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk)
    monkeypatch.setenv("HEADSTART_CACHE", str(desk / "cache"))
    known = {public: getattr(headstart, public) for public in headstart.__all__}
    of = EXAMPLES[name]
    text = of.__doc__ if isinstance(of, ModuleType) else inspect.getdoc(of)
    example = doctest.DocTestParser().get_doctest(text, known | {"np": np}, name, None, 0)
    assert example.examples
    runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.FAIL_FAST)
    failures: list[str] = []
    assert runner.run(example, out=failures.append).failed == 0, "".join(failures)
