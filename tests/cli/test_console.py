"""Tables and lines that fit the window."""

import io
import sys

import pytest

from headstart.cli import console
from headstart.cli.console import cell_width, columns, facts, say_markdown, wrapped
from tests.cli.conftest import Cli

HEADER = ["name", "count", "text", "source"]
ROWS = [["a", "1,000", "some words that are long", "https://example.org/" + "x" * 30]]


def test_a_file_gets_the_whole_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "window_width", lambda: None)
    text = columns(HEADER, ROWS, right=[1], least=[3])
    assert " ".join(text.splitlines()[1].split()) == " ".join(ROWS[0])


def test_a_window_leaves_out_what_is_least_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    lines = columns(HEADER, ROWS, right=[1], least=[3, 1]).splitlines()
    assert lines == [
        "name  count  text",
        "a     1,000  some words that are long",
        "(in a wider window, and with --json: source)",
    ]
    monkeypatch.setenv("COLUMNS", "200")
    assert "https" in columns(HEADER, ROWS, right=[1], least=[3, 1])


def test_cells_are_broken_at_spaces_or_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    lines = columns(HEADER, ROWS, right=[1]).splitlines()
    assert max(map(len, lines)) <= 50
    assert lines[1].startswith("a     1,000  some words that")
    joined = "".join(line[-17:].strip() for line in lines[1:])
    assert "x" * 10 in joined
    assert "".join(line[31:] for line in lines[1:]).replace(" ", "").endswith("x" * 30)


def test_wide_characters_take_two_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    rows = [["猫と犬", "0.5"], ["cat", "0.25"], ["é", "1"]]
    assert columns(["label", "p"], rows, right=[1]).splitlines() == [
        "label      p",
        "猫と犬   0.5",
        "cat     0.25",
        "é          1",
    ]
    monkeypatch.setenv("COLUMNS", "40")
    broken = columns(["label", "p"], [["猫" * 30, "0.5"]], right=[1]).splitlines()
    assert broken[1].endswith("猫   0.5")
    assert [cell_width(line) <= 40 for line in broken] == [True] * 3
    assert wrapped("一 二三 四", 6) == ["一", "二三", "四"]


def test_what_the_output_cannot_encode_is_escaped_before_columns_are_aligned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    name = "猫".encode().decode("ascii", "surrogateescape")  # as in a C locale
    rows = [[name, "1"], ["cat", "2"]]
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))
    assert columns(["label", "p"], rows).splitlines()[1:] == ["猫     1", "cat    2"]
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert columns(["label", "p"], rows).splitlines()[1:] == ["\\u732b  1", "cat     2"]


def test_lines_of_facts_are_broken_under_their_label(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    facts([("label", "words that do not fit into a window of forty")], width=8)
    assert capsys.readouterr().out == (
        "label   words that do not fit into a\n        window of forty\n"
    )


def test_a_terminal_gets_a_page_and_a_pipe_the_markdown(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr(sys, "stdout", Terminal())
    say_markdown("# Title\n\n| a | b |\n|---|---|\n| `x` | 2 |")
    assert "|" not in sys.stdout.getvalue()  # type: ignore[attr-defined]
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    say_markdown("# Title")
    assert sys.stdout.getvalue() == "# Title\n"  # type: ignore[attr-defined]


@pytest.mark.parametrize("width", [80, 200])
@pytest.mark.parametrize("verb", ["backbones", "backbones --ladder", "datasets", "cache", "--help"])
def test_every_list_fits_the_window(
    verb: str, width: int, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    text = cli(*verb.split()).out
    assert max(map(len, text.splitlines())) <= width
    assert "..." not in text.replace("[ARGS]...", "")


def test_the_help_has_whole_summaries_by_topic(cli: Cli) -> None:
    text = " ".join(cli("--help").out.split())
    for topic in ("Everyday:", "Choosing:", "Looking inside:", "Handing over:", "Housekeeping:"):
        assert topic in text
    assert "Write a model to one file that other programs run, and prove that it answers" in text


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("headstart fi", ["fit", "finetune"]),
        ("headstart fit photos --head ", ["logistic", "centroid", "knn", "discriminant"]),
        ("headstart fit --backbone efficientnet-lite", ["efficientnet-lite0"]),
    ],
)
def test_a_shell_completes_commands_options_and_names(
    words: str, found: list[str], cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_HEADSTART_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split(" ")) - 1))
    outcome = cli()
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.split()[: len(found)] == found
