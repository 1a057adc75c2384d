"""headstart report."""

from __future__ import annotations

import shutil
import webbrowser
from pathlib import Path

import pytest

from headstart.pages.rendering import is_page
from tests.cli.conftest import Cli, one_sentence
from tests.reporting.made_up import write_evaluation


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that is not to be changed."""
    return write_evaluation(tmp_path_factory.mktemp("results"), figures=False)


def test_a_person_is_told_what_the_page_says(cli: Cli, results: Path, tmp_path: Path):
    outcome = cli("report", results, "--out", tmp_path / "new" / "page.html")
    assert (outcome.code, outcome.err) == (0, "")
    assert is_page(tmp_path / "new" / "page.html")
    assert outcome.next.endswith(
        f"headstart report {results} --out {tmp_path}/new/page.html --open"
    )
    lines = outcome.out.splitlines()
    assert lines[0] == "results   Test on 60 images"
    assert lines[1].startswith("summary   Right on ")
    assert lines[-1].startswith(f"written   {tmp_path / 'new' / 'page.html'}, one file of ")


def test_json_is_one_document(cli: Cli, results: Path, tmp_path: Path):
    document = cli("report", results, "--out", tmp_path / "page.html", "--json").document
    assert document.keys() == {"page", "title", "summary", "sections"}
    assert document["page"] == str(tmp_path / "page.html")
    assert "Recall by class" in document["sections"]


def test_by_default_it_is_beside_the_results_and_replaces_itself(
    cli: Cli, results: Path, tmp_path: Path
):
    own = shutil.copytree(results, tmp_path / "own")
    for _ in range(2):
        assert cli("report", own).code == 0
    assert is_page(own / "report.html")


def test_a_file_has_no_page(cli: Cli, tmp_path: Path):
    table = tmp_path / "predictions.csv"
    table.write_text("image,label\n")
    outcome = cli("report", table)
    assert (outcome.code, "predictions.csv is a file; give the folder that" in outcome.err) == (
        2,
        True,
    )


@pytest.mark.parametrize("found", [True, False])
def test_the_browser_is_asked_to_open_it(
    cli: Cli, results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: bool
):
    opened: list[str] = []

    def open_page(address: str) -> bool:
        opened.append(address)
        return found

    monkeypatch.setattr(webbrowser, "open", open_page)
    page = tmp_path / "a b.html"
    outcome = cli("report", results, "--out", page, "--open")
    assert outcome.code == 0
    assert opened == [page.as_uri()]
    assert ("no browser was found" in outcome.err) is not found


def test_another_file_is_not_replaced_without_force(cli: Cli, results: Path, tmp_path: Path):
    page = tmp_path / "page.html"
    page.write_text("<p>mine</p>")
    outcome = cli("report", results, "--out", page)
    assert outcome.code == 2
    assert one_sentence(outcome)
    assert "--force" in outcome.err
    assert page.read_text() == "<p>mine</p>"
    assert cli("report", results, "--out", page, "--force").code == 0
    assert is_page(page)


@pytest.mark.parametrize(
    ("folder", "out", "reason"),
    [
        ("absent", "x.html", "does not exist"),
        (".", "x.html", "contains nothing that headstart fit"),
        (".", "x.pdf", "does not end in .html"),
        (".", "folder.html", "is a folder"),
    ],
)
def test_mistakes_are_said_in_a_sentence(
    cli: Cli, tmp_path: Path, folder: str, out: str, reason: str
):
    (tmp_path / "folder.html").mkdir()
    outcome = cli("report", tmp_path / folder, "--out", tmp_path / out)
    assert outcome.code == 2
    assert one_sentence(outcome)
    assert reason in outcome.err
