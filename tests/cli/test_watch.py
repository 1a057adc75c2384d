"""headstart watch."""

import csv
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.conftest import Cli, one_sentence
from tests.conftest import files

pytestmark = pytest.mark.slow


@pytest.fixture
def inbox(new: Path, tmp_path: Path) -> Path:
    broken = new / "noise" / "broken.png"
    broken.write_text("no picture")
    os.utime(broken, (0, 0))  # or someone may still be writing it
    return new


def test_images_are_logged_and_sorted_once(cli: Cli, model: Path, inbox: Path, tmp_path: Path):
    log, sorted_images = tmp_path / "log.csv", tmp_path / "sorted"
    arguments = ("watch", inbox, "--model", model, "--out", log, "--sort-into", sorted_images)
    outcome = cli(*arguments, "--unknown", "off", "--once")
    assert outcome.code == 0
    assert len(outcome.out.splitlines()) == 13
    assert "noise/broken.png  error: not an image" in outcome.out
    rows = list(csv.DictReader(log.read_text().splitlines()))
    assert {row["label"] == Path(row["image"]).parent.name for row in rows if row["label"]} == {
        True
    }
    mark = sorted_images / ".headstart-sorted"
    placed = {path.parent.name: path for path in files(sorted_images) if path != mark}
    assert set(placed) == {"checks", "noise", "stripes", "unreadable"}
    assert len(files(sorted_images)) == 14
    assert placed["checks"].resolve().parent == (inbox / "checks").resolve()
    before = log.read_bytes()
    outcome = cli(*arguments, "--once")
    assert (outcome.code, outcome.out, log.read_bytes()) == (0, "", before)
    assert len(files(sorted_images)) == 14

    # A file that took long to arrive is complete now.
    shutil.copy(inbox / "noise" / files(inbox / "noise")[1].name, inbox / "noise" / "broken.png")
    outcome = cli(*arguments, "--unknown", "off", "--once")
    assert "noise/broken.png  noise" in outcome.out
    assert list((sorted_images / "unreadable").iterdir()) == []
    assert len(files(sorted_images)) == 14


def test_a_file_that_is_replaced_is_sorted_again(cli: Cli, model: Path, new: Path, tmp_path: Path):
    log, sorted_images = tmp_path / "log.csv", tmp_path / "sorted"
    arguments = ("watch", new, "--model", model, "--out", log, "--sort-into", sorted_images)
    options = ("--unknown", "off", "--once")
    assert cli(*arguments, *options).code == 0
    changed = files(new / "checks")[0]
    changed.write_bytes(files(new / "stripes")[0].read_bytes() + b"more")
    late = new / "late.png"
    late.write_bytes(changed.read_bytes()[:300])
    log.write_text(re.sub(r"\w{32}\r?$", "0" * 32, log.read_text(), flags=re.MULTILINE))
    outcome = cli(*arguments, *options)
    assert outcome.out.startswith(f"checks/{changed.name}  stripes")
    assert "12 rows in" in outcome.err
    assert "are of another model (column 'model')" in outcome.err
    assert "late.png cannot be read yet; run this again in a minute: " in outcome.err
    links = [path for path in files(sorted_images) if path.is_symlink()]
    assert [one.parent.name for one in links if one.readlink() == changed.resolve()] == ["stripes"]
    rows = list(csv.DictReader(log.read_text().splitlines()))
    assert len({row["model"] for row in rows}) == 2


def test_what_is_not_probable_enough_is_unsure(cli: Cli, model: Path, new: Path, tmp_path: Path):
    arguments = ("--out", tmp_path / "log.csv", "--sort-into", tmp_path / "sorted", "--once")
    rule = ("--unknown", "off", "--min-probability", 1)
    assert cli("watch", new, "--model", model, *arguments, *rule).code == 0
    rows = list(csv.DictReader((tmp_path / "log.csv").read_text().splitlines()))
    assert {row["answer"] for row in rows} == {"unsure"}
    assert len(files(tmp_path / "sorted" / "unsure")) == len(rows) == 12


def test_mistakes(cli: Cli, model: Path, inbox: Path, tmp_path: Path):
    def refusal(*arguments: object) -> str:
        outcome = cli("watch", *arguments, "--model", model)
        assert outcome.code == 2
        assert one_sentence(outcome)
        return outcome.err

    assert "no such folder" in refusal(tmp_path / "none")
    assert "is in the watched folder" in refusal(inbox, "--out", inbox / "log.csv")
    inside = refusal(inbox, "--out", tmp_path / "log.csv", "--sort-into", inbox / "sorted")
    assert "inside one another" in inside
    (tmp_path / "mine" / "checks").mkdir(parents=True)
    own = refusal(inbox, "--out", tmp_path / "log.csv", "--sort-into", tmp_path / "mine")
    assert "contains other files; choose a new folder for --sort-into" in own
    assert not (tmp_path / "log.csv").exists()


def test_it_ends_in_order_when_it_is_told_to(model: Path, inbox: Path, tmp_path: Path):
    log, late = tmp_path / "log.csv", tmp_path / "late.png"
    arguments = ["watch", str(inbox), "--model", str(model), "--out", str(log)]
    shutil.copy(files(inbox / "stripes")[0], late)
    with subprocess.Popen(
        [sys.executable, "-m", "headstart", *arguments], stdout=subprocess.DEVNULL
    ) as process:
        try:
            _wait_for_rows(log, 13)
            shutil.move(late, inbox)
            _wait_for_rows(log, 14)
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        finally:
            process.kill()


def _wait_for_rows(log: Path, count: int) -> None:
    deadline = time.monotonic() + 60
    while not log.exists() or len(log.read_text().splitlines()) < count + 1:
        assert time.monotonic() < deadline
        time.sleep(0.05)
