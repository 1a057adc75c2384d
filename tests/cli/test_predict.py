import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.cli.app import run
from tests.cli.conftest import Cli, one_sentence
from tests.conftest import KINDS, files, write_photos

pytestmark = pytest.mark.slow


@pytest.fixture
def broken(new: Path) -> Path:
    path = new / "noise" / "broken.png"
    path.write_text("no picture")
    return path


def test_json_holds_all_that_the_contract_names(cli: Cli, model: Path, new: Path):
    outcome = cli("predict", model, new, "--top", 2, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    answers = outcome.document["predictions"]
    assert [answer["image"] for answer in answers] == [str(path) for path in files(new)]
    for answer in answers:
        keys = {"image", "label", "probability", "novelty", "known", "answer", "top"}
        assert answer.keys() == keys
        assert answer["label"] == Path(answer["image"]).parent.name
        assert answer["answer"] == (answer["label"] if answer["known"] else "unknown")
        assert len(answer["top"]) == 2
        assert answer["top"][0] == {
            "label": answer["label"],
            "probability": answer["probability"],
        }
    assert sum(outcome.document["counts"].values()) == 12


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
    errors = [answer for answer in outcome.document["predictions"] if "error" in answer]
    assert errors == [{"image": str(broken), "error": "not an image"}]
    rest = [answer for answer in outcome.document["predictions"] if "error" not in answer]
    assert len(rest) == 12
    assert all(answer["label"] == Path(answer["image"]).parent.name for answer in rest)


def test_an_image_named_twice_is_answered_twice(cli: Cli, model: Path, broken: Path, new: Path):
    image = files(new / "checks")[0]
    outcome = cli("predict", model, image, broken, image, broken, "--json")
    assert [answer["image"] for answer in outcome.document["predictions"]] == [
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
    assert list(rows[0]) == ["image", *guesses, "novelty", "known", "answer", "error"]
    assert len(rows) == 13
    for row in rows:
        if row["image"] == str(broken):
            assert (row["label"], row["error"]) == ("", "not an image")
        else:
            assert row["label"] == Path(row["image"]).parent.name
            assert 0.5 < float(row["probability"]) <= 1
            assert row["error"] == ""


class TestFiles:
    """--out, --sort-into, --min-probability."""

    def test_everything_at_once(
        self, cli: Cli, model: Path, new: Path, broken: Path, tmp_path: Path
    ):
        (new / "noise" / "clip.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(90))
        (new / "noise" / "notes.txt").write_text("noise")
        folder = tmp_path / "sorted"
        arguments = ("predict", model, new, "--unknown", "off", "--sort-into", folder)
        outcome = cli(*arguments, "--out", tmp_path / "out.csv", "--min-probability", 0.0001)
        assert outcome.code == 1
        counts = "13 images: 4 checks, 4 noise, 4 stripes, 1 unreadable; ignored: 1 video"
        assert f"{counts} and 1 other file\n" in outcome.err
        assert f"13 images sorted into {folder}\n" in outcome.err
        rows = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
        assert len(rows) == len(outcome.out.splitlines()) - 1 == 13
        for row in rows:
            place = folder / (row["answer"] or "unreadable") / Path(row["image"]).name
            assert place.resolve() == Path(row["image"]).resolve()
        outcome = cli(*arguments, "--out", tmp_path / "out.json", "--min-probability", 1, "--json")
        assert json.loads((tmp_path / "out.json").read_text()) == outcome.document
        assert outcome.document["counts"] == {"unsure": 12, "unreadable": 1}
        assert {one.get("answer") for one in outcome.document["predictions"]} == {"unsure", None}
        assert len(files(folder / "unsure")) == 12
        assert len(files(folder)) == 14  # one of which marks the folder
        told = cli("predict", model, files(new)[0], "--min-probability", 1)
        assert "unsure (would say checks)" in told.out
        assert "1 image" not in told.err

    def test_images_of_archives_are_copied_and_others_moved(
        self, cli: Cli, model: Path, new: Path, tmp_path: Path
    ):
        archive = Path(shutil.make_archive(str(tmp_path / "more"), "zip", new / "noise"))
        shutil.rmtree(new / "noise")
        arguments = ("--unknown", "off", "--sort-into", tmp_path / "sorted", "--by", "move")
        assert cli("predict", model, new, archive, *arguments).code == 0
        assert files(new) == []
        assert len(files(tmp_path / "sorted")) == 13
        assert not any(path.is_symlink() for path in files(tmp_path / "sorted"))
        assert cli("predict", model, archive, "--unknown", "off").code == 0

    def test_mistakes_lose_nothing(self, cli: Cli, model: Path, new: Path, tmp_path: Path):
        def refusal(*options: object) -> str:
            outcome = cli("predict", model, new, *options)
            assert (outcome.code, one_sentence(outcome)) == (2, True)
            return outcome.err

        other = tmp_path / "labels.csv"
        other.write_text("file,label\n")
        assert "exists and is not a file of 'headstart predict'" in refusal("--out", other)
        assert other.read_text() == "file,label\n"
        assert cli("predict", model, new, "--out", other, "--force").code == 0
        assert other.read_text().startswith("image,label,")
        (tmp_path / "a.csv").mkdir()
        assert "a.csv is a folder" in refusal("--out", tmp_path / "a.csv", "--force")
        (tmp_path / "photos").mkdir()
        (tmp_path / "photos" / "000.jpg").write_text("mine")
        assert "photos contains other files" in refusal("--where", tmp_path / "photos")
        assert "does not end in .csv or .json" in refusal("--out", tmp_path / "out.txt")
        assert "inside one another" in refusal("--sort-into", new / "sorted")
        assert "--by move has no effect without --sort-into" in refusal("--by", "move")
        (tmp_path / "mine" / "noise").mkdir(parents=True)
        assert "mine contains other files; choose a new" in refusal(
            "--sort-into", tmp_path / "mine"
        )
        assert len(files(new)) == 12


def test_more_classes_than_there_are_may_be_asked_for(cli: Cli, model: Path, new: Path):
    image = files(new)[0]
    answer = cli("predict", model, image, "--top", 99, "--json").document["predictions"][0]
    assert {one["label"] for one in answer["top"]} == set(KINDS)
    header, line = cli("predict", model, image, "--top", 9, "--format", "csv").out.splitlines()
    assert header.count("label") == len(KINDS)
    assert header.count(",") == line.count(",") == 2 * len(KINDS) + 4


def test_sets_are_in_every_format(cli: Cli, model: Path, new: Path, broken: Path):
    document = cli("predict", model, new, "--coverage", 0.9, "--json").document
    assert document["coverage"] == 0.9
    answers = {one["image"]: one for one in document["predictions"]}
    assert "set" not in answers.pop(str(broken))
    for answer in answers.values():
        assert answer["set"][0] == answer["label"]
        assert set(answer["set"]) <= set(KINDS)
    options = ("--coverage", 0.9, "--coverage-by-class", "--top", 2)
    rows = list(
        csv.DictReader(io.StringIO(cli("predict", model, new, *options, "--format", "csv").out))
    )
    assert list(rows[0])[-2:] == ["set", "error"]
    assert all((row["set"].split("|")[0] == row["label"]) for row in rows)
    lines = cli("predict", model, files(new / "checks")[0], *options).out.splitlines()
    assert lines[0].split() == ["image", "label", "probability", "novelty", "set"]
    assert lines[1].split()[4].startswith("checks")
    assert len(lines[2].split()) == 2  # the second class has no set
    plain = cli("predict", model, files(new)[0], "--coverage", 0.9, "--unknown", "off").out
    assert plain.splitlines()[0].split()[-1] == "set"


def test_what_too_few_images_cannot_promise_is_said(cli: Cli, model: Path, new: Path):
    outcome = cli("predict", model, new, "--coverage", 0.97, "--json")
    assert outcome.err == (
        "headstart: warning: the model has too few calibration images for a coverage of 0.97 (up "
        "to 0.960 is possible), so every set contains every class\n"
    )
    assert all(len(one["set"]) == 3 for one in outcome.document["predictions"])
    outcome = cli("predict", model, new, "--coverage", 0.9, "--coverage-by-class")
    assert "3 of 3 classes have too few" in outcome.err
    assert "(up to 0.889 is possible), so every set contains checks, noise, stripes" in outcome.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--coverage", "1"], "a coverage of 1 is impossible; give one between 0 and 1\n"),
        (
            ["--coverage", "90"],
            "a coverage of 90 is impossible; give one between 0 and 1; did you mean 0.9?",
        ),
        (["--coverage-by-class"], "--coverage-by-class needs a coverage; add --coverage 0.9"),
    ],
)
@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_an_impossible_coverage_is_refused(
    command: str, options: list[str], said: str, cli: Cli, model: Path, new: Path
):
    outcome = cli(command, model, new, *options)
    assert (outcome.code, one_sentence(outcome)) == (2, True)
    assert said in outcome.err


def test_a_model_of_single_images_promises_no_sets(cli: Cli, new: Path, tmp_path: Path):
    for kind in KINDS:
        for path in files(new / kind)[1:]:
            path.unlink()
    assert cli("fit", new, "--out", tmp_path / "model", "--stage", "head").code == 0
    outcome = cli("predict", tmp_path / "model", new, "--coverage", 0.9)
    assert (outcome.code, one_sentence(outcome)) == (2, True)
    assert "has no calibration images" in outcome.err


@pytest.fixture(scope="module")
def broad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that has seen enough pictures to be sure of itself."""
    root = tmp_path_factory.mktemp("broad")
    write_photos(root / "photos", 40)
    assert run(["fit", str(root / "photos"), "--out", str(root / "model")]) == 0
    return root / "model"


class TestBatch:
    def test_of_usual_pictures_is_no_drift(self, cli: Cli, broad: Path, tmp_path: Path):
        usual = write_photos(tmp_path / "usual", 10, first=500)
        document = cli("predict", broad, usual, "--json").document
        assert document["drift"].keys() == {"p_value", "shift"}
        assert document["drift"]["p_value"] > 0.01
        estimate = document["estimated_accuracy"]
        assert estimate.keys() == {"value", "interval", "images"}
        assert estimate["images"] == 30
        assert estimate["interval"][0] <= estimate["value"] <= estimate["interval"][1]
        trained = next((broad.parent / "photos").rglob("*.png"))
        outcome = cli("predict", broad, usual, trained)
        assert "drift" not in outcome.out
        assert "30 images, 1 copy or training image left out, from the model's" in outcome.out
        *_, unknown, last = outcome.out.splitlines()  # as `evaluate` writes them
        assert re.fullmatch(
            r"called unknown: \d+\.\d% of the images; 5\.0% expected of .*", unknown
        )
        assert re.match(
            r"estimated accuracy: \d\.\d{3} \(95% interval \d\.\d{3} to \d\.\d{3}, ", last
        )

    def test_of_other_pictures_is_drift(self, cli: Cli, broad: Path, tmp_path: Path):
        rng = np.random.default_rng(0)
        (tmp_path / "other").mkdir()
        for place in range(25):
            blurred = Image.fromarray(rng.integers(0, 255, (3, 3, 3), dtype=np.uint8))
            blurred.resize((90, 90)).save(tmp_path / "other" / f"{place}.png")
        document = cli("predict", broad, tmp_path / "other", "--json").document
        assert document["drift"]["p_value"] < 0.01
        assert document["drift"]["shift"] > 0.6
        said = "these 25 images as a whole are unlike the training images"
        assert f"drift: {said}" in cli("predict", broad, tmp_path / "other").out
        outcome = cli("predict", broad, tmp_path / "other", "--format", "csv")
        assert said in outcome.err
        assert said not in outcome.out

    def test_of_few_pictures_tells_nothing(self, cli: Cli, broad: Path, new: Path):
        document = cli("predict", broad, new, "--json").document
        assert (document["drift"], document["estimated_accuracy"]) == (None, None)
        assert "estimated" not in cli("predict", broad, new).out


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
    assert outcome.document["predictions"][0]["label"] == "checks"
    assert outcome.document["predictions"][1:] == [
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
    assert [one for one in outcome.document["predictions"] if "label" not in one] == [lost]
    assert len(outcome.document["predictions"]) == len(files(new)) + 1


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
    # libtiff writes from two threads at once, so its messages may be torn apart.
    ours = [line for line in done.stderr.splitlines() if "headstart" in line]
    assert ours == ["headstart: warning: 2 of 15 images could not be read"]
    assert not re.search("Traceback|Warning", done.stderr)
    assert done.returncode == 1
    assert done.stdout.count('"error": "damaged TIFF') == 2


def test_sets_and_broken_files_share_a_table(cli: Cli, model: Path, new: Path):
    (new / "broken.jpg").write_bytes(b"")
    outcome = cli("predict", model, new, "--coverage", 0.9)
    assert outcome.code == 1
    assert "error: empty file" in outcome.out
    assert outcome.out.splitlines()[0].split()[-1] == "set"
