"""headstart serve, as far as it does not run."""

from __future__ import annotations

from pathlib import Path

import pytest

from headstart.cli import serve
from tests.cli.conftest import Cli, one_sentence


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none"], "none is not a folder"),
        (["none", "--workers", "2"], "none is not a folder"),
        (["a=x", "a=y"], "two models are named 'a'"),
        (["x", "--unknown", "2"], "--unknown is '2'"),
        (["x", "--queue", "4"], "--max-images 64 is more than --queue 4"),
        (["x", "--api-key-file", "none"], "cannot read --api-key-file none"),
        (["x", "--cors", "here"], "--cors here is not an origin"),
        (["x", "--port", "70000"], "70000"),
        (["x", "--host", "192.0.2.1"], "cannot listen on 192.0.2.1"),
    ],
)
def test_what_cannot_be_served_is_said_in_a_sentence(
    cli: Cli, arguments: list[str], message: str, saved: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(saved.parent)
    saved.rename(saved.parent / "x")
    outcome = cli("serve", "--port", "0", *arguments)
    assert outcome.code == 2
    assert one_sentence(outcome)
    assert message in outcome.err


def test_without_its_libraries(cli: Cli, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(serve, "find_spec", lambda name: None if name == "fastapi" else name)
    outcome = cli("serve", "x")
    assert outcome.code == 2
    assert "serve (fastapi) needs the extra 'serve'" in outcome.err
