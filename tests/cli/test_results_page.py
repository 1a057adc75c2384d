"""What is said about the page of an earlier model."""

from pathlib import Path

import pytest

from headstart.cli.results_page import PAGE, remove_outdated_page
from headstart.pages.page import Page
from headstart.pages.rendering import write_page


def test_the_page_of_an_earlier_model_is_removed_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    page = tmp_path / PAGE
    write_page(Page(title="Model of pets", summary=[], sections=[]), page)
    remove_outdated_page(tmp_path)
    assert not page.exists()
    text = " ".join(capsys.readouterr().err.split())
    assert text.endswith("was about the model that this one replaces, so it was removed")
    remove_outdated_page(tmp_path)
    assert capsys.readouterr().err == ""
