"""headstart transfer, from the command line to the files."""

import io
import json
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from headstart.cli.app import run
from tests.cli.conftest import SCHEMAS
from tests.conftest import write_photos

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("transfer")
    photos = write_photos(root / "photos", 6)
    (photos / "noise" / "broken.png").write_bytes(b"broken")
    arguments = ["transfer", str(photos), "--out", str(root / "out"), "--cache", str(root / "c")]
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as said:
        patch.setenv("COLUMNS", "500")  # long paths stay whole
        assert run(arguments) == 0
    (root / "said.txt").write_text(said.getvalue(), encoding="utf-8")
    return root


def test_numbers_and_one_picture_are_written(written: Path):
    found = json.loads((written / "out" / "transfer.json").read_text())
    assert found["backbone"] == "efficientnet-lite0"
    assert found["images"] == 18
    assert found["distance"]["shift"] > 0
    assert [one["name"] for one in found["distance"]["stages"]][-1] == "head"
    assert len(found["skipped"]) == 1
    assert sorted(path.name for path in (written / "out").iterdir()) == [
        "command.txt", "report.html", "transfer.json", "transfer.png"
    ]  # fmt: skip


def test_json_is_the_file_and_nothing_else(written: Path, capsys: pytest.CaptureFixture[str]):
    out, photos, cache = (str(written / name) for name in ("out", "photos", "c"))
    file = written / "out" / "transfer.json"
    before = json.loads(file.read_text())
    picture = (written / "out" / "transfer.png").read_bytes()
    capsys.readouterr()
    assert run(["transfer", photos, "--out", out, "--cache", cache, "--json"]) == 0
    after = json.loads(capsys.readouterr().out)
    assert after == json.loads(file.read_text())
    SCHEMAS["transfer"].validate(after)
    for document in (before, after):
        del document["seconds"]
    assert before == after
    assert (written / "out" / "transfer.png").read_bytes() == picture


def test_the_text_ends_with_what_to_do(written: Path):
    said = (written / "said.txt").read_text(encoding="utf-8")
    for part in (
        "last layer",
        "raw pixels",
        "from pre-training",
        "nearest",
        "broken.png",
        "more data  ",
    ):
        assert part in said
    assert "so it can differ from the row of that stage" in said
    assert "skipped    1 file; all in " in said
    assert said.splitlines()[-1].startswith("  headstart ")
    assert str(written / "photos") in said.splitlines()[-1]


def test_other_peoples_folders_are_not_written_to(written: Path, capsys):
    photos = str(written / "photos")
    assert run(["transfer", photos, "--out", photos]) == 2
    assert "is among the images in" in capsys.readouterr().err
    file = written / "out" / "transfer.json"
    assert run(["transfer", photos, "--out", str(file)]) == 2
    assert "is a file" in capsys.readouterr().err


@pytest.mark.parametrize(("kinds", "count"), [(("noise",), 4), (("noise", "checks"), 2)])
def test_too_little_is_a_sentence(kinds, count, tmp_path: Path, capsys):
    photos = write_photos(tmp_path / "photos", count, kinds=kinds)
    assert run(["transfer", str(photos), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("headstart: ")
    assert "Traceback" not in said
    assert "bug" not in said
    assert not (tmp_path / "out").exists()
