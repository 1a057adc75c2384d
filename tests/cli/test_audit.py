"""headstart audit, from the command line to the files and to a model."""

import csv
import json
import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Cli, one_sentence
from tests.conftest import files, write_photos

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_photos(tmp_path_factory.mktemp("audit") / "data", 12)
    shutil.move(root / "checks" / "003.png", root / "noise" / "wrong.png")
    shutil.copy(root / "noise" / "001.png", root / "noise" / "copy.png")
    return root


def edit(table: Path, out: Path, **actions: str) -> Path:
    """Write a reviewed table: actions by the name of the file."""
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:  # the first row of each image
        row["action"] = actions.pop(Path(row["path"]).stem, "")
    with out.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return out


def test_audit_review_apply(cli: Cli, data: Path, tmp_path: Path):
    before = {path: path.read_bytes() for path in files(data)}
    report = tmp_path / "report"
    said = cli("audit", data, "--out", report)
    assert said.code == 0, said.err
    assert "wrong.png (noise -> checks)" in said.out
    assert "the same pixels as" in said.out
    page = (report / "index.html").read_text()
    assert f"headstart fit {data} --review {report / 'audit.csv'} --out model" in page

    reviewed = edit(report / "audit.csv", tmp_path / "r.csv", wrong="relabel", copy="drop")
    model = tmp_path / "model"
    applied = cli("audit", data, "--apply", reviewed, "--out", model, "--json")
    assert applied.code == 0, applied.err
    document = applied.document
    assert document["images"] == 36
    assert document["duplicates"] == 0
    assert document["review"] == {"dropped": 1, "relabeled": 1}
    card = (model / "README.md").read_text()
    for name in ("checks", "noise", "stripes"):
        assert f"| {name} | 12 |" in card
    assert "| review | 1 dropped, 1 relabeled |" in card
    assert "0 unusable files" in card

    by_fit = cli("fit", data, "--review", reviewed, "--out", tmp_path / "fit", "--json").document
    assert by_fit["accuracy"] == document["accuracy"]
    assert {path: path.read_bytes() for path in files(data)} == before
    untouched = ["--review", report / "audit.csv", "--out", tmp_path / "same"]
    assert (
        "audit.csv changes nothing; write drop or relabel in its column action"
        in cli("fit", data, *untouched).err
    )


def test_json_has_the_counts_and_the_strongest(cli: Cli, data: Path, tmp_path: Path):
    document = cli("audit", data, "--out", tmp_path / "out", "--json").document
    assert document["images"] == 37
    assert document["kinds"]["wrong label"] >= 1
    top = document["top"]["wrong label"][0]
    assert top["path"].endswith("wrong.png")
    assert top["suggested_label"] == "checks"
    written = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert written["kinds"] == document["kinds"]


def test_a_second_audit_replaces_the_first(cli: Cli, data: Path, tmp_path: Path):
    out = tmp_path / "out"
    assert cli("audit", data, "--out", out).code == 0
    table, page = ((out / name).read_bytes() for name in ("audit.csv", "index.html"))
    assert cli("audit", data, "--out", out).code == 0
    assert (out / "audit.csv").read_bytes() == table
    assert (out / "index.html").read_bytes() == page
    # A review is not deleted.
    written = out / "audit.csv"
    lines = written.read_text(encoding="utf-8").splitlines()
    assert len(lines) > 1
    reviewed = "\n".join([lines[0], lines[1] + "drop", *lines[2:]]) + "\n"
    written.write_text(reviewed, encoding="utf-8")
    outcome = cli("audit", data, "--out", out)
    assert outcome.code == 2
    assert "has an action in 1 row, which would be lost" in outcome.err
    assert written.read_text(encoding="utf-8") == reviewed


def test_of_one_class_it_says_what_is_missing_to_train(cli: Cli, data: Path, tmp_path: Path):
    (tmp_path / "one" / "noise").mkdir(parents=True)
    for path in sorted((data / "noise").glob("*.png"))[:3]:
        shutil.copy(path, tmp_path / "one" / "noise")
    outcome = cli("audit", tmp_path / "one", "--out", tmp_path / "out")
    assert "there is only one class; to train, add images of another" in outcome.out
    assert (outcome.code, outcome.next) == (0, "")


def test_finetune_finds_the_review_again(data: Path, tmp_path: Path):
    from headstart.cli.options import DatasetOptions

    options = DatasetOptions(review=Path("r.csv"))
    assert options.location()["review"] == str(Path("r.csv").resolve())


def test_errors_are_said_in_a_sentence(cli: Cli, data: Path, tmp_path: Path):
    assert one_sentence(cli("audit", data, "--out", data / "report"))
    missing = cli("audit", data, "--apply", tmp_path / "none.csv", "--out", tmp_path / "m")
    assert one_sentence(missing)
    assert missing.code == 2
    both = ["--apply", tmp_path / "a.csv", "--review", tmp_path / "b.csv"]
    assert one_sentence(cli("audit", data, "--out", tmp_path / "m", *both))
