"""Defaults of options in headstart.toml, and in pyproject.toml."""

from pathlib import Path

import pytest

from tests.cli.conftest import Cli, one_sentence


@pytest.fixture(autouse=True)
def _in_a_new_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))


def test_defaults_hold_for_their_command_alone_and_options_win(cli: Cli, saved: Path) -> None:
    Path("headstart.toml").write_text('[info]\njson = true\n[cache]\ncache = "~/c"\n')
    outcome = cli("info", saved)
    assert outcome.document["format"] == "headstart model"
    assert outcome.err == "headstart: defaults from headstart.toml: json = True\n"
    assert not outcome.next
    without = cli("info", saved, "--no-json")
    assert (without.out[:2], without.err) == ("# ", "")
    assert str(Path("c").resolve()) in cli("cache").out
    assert cli("cache", "--cache", "d").out.startswith("folder       d\n")


def test_an_explicit_option_wins(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[float, int]] = []

    def train(*args: object, **options: object) -> None:
        seen.append((args[2].hold_out, args[2].seed))  # type: ignore[attr-defined]
        raise KeyboardInterrupt

    monkeypatch.setattr("headstart.models.fit.fit", train)
    Path("headstart.toml").write_text("[fit]\nholdout = 0.2\nseed = 3\n")
    for one in ("a", "b"):
        Path("photos", one).mkdir(parents=True)
        Path("photos", one, "x.jpg").write_bytes(one.encode())
    assert cli("fit", "photos", "--out", "m", "--seed", "5").code == 130
    assert seen == [(0.2, 5)]


def test_pyproject_has_a_table_of_its_own(cli: Cli, saved: Path) -> None:
    file = Path("pyproject.toml")
    file.write_text("[tool.other]\nx = 1\n")
    assert cli("info", saved).err == ""
    file.write_text("[tool.headstart.info]\njson = true\n")
    assert cli("info", saved).document
    Path("headstart.toml").write_text("[cache]\n")  # comes first
    assert cli("info", saved).out.startswith("# ")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("x = 3", "headstart.toml has 'x', which is not a table of a command;"),
        ("[fitt]", "has 'fitt', which is not a table of a command (did you mean fit?)"),
        ("[fit]\nholdot = 1", "[fit] holdot: there is no such option (did you mean holdout?);"),
        ("[fit]\nx = 1", "[fit] x: there is no such option; fit has out, backbone, head,"),
        ("[fit]\nholdout = 5", "[fit] holdout: '5' must be at most 0.9"),
        ("[fit]\nhead = 'x'", "[fit] head: 'x' is not one of 'logistic', 'centroid',"),
        ("[fit]\nbalance = 1", "[fit] balance is 1; give true or false"),
        ("[fit]\nseed = [1]", "[fit] seed is [1]; give a text or a number"),
        ("[fit]\nallow_code = true", "[fit] allow_code: this lets a network run code, so give it"),
        ("[cache]\nclear = true", "[cache] clear: this deletes the cache, so give it on the"),
        ("[predict]\nby = 'move'", "[predict] by: this may move files, so give it on the"),
        ("[fit", "headstart.toml is not valid TOML: "),
        ("[fit]\nout = '\xff'", "headstart.toml is not valid TOML: 'utf-8' codec"),
    ],
)
def test_what_does_not_exist_is_named_with_its_file(content: str, said: str, cli: Cli) -> None:
    Path("headstart.toml").write_bytes(content.encode("latin-1"))
    outcome = cli("fit", "photos", "--out", "model")
    assert (outcome.code, one_sentence(outcome)) == (2, True)
    assert said in outcome.err


def test_a_list_repeats_an_option(cli: Cli) -> None:
    Path("headstart.toml").write_text('[fit]\nstage = ["auto", "blocks.5"]\n')
    outcome = cli("fit", "photos", "--out", "model")
    assert "--stage auto cannot be combined with --stage blocks.5" in outcome.err


def test_a_home_folder_is_meant_by_a_tilde_after_the_equals_sign(cli: Cli, saved: Path) -> None:
    assert cli("cache", "--cache=~/here").out.startswith(f"folder       {Path('here').resolve()}\n")
    assert cli("info", "~/model").out.startswith("# ")
    assert "~model" in cli("info", "~model").err
