"""The model that a command was given."""

from pathlib import Path

import pytest

from tests.cli.conftest import Cli, one_sentence


@pytest.mark.parametrize("verb", ["predict", "evaluate", "explain", "robustness", "finetune"])
def test_a_model_in_the_place_of_the_images_is_recognized(
    verb: str, cli: Cli, model: Path, new_photos: Path, tmp_path: Path
) -> None:
    out = [] if verb == "predict" else ["--out", tmp_path / "out"]
    outcome = cli(verb, new_photos, model, *out)
    assert (outcome.code, one_sentence(outcome)) == (2, True)
    assert f"{model} is the model, which comes first" in outcome.err
    assert f"run: headstart {verb} {model} {new_photos}\n" in outcome.err


def test_an_exported_file_in_the_place_of_the_images_is_recognized(
    cli: Cli, model: Path, new_photos: Path
) -> None:
    outcome = cli("verify", new_photos, "m.onnx", "--model", model)
    assert (outcome.code, one_sentence(outcome)) == (2, True)
    assert "m.onnx is the exported file, which comes first; run: headstart verify" in outcome.err
