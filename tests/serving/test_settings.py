"""What the command line may ask of a server."""

from __future__ import annotations

from pathlib import Path

import pytest

from headstart.errors import UserError
from headstart.serving.settings import ModelSource, ServingSettings, model_sources


def test_a_model_is_named_by_its_folder_or_by_the_user(tmp_path: Path):
    (tmp_path / "a=b").mkdir()
    assert model_sources(["some/pets", "birds=some/pets"]) == (
        ModelSource("pets", Path("some/pets")),
        ModelSource("birds", Path("some/pets")),
    )
    with pytest.raises(UserError, match="'a=b' cannot be part of a URL"):
        model_sources([str(tmp_path / "a=b")])


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["a/pets", "b/pets"], "two models are named 'pets'"),
        (["mein wäldchen"], "'mein wäldchen' cannot be part of a URL"),
        (["=folder"], "'' cannot be part of a URL"),
        (["a/b=folder"], "'a/b' cannot be part of a URL"),
    ],
)
def test_names_fit_into_addresses(texts: list[str], message: str):
    with pytest.raises(UserError, match=message):
        model_sources(texts)


def test_a_request_fits_into_the_queue():
    with pytest.raises(UserError, match="--max-images 64 is more than --queue 8"):
        ServingSettings(queue=8).check()
    ServingSettings().check()


@pytest.mark.parametrize(
    "origin",
    [
        "example.org",
        "ftp://example.org",
        "https://",
        "https://example.org/",
        "https://example.org/app",
        "https://example.org https://example.com",
    ],
)
def test_origins(origin: str):
    with pytest.raises(UserError, match=r"--cors .* is not an origin"):
        ServingSettings(cors=[origin]).check()
    ServingSettings(cors=["*", "https://example.org:8443"]).check()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        (b"# none\n", "has no key"),
        (b"short\n", "has 5 characters"),
        (b"\xff\xfe", "it is not text"),
    ],
)
def test_keys_that_protect_nothing(tmp_path: Path, content: bytes | None, message: str):
    path = tmp_path / "keys"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        ServingSettings(api_key_file=path).api_keys()


def test_keys_are_found_in_files_of_any_editor(tmp_path: Path):
    path = tmp_path / "keys"
    path.write_bytes(b"\xef\xbb\xbf" + b"0123456789abcdef\r\n   # who has this one\r\n")
    assert ServingSettings(api_key_file=path).api_keys() == (b"0123456789abcdef",)
