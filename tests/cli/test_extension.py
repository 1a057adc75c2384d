"""What can be added to the command line from outside the package."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from headstart.cli.formats import FORMATS, BatchPrediction
from tests.cli.conftest import Cli
from tests.conftest import files


def as_lines(batch: BatchPrediction, count: int) -> str:
    """A line per image: its path, and its classes or what is wrong with it."""
    del count
    return "\n".join(
        f"{one.image}: {one.error or ' '.join(guess.label for guess in one.top)}"
        for one in batch.images
    )


@pytest.fixture
def _lines() -> Iterator[None]:
    FORMATS["lines"] = as_lines
    yield
    del FORMATS["lines"]


@pytest.mark.usefixtures("_lines")
def test_a_format_from_outside_prints_predictions(cli: Cli, model: Path, new: Path):
    broken = new / "noise" / "broken.png"
    broken.write_text("not an image")
    image = files(new / "checks")[0]
    outcome = cli("predict", model, image, broken, "--format", "lines", "--top", 2)
    assert outcome.code == 1
    first, second = outcome.out.splitlines()
    assert first.startswith(f"{image}: checks ")
    assert second == f"{broken}: not an image"
    assert "<table|csv|json|lines>" in cli("predict", "--help").out


def test_a_format_that_is_unknown_is_refused_and_the_known_ones_are_named(cli: Cli):
    outcome = cli("predict", "model", "image.jpg", "--format", "lines")
    assert outcome.code == 2
    assert "'--format': 'lines' is not one of 'table', 'csv', 'json' (see" in outcome.err
    assert "lines" not in cli("predict", "--help").out
