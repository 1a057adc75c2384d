"""The model that a command was given."""

from pathlib import Path

import pytest

from tests.cli.conftest import Cli, one_sentence


@pytest.mark.parametrize("verb", ["predict", "evaluate"])
def test_a_model_in_the_place_of_the_images_is_recognized(
    verb: str, cli: Cli, model: Path, new_photos: Path
) -> None:
    outcome = cli(verb, new_photos, model)
    assert (outcome.code, one_sentence(outcome)) == (2, True)
    assert f"{model} is the model, which comes first" in outcome.err
    assert f"run: headstart {verb} {model} {new_photos}\n" in outcome.err
