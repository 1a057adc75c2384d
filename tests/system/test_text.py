from headstart.system.text import join_names, markdown, one_line, pluralize, visible


def test_many_names_are_counted():
    assert join_names(["a", "b"]) == "a, b"
    assert join_names([str(name) for name in range(1203)], most=2) == "0, 1 and 1,201 more"


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
