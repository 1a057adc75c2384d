"""What is said of images and files that were not used."""

import json
from pathlib import Path
from types import SimpleNamespace

from headstart.cli.console import facts, print_json
from headstart.cli.summary import left_out_facts, names_text, skipped_warnings
from headstart.types import Conflict, Skipped

NOTES = Skipped("a/notes.txt", "not an image")
TEXT = Skipped("b/text.jpg", "not an image")
BROKEN = Skipped("c/broken.jpg", "truncated")


def left_out(skipped=()):
    return SimpleNamespace(skipped=skipped, conflicts=())


def say_skipped(skipped, file, width=10):
    facts(left_out_facts(left_out(skipped), file=file), width=width)


def test_damaged_images_come_before_what_is_none(capsys):
    say_skipped([NOTES, TEXT, BROKEN], Path("skipped.csv"))
    assert capsys.readouterr().out.splitlines() == [
        "skipped   3 files; all in skipped.csv",
        "          c/broken.jpg (truncated)",
        "          b/text.jpg (not an image)",
        "          a/notes.txt (not an image)",
    ]


def test_names_stay_in_their_line(capsys):
    say_skipped([Skipped("a\nb\x1b[2J\t.jpg", "truncated")], None)
    assert capsys.readouterr().out.splitlines()[1:] == [
        " " * 10 + "a\\nb\\x1b[2J\\t.jpg (truncated)"
    ]


def test_json_moves_no_cursor_either(capsys):
    print_json({"image": "a\x9b2J\x1b\x7f\u00e9"})
    text = capsys.readouterr().out
    assert json.loads(text) == {"image": "a\x9b2J\x1b\x7f\u00e9"}
    assert all(one.isprintable() or one == "\n" for one in text)


def test_many_are_counted(capsys):
    say_skipped([BROKEN] * 5 + [NOTES] * 3, None, width=12)
    *_, last_named, more = capsys.readouterr().out.splitlines()
    assert last_named == " " * 12 + "c/broken.jpg (truncated)"
    assert more == " " * 12 + "and 3 more"
    say_skipped([], None)
    assert capsys.readouterr().out == ""


def test_one_is_singular():
    assert dict(left_out_facts(left_out(), duplicates=1, seen=1)) == {
        "copies": "1 duplicate image excluded",
        "excluded": "1 image that the model was trained on",
    }
    many = dict(left_out_facts(left_out(), duplicates=1200))
    assert many == {"copies": "1,200 duplicate images excluded"}
    assert dict(left_out_facts(left_out())) == {}


def test_files_with_conflicting_labels_are_counted():
    pair = Conflict(("a/1.jpg", "b/2.jpg"), ("a", "b"))
    one = SimpleNamespace(skipped=(), conflicts=(pair,))
    assert dict(left_out_facts(one)) == {
        "conflicts": "2 files of one image with conflicting labels excluded: a/1.jpg (a) and "
        "b/2.jpg (b)"
    }
    two = SimpleNamespace(skipped=(), conflicts=(pair, pair))
    (text,) = dict(left_out_facts(two)).values()
    assert text.startswith("4 files of 2 images with conflicting labels excluded, such as a/1.jpg")


def test_a_list_that_is_cut_says_how_many_more():
    names = [f"c{number}" for number in range(12)]
    assert names_text(names) == "c0, c1, c2, c3, c4, c5, c6, c7 and 4 more"
    assert names_text(names[:8]) == ", ".join(names[:8])


def test_files_in_folders_that_are_not_used_are_a_warning():
    assert skipped_warnings([]) == []
    (text,) = skipped_warnings([NOTES] * 6 + [BROKEN])
    assert text.startswith("7 files skipped: c/broken.jpg (truncated), a/notes.txt (not an image),")
    assert text.endswith(", and 2 more")
