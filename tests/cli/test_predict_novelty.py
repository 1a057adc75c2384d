"""Unknown images, as `headstart predict` shows them."""

import csv
import io
from pathlib import Path

import pytest
import skimage.data
from PIL import Image

from tests.cli.conftest import Cli, one_sentence
from tests.conftest import KINDS, files

pytestmark = pytest.mark.slow


class TestNovelty:
    @pytest.fixture
    def photo(self, tmp_path: Path) -> Path:
        """A photo of something else than checks, noise and stripes."""
        path = tmp_path / "cat.png"
        Image.fromarray(skimage.data.cat()).save(path)
        return path

    def test_another_thing_is_called_unknown_with_what_it_would_be(
        self, cli: Cli, model: Path, new: Path, photo: Path
    ):
        known = files(new / "checks")[0]
        lines = cli("predict", model, known, photo).out.splitlines()
        assert "unknown" not in lines[1]
        assert "unknown (would say " in lines[2]
        first, second = cli("predict", model, known, photo, "--json").document["predictions"]
        assert first["known"]
        assert not second["known"]
        assert second["novelty"] <= 0.05 < first["novelty"] <= 1
        assert second["label"] in KINDS

    def test_the_rate_may_be_set_and_turned_off(
        self, cli: Cli, model: Path, new: Path, photo: Path
    ):
        known = files(new / "checks")[0]
        found = cli("predict", model, known, "--unknown", "0.999", "--json").document
        (answer,) = found["predictions"]
        assert answer["known"] is (answer["novelty"] > 0.999)
        outcome = cli("predict", model, photo, "--unknown", "off", "--format", "csv")
        (row,) = csv.DictReader(io.StringIO(outcome.out))
        assert row["known"] == ""
        assert float(row["novelty"]) <= 0.05
        assert "unknown" not in cli("predict", model, photo, "--unknown", "Off").out

    @pytest.mark.parametrize("rate", ["0", "1", "-0.1", "nan", "often"])
    def test_a_rate_that_is_none_is_refused(self, rate: str, cli: Cli, model: Path, new: Path):
        outcome = cli("predict", model, files(new)[0], f"--unknown={rate}")
        assert (outcome.code, one_sentence(outcome)) == (2, True)
        assert f"--unknown is {rate!r}; give a rate between 0 and 1" in outcome.err
