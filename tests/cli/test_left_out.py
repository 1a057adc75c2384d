"""What is said of images and files that were not used."""

from pathlib import Path

from headstart.cli.left_out import copies_text, seen_text, skipped_text
from headstart.types import Skipped

NOTES = Skipped("a/notes.txt", "not an image")
TEXT = Skipped("b/text.jpg", "not an image")
BROKEN = Skipped("c/broken.jpg", "truncated")


def test_a_damaged_image_is_shown_rather_than_what_is_none():
    assert skipped_text([NOTES, TEXT, BROKEN], Path("skipped.csv")) == (
        "3 files, such as c/broken.jpg (truncated); all in skipped.csv"
    )
    assert skipped_text([NOTES, TEXT], None) == "2 files, such as b/text.jpg (not an image)"
    assert skipped_text([NOTES], None) == "1 file: a/notes.txt (not an image)"


def test_one_is_singular():
    assert copies_text(1) == "1 identical image counts once"
    assert copies_text(1200) == "1,200 identical images count once"
    assert seen_text(1) == "1 image that the model was trained on"
