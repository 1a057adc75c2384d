import pytest

from headstart.system.text import (
    count_reasons,
    decoded,
    did_you_mean,
    join_names,
    markdown,
    one_line,
    pluralize,
    shortened,
    unread_text,
    visible,
)
from headstart.types import Skipped


def test_many_names_are_counted():
    assert join_names(["a", "b"]) == "a, b"
    assert join_names([str(name) for name in range(1203)], most=2) == "0, 1 and 1,201 more"


def test_names_of_a_similar_spelling_are_suggested():
    known = ("Classifier", "classify", "fit")
    assert did_you_mean("classifer", known, most=1) == "did you mean Classifier?"
    assert did_you_mean("classifer", known) == "did you mean Classifier, classify?"
    assert did_you_mean("zebra", known) == ""
    assert did_you_mean("zebra", known, otherwise="choose fit") == "choose fit"


def test_one_is_singular():
    assert pluralize(1, "image") == "1 image"
    assert pluralize(0, "image") == "0 images"
    assert pluralize(1234, "copy", "copies") == "1,234 copies"


HOSTILE = "a\x1b[2J\rb\u202ec\u2028d\x9be\nf\tg"


def test_nothing_in_a_line_moves_the_cursor_or_reorders_it() -> None:
    assert one_line(HOSTILE) == r"a\x1b[2J\x0db\u202ec\u2028d\u009be\nf\tg"
    assert visible(HOSTILE) == one_line(HOSTILE).replace(r"\n", "\n").replace(r"\t", "\t")
    assert one_line("café, 猫, עברית 👩‍👧") == "café, 猫, עברית 👩‍👧"


def test_markdown_shows_names_as_they_are() -> None:
    assert markdown("<b>[x](y)`z`|&amp;") == r"\<b>\[x\](y)\`z\`\|\&amp;"
    assert markdown("a\nb\u202e  c") == r"a b\\u202e c"
    assert markdown("black_widow, R&D, no. < 3 (old)") == "black_widow, R&D, no. < 3 (old)"


def test_reasons_are_counted_the_most_frequent_first():
    files = [Skipped(str(n), "truncated" if n % 3 else "empty file") for n in range(5)]
    assert count_reasons(one.reason for one in files) == "3 truncated, 2 empty file"
    many = [f"reason {n}" for n in range(7)]
    assert count_reasons(many, 2) == "1 reason 0, 1 reason 1 and 5 more"
    assert unread_text(files[:1]) == "1 could not be read (1 empty file)"
    assert unread_text([]) == "0 could not be read"


def test_long_text_keeps_its_ends() -> None:
    text = "a" * 500_000 + "b" * 500_000
    cut = shortened(text)
    assert cut.startswith("aaa")
    assert cut.endswith("bbb")
    assert "... [990,000 characters] ..." in cut
    assert len(cut) < 10_100
    assert shortened("a" * 10_000) == "a" * 10_000


def test_names_are_cut_in_lists_and_in_the_card() -> None:
    assert len(markdown("*" * 1_000_000)) < 2200
    assert len(join_names(["n" * 1_000_000] * 3)) < 3200


@pytest.mark.parametrize(
    ("text", "said"),
    [("a", "a"), ("ü\udcc3\udcbc", "üü"), ("a\udcff", "a\udcff"), ("\ud800", "\ud800")],
)
def test_bytes_that_a_locale_could_not_decode_are_utf_8(text: str, said: str):
    assert decoded(text) == said
