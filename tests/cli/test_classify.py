from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.conftest import files

pytestmark = pytest.mark.slow


def test_it_gives_the_backbones_own_top_5(cli: Cli, new: Path):
    outcome = cli("classify", files(new)[0], "--json")
    assert (outcome.code, outcome.err) == (0, "")
    (answer,) = outcome.document["predictions"]
    assert answer.keys() == {"image", "label", "probability", "top"}
    assert len(answer["top"]) == 5
    assert answer["label"] == answer["top"][0]["label"]


def test_it_goes_on_past_an_unreadable_image(cli: Cli, new: Path):
    broken = new / "noise" / "broken.png"
    broken.write_text("no picture")
    outcome = cli("classify", broken, files(new)[0], "--top", 1, "--format", "csv")
    assert outcome.code == 1
    assert outcome.out.splitlines()[1] == f"{broken},,,not an image"
