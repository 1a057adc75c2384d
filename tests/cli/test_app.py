"""What holds for every verb: exit codes, errors in a sentence, progress on a terminal."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

from headstart import __version__
from headstart.cli import main
from headstart.errors import DataError, UnreadableImageError
from tests.cli.conftest import Cli, one_sentence
from tests.conftest import files

pytestmark = pytest.mark.slow

HEADSTART = [sys.executable, "-m", "headstart"]
VERBS = (
    *("fit", "evaluate", "predict", "classify", "info", "backbones", "classes"),
    *("datasets", "cache"),
    *("features", "imagine", "attack", "explain", "robustness"),
)


def test_help_lists_every_verb(cli: Cli):
    outcome = cli("--help")
    assert (outcome.code, outcome.err) == (0, "")
    assert all(re.search(rf"^  {verb} ", outcome.out, re.MULTILINE) for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str, cli: Cli):
    outcome = cli(verb, "-h")
    assert outcome.code == 0
    assert f"headstart {verb}" in " ".join(outcome.out.split()) or "Usage:" in outcome.out


def test_the_version_is_told(cli: Cli):
    assert cli("--version").out == f"headstart {__version__}\n"


@pytest.mark.parametrize("arguments", [["nonsense"], ["--nonsense"], ["info"], []])
def test_a_wrong_command_is_a_users_mistake(arguments: list[str], cli: Cli):
    outcome = cli(*arguments)
    assert outcome.code == 2
    assert "Traceback" not in outcome.err


def test_debug_shows_where_an_error_came_from(tmp_path: Path):
    command = [*HEADSTART, "info", str(tmp_path)]
    plain = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    debug = subprocess.run(
        [*command, "--debug"], capture_output=True, text=True, timeout=60, check=False
    )
    assert plain.returncode == 2
    assert "Traceback" not in plain.stderr
    assert "Traceback" in debug.stderr
    assert "SavedModelError" in debug.stderr


def test_a_bug_is_said_in_a_sentence_too(cli: Cli, model: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(*args: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("headstart.models.saved_model.load_model", fail)
    outcome = cli("info", model)
    assert outcome.code == 1
    assert outcome.err.startswith("headstart: error: ZeroDivisionError: oh")
    assert "bug in headstart" in outcome.err


def test_too_little_memory_is_said(cli: Cli, model: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(*args: object) -> None:
        raise MemoryError

    monkeypatch.setattr("headstart.models.saved_model.load_model", fail)
    outcome = cli("info", model)
    assert outcome.code == 1
    assert "out of memory" in outcome.err


def test_an_image_too_large_for_the_memory_is_named(
    cli: Cli, model: Path, monkeypatch: pytest.MonkeyPatch
):
    def fail(*args: object) -> None:
        try:
            raise MemoryError
        except MemoryError as error:
            raise UnreadableImageError("cannot use big.png: too large: out of memory") from error

    monkeypatch.setattr("headstart.models.saved_model.load_model", fail)
    outcome = cli("info", model)
    assert outcome.code == 2
    assert outcome.err == "headstart: error: cannot use big.png: too large: out of memory\n"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the limit is one of Linux")
@pytest.mark.parametrize("megabytes", [400, 500, 600, 800])
def test_a_limit_on_memory_ends_in_a_sentence(photos: Path, tmp_path: Path, megabytes: int):
    limit = megabytes * 10**6
    command = f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({limit}, {limit}));"
    command += "from headstart.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", command, "fit", str(photos), "--out", str(tmp_path / "model")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | {"HEADSTART_CACHE": str(tmp_path / "cache")},
    )
    assert done.returncode in (0, 1)
    assert done.returncode == 0 or done.stderr.startswith("headstart: error: out of memory")


@pytest.mark.parametrize("kind", [RuntimeError, ImportError])
def test_too_little_memory_is_said_whatever_a_library_raises(
    cli: Cli, model: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
):
    def fail(*args: object) -> None:
        try:
            raise kind("std::bad_alloc: failed to map segment from shared object")
        except kind as error:
            raise DataError("it cannot be run") from error

    monkeypatch.setattr("headstart.models.saved_model.load_model", fail)
    outcome = cli("info", model)
    assert outcome.code == 1
    assert outcome.err.startswith("headstart: error: out of memory")
    assert outcome.err.count("\n") == 1


def test_a_message_of_megabytes_is_cut(cli: Cli, model: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(*args: object) -> None:
        raise DataError(f"no class {'x' * 2_000_000}; give another")

    monkeypatch.setattr("headstart.models.saved_model.load_model", fail)
    outcome = cli("info", model)
    assert len(outcome.err) < 11_000
    assert outcome.err.endswith("; give another\n")


def test_a_failure_that_is_nobodys_mistake_is_exit_code_1(
    cli: Cli, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    outcome = cli("fit", photos, "--stage", "head", "--out", tmp_path / "model")
    assert outcome.code == 1
    assert one_sentence(outcome)
    assert "No space left on device" in outcome.err


def test_ctrl_c_ends_with_130_and_a_sentence(
    cli: Cli, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def interrupt(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("headstart.models.fit.fit", interrupt)
    outcome = cli("fit", photos, "--out", tmp_path / "model")
    assert outcome.code == 130
    assert outcome.err == (
        "headstart: stopped; finished work is in the cache, so the same command continues from "
        "there\n"
    )


@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")
def test_a_reader_that_leaves_early_is_no_error():
    command = f"{sys.executable} -m headstart backbones | head -n 1"
    done = subprocess.run(
        command, shell=True, capture_output=True, text=True, timeout=60, check=False
    )
    # The reader may leave before or after the last line is written.
    assert all(line.startswith("headstart: next,") for line in done.stderr.splitlines())


@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")
@pytest.mark.parametrize(("closed", "kept"), [(">&-", ""), ("2>&-", f"headstart {__version__}\n")])
def test_a_closed_stream_stops_nothing(closed: str, kept: str):
    done = subprocess.run(
        f"{sys.executable} -m headstart --version {closed}",
        shell=True,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, kept, "")
    refused = subprocess.run(
        f"{sys.executable} -m headstart info nowhere {closed}",
        shell=True,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert refused.returncode == 2


@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")
def test_a_terminal_sees_progress_and_a_clean_result(photos: Path, tmp_path: Path):
    import pty

    shown, terminal = pty.openpty()
    out = tmp_path / "out.txt"
    arguments = ["fit", str(photos), "--out", str(tmp_path / "model")]
    with out.open("wb") as file:
        process = subprocess.Popen(
            [*HEADSTART, *arguments],
            stdout=file,
            stderr=terminal,
            env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "120"},
        )
        os.close(terminal)
        seen = b""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                part = os.read(shown, 65536)
            except OSError:  # the other side is closed
                break
            if not part:
                break
            seen += part
        assert process.wait(timeout=60) == 0
    os.close(shown)
    text = seen.decode()
    assert "Traceback" not in text
    assert "error" not in text
    assert "24/24" in text
    assert "images/s" in text
    assert "choosing stages" in text
    assert "downloading" not in text
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1  # the cursor comes back
    assert out.read_text().startswith("data      photos: 24 images")


def test_a_log_is_told_of_progress_now_and_then(
    cli: Cli, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("headstart.system.progress._LOG_INTERVAL", 0.0)
    outcome = cli("fit", photos, "--out", tmp_path / "model", "--stage", "head")
    assert outcome.code == 0
    assert "headstart: images: 24 of 24\n" in outcome.err


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        (
            "--head",
            "forest",
            "'--head': 'forest' is not one of 'logistic', 'centroid', 'knn', 'discriminant'",
        ),
        ("--holdout", "5", "'--holdout': '5' must be at most 0.9; write 0.05"),
        (
            "--seed",
            "x",
            "'--seed': 'x' is not a whole number",
        ),
    ],
)
def test_a_wrong_value_of_an_option_is_named(option: str, value: str, said: str, cli: Cli):
    outcome = cli("fit", "data", "--out", "model", option, value)
    assert outcome.code == 2
    assert one_sentence(outcome)
    assert f"error: invalid value for {said} (see 'headstart fit --help')" in outcome.err


def test_a_wrong_use_is_said_in_a_line(cli: Cli):
    outcome = cli("fitt")
    assert (outcome.code, one_sentence(outcome)) == (2, True)
    assert "no such command 'fitt'" in outcome.err
    assert "see 'headstart --help'" in outcome.err
    assert cli().err.startswith("Usage: ")


def test_a_name_with_a_line_break_does_not_break_the_message(cli: Cli, tmp_path: Path):
    outcome = cli("fit", tmp_path / "two\nlines", "--out", tmp_path / "model")
    assert one_sentence(outcome)
    assert r"two\nlines" in outcome.err


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no /proc")
@pytest.mark.parametrize(
    "arguments",
    [
        ["fit", "x"],
        ["fit", "x", "--out", "model", "--report"],
        ["evaluate", "x", "x"],
        ["finetune", "x"],
        ["compare", "x"],
        ["transfer", "x"],
        ["robustness", "efficientnet-lite0", "x"],
        ["explain", "efficientnet-lite0", "IMAGE"],
        ["features", "x"],
        ["attack", "x"],
        ["imagine", "zebra"],
    ],
    ids=" ".join,
)
def test_a_place_where_nothing_can_be_made_is_refused_before_the_work(
    arguments: list[str], cli: Cli, new: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(new)
    image = str(files(new)[0])
    words = [image if word == "IMAGE" else word for word in arguments]
    place = "/proc/x/y.png" if words[0] in ("attack", "imagine") else "/proc/x"
    outcome = cli(*words, *([] if "--report" in words else ["--out"]), place)
    assert (outcome.code, one_sentence(outcome)) == (2, True)
    what = place if place.endswith(".png") else "to /proc/x"
    assert f"cannot write {what}: No such file or directory; choose another" in outcome.err


@pytest.mark.parametrize("arguments", [("predict", "model", ""), ("fit", "photos", "--out", "")])
def test_an_empty_argument_is_not_the_current_folder(cli: Cli, arguments: tuple[str, ...]):
    outcome = cli(*arguments)
    assert (outcome.code, one_sentence(outcome)) == (2, True)
    assert "an argument is empty" in outcome.err


def test_ctrl_c_while_it_is_still_imported_ends_quietly(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(ModuleType):
        def __getattr__(self, name: str) -> object:
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "headstart.cli.app", Interrupted("headstart.cli.app"))
    with pytest.raises(SystemExit) as done:
        main()
    assert done.value.code == 130
