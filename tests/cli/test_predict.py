import csv
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from tests.cli.conftest import Cli, one_sentence
from tests.conftest import KINDS, files

pytestmark = pytest.mark.slow


@pytest.fixture
def broken(new: Path) -> Path:
    path = new / "noise" / "broken.png"
    path.write_text("no picture")
    return path


def test_json_holds_all_that_the_contract_names(cli: Cli, model: Path, new: Path):
    outcome = cli("predict", model, new, "--top", 2, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    answers = outcome.document
    assert [answer["image"] for answer in answers] == [str(path) for path in files(new)]
    for answer in answers:
        assert answer.keys() == {"image", "label", "probability", "novelty", "known", "top"}
        assert answer["label"] == Path(answer["image"]).parent.name
        assert len(answer["top"]) == 2
        assert answer["top"][0] == {
            "label": answer["label"],
            "probability": answer["probability"],
        }


def test_format_json_is_the_same_document(cli: Cli, model: Path, new: Path):
    one, other = (
        cli("predict", model, new, "--json"),
        cli("predict", model, new, "--format", "json"),
    )
    assert one.document == other.document


def test_an_unreadable_image_gets_an_error_and_the_rest_goes_on(
    cli: Cli, model: Path, new: Path, broken: Path
):
    outcome = cli("predict", model, new, "--json")
    assert outcome.code == 1
    errors = [answer for answer in outcome.document if "error" in answer]
    assert errors == [{"image": str(broken), "error": "not an image"}]
    rest = [answer for answer in outcome.document if "error" not in answer]
    assert len(rest) == 12
    assert all(answer["label"] == Path(answer["image"]).parent.name for answer in rest)


def test_an_image_named_twice_is_answered_twice(cli: Cli, model: Path, broken: Path, new: Path):
    image = files(new / "checks")[0]
    outcome = cli("predict", model, image, broken, image, broken, "--json")
    assert [answer["image"] for answer in outcome.document] == [
        str(path) for path in (image, broken, image, broken)
    ]


def test_the_table_is_for_people(cli: Cli, model: Path, new: Path, broken: Path):
    outcome = cli("predict", model, files(new / "checks")[0], broken, "--top", 3)
    assert outcome.code == 1
    lines = outcome.out.splitlines()
    assert lines[0].split() == ["image", "label", "probability", "novelty"]
    assert len(lines) == 5
    assert lines[1].split()[1] == "checks"
    assert "error: not an image" in lines[4]
    assert all(line == line.rstrip() for line in lines)


def test_csv_has_a_line_an_image(cli: Cli, model: Path, new: Path, broken: Path):
    outcome = cli("predict", model, new, "--format", "csv", "--top", 2)
    rows = list(csv.DictReader(io.StringIO(outcome.out)))
    guesses = ["label", "probability", "label2", "probability2"]
    assert list(rows[0]) == ["image", *guesses, "novelty", "known", "error"]
    assert len(rows) == 13
    for row in rows:
        if row["image"] == str(broken):
            assert (row["label"], row["error"]) == ("", "not an image")
        else:
            assert row["label"] == Path(row["image"]).parent.name
            assert 0.5 < float(row["probability"]) <= 1
            assert row["error"] == ""


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
        first, second = cli("predict", model, known, photo, "--json").document
        assert first["known"]
        assert not second["known"]
        assert second["novelty"] <= 0.05 < first["novelty"] <= 1
        assert second["label"] in KINDS

    def test_the_rate_may_be_set_and_turned_off(
        self, cli: Cli, model: Path, new: Path, photo: Path
    ):
        known = files(new / "checks")[0]
        (answer,) = cli("predict", model, known, "--unknown", "0.999", "--json").document
        assert answer["known"] is (answer["novelty"] > 0.999)
        outcome = cli("predict", model, photo, "--unknown", "off", "--format", "csv")
        (row,) = csv.DictReader(io.StringIO(outcome.out))
        assert row["known"] == ""
        assert float(row["novelty"]) <= 0.05
        assert "unknown" not in cli("predict", model, photo, "--unknown", "off").out

    @pytest.mark.parametrize("rate", ["0", "1", "-0.1", "nan", "often"])
    def test_a_rate_that_is_none_is_refused(self, rate: str, cli: Cli, model: Path, new: Path):
        outcome = cli("predict", model, files(new)[0], f"--unknown={rate}")
        assert (outcome.code, one_sentence(outcome)) == (2, True)
        assert f"--unknown is {rate!r}; give a rate between 0 and 1" in outcome.err


def test_more_classes_than_there_are_may_be_asked_for(cli: Cli, model: Path, new: Path):
    image = files(new)[0]
    answer = cli("predict", model, image, "--top", 99, "--json").document[0]
    assert {one["label"] for one in answer["top"]} == set(KINDS)
    header, line = cli("predict", model, image, "--top", 9, "--format", "csv").out.splitlines()
    assert header.count("label") == len(KINDS)
    assert header.count(",") == line.count(",") == 2 * len(KINDS) + 3


@pytest.mark.parametrize(
    "arguments",
    [["MODEL", "absent.jpg"], ["MODEL", "EMPTY"], ["EMPTY", "NEW"], ["absent", "NEW"]],
)
def test_what_is_not_there_is_refused_in_a_sentence(
    arguments: list[str], cli: Cli, model: Path, new: Path, tmp_path: Path
):
    (tmp_path / "empty").mkdir()
    places = {"MODEL": model, "NEW": new, "EMPTY": tmp_path / "empty"}
    outcome = cli("predict", *(places.get(word, word) for word in arguments))
    assert outcome.code == 2
    assert one_sentence(outcome)


def test_a_path_that_leads_nowhere_is_skipped(cli: Cli, model: Path, new: Path):
    image = files(new / "checks")[0]
    outcome = cli("predict", model, image, "absent.jpg", "absent", "--json")
    assert outcome.code == 1
    assert outcome.err == "headstart: warning: 2 of 3 images could not be read\n"
    assert outcome.document[0]["label"] == "checks"
    assert outcome.document[1:] == [
        {"image": name, "error": "no such file"} for name in ("absent.jpg", "absent")
    ]


@pytest.mark.parametrize("form", ["csv", "table"])
def test_json_in_another_format_is_refused(form: str, cli: Cli, model: Path, new: Path):
    for verb in (["predict", model, new], ["classify", new]):
        outcome = cli(*verb, "--json", "--format", form)
        assert (outcome.code, one_sentence(outcome)) == (2, True)
        assert f"--json and --format {form} contradict each other" in outcome.err
    assert cli("predict", model, new, "--json", "--format", "json").document


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
@pytest.mark.parametrize("form", ["json", "csv", "table"])
def test_a_file_name_that_is_no_text_is_answered(form: str, cli: Cli, model: Path, new: Path):
    path = os.fsencode(new) + b"/caf\xe9.jpg"
    os.rename(files(new)[0], path)  # noqa: PTH104 - a name of bytes
    outcome = cli("predict", model, os.fsdecode(path), "--format", form)
    assert outcome.code == 0
    assert "caf\\udce9.jpg" in outcome.out


def test_a_folder_that_may_not_be_opened_is_listed(
    cli: Cli, model: Path, new: Path, monkeypatch: pytest.MonkeyPatch
):
    (new / "locked").mkdir()
    scandir, access = os.scandir, os.access

    def refuse(path):
        if str(path).endswith("locked"):  # chmod does not keep root out
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    def closed(path, how):
        return not str(path).endswith("locked") and access(path, how)

    monkeypatch.setattr(os, "scandir", refuse)
    monkeypatch.setattr(os, "access", closed)
    outcome = cli("predict", model, new, "--json")
    assert outcome.code == 1
    lost = {"image": str(new / "locked"), "error": "a folder without read permission"}
    assert [one for one in outcome.document if "label" not in one] == [lost]
    assert len(outcome.document) == len(files(new)) + 1


def test_a_terminal_without_unicode_gets_escapes(model: Path, new: Path):
    path = files(new)[0].rename(new / "日本.jpg")
    command = [sys.executable, "-m", "headstart", "predict", str(model), str(path)]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    for form, expected in (("json", "\\u65e5"), ("table", "\\u65e5")):
        done = subprocess.run(
            [*command, "--format", form], env=environment, capture_output=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        assert expected.encode() in done.stdout


def test_nothing_but_libtiff_itself_writes_to_stderr_about_damaged_files(model: Path, new: Path):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    for compression in ("tiff_lzw", "tiff_deflate", "jpeg"):
        buffer = io.BytesIO()
        noise.save(buffer, "TIFF", compression=compression)
        data = bytes(x ^ 0x55 if 200 < i < 1200 else x for i, x in enumerate(buffer.getvalue()))
        (new / f"damaged-{compression}.tif").write_bytes(data)
    command = [sys.executable, "-m", "headstart", "predict", str(model), str(new), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    # Two threads may write at once, and the parts of a message end up on different lines.
    libtiff = re.compile(r"JPEG|Decod|\.tif: |^$")
    lines = [line for line in done.stderr.splitlines() if not libtiff.search(line)]
    assert lines == ["headstart: warning: 2 of 15 images could not be read"]
    assert done.returncode == 1
    assert done.stdout.count('"error": "damaged TIFF') == 2


class TestClassify:
    def test_gives_the_backbones_own_top_5(self, cli: Cli, new: Path):
        outcome = cli("classify", files(new)[0], "--json")
        assert (outcome.code, outcome.err) == (0, "")
        (answer,) = outcome.document
        assert answer.keys() == {"image", "label", "probability", "top"}
        assert len(answer["top"]) == 5
        assert answer["label"] == answer["top"][0]["label"]

    def test_goes_on_past_an_unreadable_image(self, cli: Cli, new: Path, broken: Path):
        outcome = cli("classify", broken, files(new)[0], "--top", 1, "--format", "csv")
        assert outcome.code == 1
        assert outcome.out.splitlines()[1] == f"{broken},,,not an image"
